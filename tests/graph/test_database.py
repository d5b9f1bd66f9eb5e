"""doit's database, whatever becomes of its file: a run goes on, with what can be remembered, and says so once."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ovtasks.graph.database import NOWHERE, WalDB
from tests.support.workbench import Workbench, cloud_vm, ran


def filled(path: Path) -> None:
    database = WalDB(str(path), None)
    for number in range(100):
        database.set(f"task{number}", "result:", number)
        database.set(f"task{number}", "deps:", [])
    database.dump()


def table(path: Path, *statements: str) -> None:
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def replace(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


HEALS: dict[str, Callable[[Path], object]] = {
    "cut to half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "cut to its head": lambda path: os.truncate(path, 100),
    "cut to a few bytes": lambda path: os.truncate(path, 7),
    "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "zeroed behind its head": lambda path: path.write_bytes(path.read_bytes()[:100] + bytes(8000)),
    "text": lambda path: path.write_text("nothing of SQLite, but long enough to be read as such\n" * 20),
    "JSON": lambda path: path.write_text(json.dumps({"a": [1] * 1000})),
    "nested": lambda path: path.write_text("[" * 10_000),
    "no text": lambda path: path.write_bytes(b"\xff\xfe" * 600),
    "another table": lambda path: table(path, "create table other(x)", "insert into other values(1)"),
    "other columns": lambda path: table(path, "create table task(name text, more text)"),
}
LIVES: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "empty": lambda path: os.truncate(path, 0),
    "rows without JSON": lambda path: rows(path, "no JSON"),
    "rows of another type": lambda path: rows(path, "[1, 2]"),
    "rows that nest": lambda path: rows(path, "[" * 10_000),
    "rows of bytes": lambda path: rows(path, b"\xff\x00"),
    "rows of nothing": lambda path: rows(path, None),
}
WITHOUT: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pipe": (lambda path: replace(path, os.mkfifo), "is not a file"),
    "a folder": (lambda path: replace(path, Path.mkdir), "is not a file"),
    "a link": (lambda path: path.symlink_to(path.rename(f"{path}.real")), "is not a file"),
    "a link to nowhere": (lambda path: replace(path, lambda p: p.symlink_to("/nowhere")), "is not a file"),
    "a hard link": (lambda path: path.with_name("other").hardlink_to(path), "has another name"),
    "its log is a pipe": (lambda path: os.mkfifo(f"{path}-wal"), "is not a file"),
    "its log is a folder": (lambda path: Path(f"{path}-shm").mkdir(), "is not a file"),
    "its folder is a file": (lambda path: file_for_folder(path.parent), "directory"),
}


def file_for_folder(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("", encoding="utf-8")


def rows(path: Path, data: object) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("update task set data = ?", (data,))
    connection.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ov/doit.db"
    filled(path)
    return path


@pytest.mark.parametrize("state", HEALS)
def test_damage_is_healed_and_said_once(path: Path, state: str, capsys: pytest.CaptureFixture[str]) -> None:
    HEALS[state](path)
    database = WalDB(str(path), None)
    for number in range(100):
        database.get(f"task{number}", "result:")
    database.set("task3", "deps:", ["a"])
    database.dump()
    assert capsys.readouterr().err.count(" and is made anew") <= 1
    again = WalDB(str(path), None)
    assert again.get("task3", "deps:") == ["a"] and list(again.rows())
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("state", LIVES)
def test_what_is_missing_is_not_remembered(path: Path, state: str, capsys: pytest.CaptureFixture[str]) -> None:
    LIVES[state](path)
    database = WalDB(str(path), None)
    assert [database.get(f"task{number}", "result:") for number in range(100)] == [None] * 100
    database.set("task3", "deps:", ["a"])
    database.dump()
    assert WalDB(str(path), None).get("task3", "deps:") == ["a"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("state", WITHOUT)
def test_a_run_goes_without_it_and_says_so_once(path: Path, state: str, capsys: pytest.CaptureFixture[str]) -> None:
    damage, reason = WITHOUT[state]
    damage(path)
    before = sorted(path.parent.parent.rglob("*"))
    database = WalDB(str(path), None)
    for number in range(100):
        assert database.get(f"task{number}", "result:") is None
    database.set("task3", "deps:", ["a"])
    assert database.get("task3", "deps:") == ["a"]
    database.remove("task3")
    database.remove_all()
    database.dump()
    said = capsys.readouterr().err
    assert said.count("is not remembered this time") == 1 and reason in said and "hint: " in said
    assert sorted(path.parent.parent.rglob("*")) == before


def test_another_users(path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ovtasks.graph.database.trusted", lambda found, folder: False)
    assert WalDB(str(path), None).get("task3", "result:") is None
    assert "belongs to another user" in capsys.readouterr().err


def test_read_only_is_read(path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr("ovtasks.graph.database._check", refuse)
    database = WalDB(str(path), None)
    assert database.get("task3", "result:") == 3
    assert capsys.readouterr().err == ""
    database.set("task3", "deps:", ["b"])
    assert database.get("task3", "deps:") == ["b"]
    assert capsys.readouterr().err.count("is not remembered this time") == 1


def test_another_thread_is_no_damage(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database = WalDB(str(path), None)
    assert database.get("task3", "result:") == 3
    thread = threading.Thread(target=database.get, args=("task4", "result:"))
    thread.start()
    thread.join()
    database.dump()
    assert WalDB(str(path), None).get("task5", "result:") == 5


def test_nowhere_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    database = WalDB(NOWHERE, None)
    database.set("a", "deps:", [1])
    assert database.get("a", "deps:") == [1] and not list(database.rows())
    database.remove_all()
    database.dump()
    assert list(tmp_path.iterdir()) == []


def test_it_is_for_its_owner_alone(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
@pytest.mark.parametrize("state", ["text", "a pipe", "a folder", "a link to nowhere"])
def test_a_build_goes_on(bench: Workbench, small_image: Path, state: str) -> None:
    bench.write({"a": cloud_vm(small_image)})
    bench.doit("build:a")
    path = bench.root / "output/.ov/doit.db"
    {**HEALS, **{name: damage for name, (damage, _) in WITHOUT.items()}}[state](path)
    (bench.root / "output/a/qcow2/disk.qcow2").unlink()
    done = bench.doit("build:a")
    assert ran(done.stdout) == ["disk:a"] and "Traceback" not in done.stderr
    assert done.stderr.count("doit: ") == 1
    bench.doit("list", "-s")
    bench.doit("forget", "--all")
    assert "doit: " not in bench.ov("vm", "build").stderr
