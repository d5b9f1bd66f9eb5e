"""Writing, locking and copying: whatever is planted in a file's place, what it leads to is not touched."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ovtasks.host import beneath
from ovtasks.host.beneath import CONSENT, UnsafeError, guard, make_folder
from ovtasks.host.files import create, flock, is_locked, link_or_copy, write_atomic
from tests.support.programs import attempt

SECRET = "the only copy\n"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _shell(command: str) -> int:
    return attempt("sh", "-c", command).returncode


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A file elsewhere; at the end it must be as it was."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = elsewhere / "victim"
    path.write_text(SECRET)
    path.chmod(0o640)
    before = path.stat()
    yield path
    after = path.stat()
    assert path.read_text() == SECRET
    assert (after.st_mode, after.st_mtime_ns, after.st_ino) == (before.st_mode, before.st_mtime_ns, before.st_ino)
    assert names(elsewhere) == ["victim"]


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's ``output/``."""
    monkeypatch.setattr(beneath, "_ours", set())
    monkeypatch.setattr(beneath, "_projects", set())
    root = tmp_path / "project"
    (root / "output").mkdir(parents=True)
    guard(root / "output", project=root)
    return root / "output"


PLANTED: dict[str, Callable[[Path, Path], object]] = {
    "symlink": lambda path, victim: path.symlink_to(victim),
    "dangling": lambda path, victim: path.symlink_to(victim.with_name("nothing")),
    "loop": lambda path, victim: path.symlink_to(path),
    "hardlink": lambda path, victim: os.link(victim, path),
    "pipe": lambda path, victim: os.mkfifo(path),
    "folder": lambda path, victim: path.mkdir(),
    "ours, not readable": lambda path, victim: path.touch(0),
    "ours, longer": lambda path, victim: path.write_text("x" * 100_000),
}
planted = pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED.keys())


@planted
@pytest.mark.parametrize("name", ["record.json", ".record.json.part"])
def test_a_write_replaces_what_is_there(
    plant: Callable[[Path, Path], object], name: str, ours: Path, victim: Path
) -> None:
    plant(ours / name, victim)
    write_atomic(ours / "record.json", "{}\n", mode=0o600)
    assert (ours / "record.json").read_text() == "{}\n"
    assert (ours / "record.json").lstat().st_mode == 0o100600
    assert names(ours) == ["record.json"]


@planted
def test_a_lock_is_a_file_of_its_own(plant: Callable[[Path, Path], object], ours: Path, victim: Path) -> None:
    lock = ours / ".ov" / "locks" / "disk:arch"
    lock.parent.mkdir(parents=True)
    plant(lock, victim)
    assert not is_locked(lock)
    with flock(lock):
        assert is_locked(lock)
        assert lock.read_text() == f"{os.getpid()}\n"
    assert not is_locked(lock)


@planted
def test_a_new_file_is_new(plant: Callable[[Path, Path], object], ours: Path, victim: Path) -> None:
    plant(ours / "build.log", victim)
    with create(ours / "build.log") as log:
        log.write(b"first line\n")
    assert (ours / "build.log").read_text() == "first line\n"


@pytest.mark.parametrize("kind", ["symlink", "hardlink", "pipe", "folder"])
def test_a_log_is_not_written_on_elsewhere(kind: str, ours: Path, victim: Path) -> None:
    PLANTED[kind](ours / "serial.log", victim)
    for line in (b"first line\n", b"second line\n"):
        with create(ours / "serial.log", append=True) as log:
            log.write(line)
    assert (ours / "serial.log").read_text() == "first line\nsecond line\n"


@planted
def test_a_copy_replaces_what_is_half_there(
    plant: Callable[[Path, Path], object], ours: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ours / "disk.qcow2"
    source.write_bytes(b"disk" * 5000)
    source.chmod(0o444)
    plant(ours / ".built.part", victim)

    def across(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", across)
    link_or_copy(source, ours / "built")
    assert (ours / "built").read_bytes() == b"disk" * 5000
    assert (ours / "built").stat().st_mode & 0o777 == 0o444
    assert names(ours) == ["built", "disk.qcow2"]


@pytest.mark.parametrize("kind", ["symlink", "dangling", "pipe", "folder"])
def test_only_files_are_linked(kind: str, ours: Path, victim: Path) -> None:
    PLANTED[kind](ours / "disk.qcow2", victim)
    with pytest.raises(UnsafeError, match=r"disk\.qcow2 is not a file of its own"):
        link_or_copy(ours / "disk.qcow2", ours / "built")
    assert not os.path.lexists(ours / "built")


@pytest.mark.parametrize("name", ["arch", "arch/qcow2", ".ov", ".ov/locks"])
def test_no_folder_below_output_is_a_link(name: str, ours: Path, victim: Path) -> None:
    (ours / name).parent.mkdir(exist_ok=True)
    (ours / name).symlink_to(victim.parent)
    victim.with_name(CONSENT).touch()  # is no help here
    file = ours / name / "qcow2" / "seed.iso"
    for writing in (
        lambda: write_atomic(file, "x"),
        lambda: write_atomic(ours / name / "victim", "x"),
        lambda: create(ours / name / "victim"),
        lambda: make_folder(file.parent),
        lambda: flock(ours / name / "victim").__enter__(),
        lambda: link_or_copy(ours / name / "victim", ours / "copy"),
    ):
        with pytest.raises(UnsafeError) as e:
            writing()
        assert e.value.message == f"{ours / name} is a symbolic link where a folder of ours must be"
        assert e.value.hint == f"remove it: rm {ours / name}"
    victim.with_name(CONSENT).unlink()


def test_output_is_a_link_only_to_who_wants_it(ours: Path, victim: Path, tmp_path: Path) -> None:
    ours.rmdir()
    ours.symlink_to(victim.parent)
    with pytest.raises(UnsafeError, match="a cloned repository can bring such a link along") as e:
        write_atomic(ours / "arch" / "seed.iso", "x")
    assert e.value.exit_code == 3
    ours.unlink()
    big = tmp_path / "big disk"
    ours.symlink_to(big)
    with pytest.raises(UnsafeError, match="which is not a folder") as e:
        write_atomic(ours / "arch" / "seed.iso", "x")
    assert e.value.hint is not None and _shell(e.value.hint.partition(": ")[2]) == 0  # the hint is the way
    write_atomic(ours / "arch" / "seed.iso", "x")
    assert (big / "arch" / "seed.iso").read_text() == "x"


def test_consent_is_a_file_of_ours(ours: Path, victim: Path, tmp_path: Path) -> None:
    ours.rmdir()
    big = tmp_path / "big"
    big.mkdir()
    ours.symlink_to(big)
    (big / CONSENT).symlink_to(victim)
    with pytest.raises(UnsafeError):
        make_folder(ours / "arch")
    (big / CONSENT).unlink()
    (big / CONSENT).touch()
    if os.geteuid() == 0:
        os.chown(big / CONSENT, 12345, 12345)
        with pytest.raises(UnsafeError):
            make_folder(ours / "arch")
        os.chown(big / CONSENT, 0, 0)
    make_folder(ours / "arch")
    assert (big / "arch").is_dir()


def test_links_above_are_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "big" / "ov").mkdir(parents=True)
    (tmp_path / "home").symlink_to(tmp_path / "big")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    write_atomic(tmp_path / "home" / "ov" / "vm" / "ov-arch" / "instance.json", "{}")
    assert (tmp_path / "big" / "ov" / "vm" / "ov-arch" / "instance.json").read_text() == "{}"


def test_a_full_folder_in_a_files_place_is_kept(ours: Path) -> None:
    (ours / "record.json").mkdir()
    (ours / "record.json" / "notes").write_text("mine")
    with pytest.raises(UnsafeError, match="is a folder where a file of ours must be") as e:
        write_atomic(ours / "record.json", "{}")
    assert e.value.hint == f"move it away: mv {ours}/record.json {ours}/record.json.old"
    assert (ours / "record.json" / "notes").read_text() == "mine"
    assert names(ours) == ["record.json"]


def test_errors_name_the_whole_path(tmp_path: Path, ours: Path) -> None:
    (ours / "arch").write_text("a file")
    with pytest.raises(NotADirectoryError) as e:
        write_atomic(ours / "arch" / "seed.iso", "x")
    assert e.value.filename == str(ours / "arch")


def test_two_writers_never_mix(ours: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    texts = [str(n) * 200_000 for n in range(8)]
    os.mkfifo(ours / ".x.part")
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            list(pool.map(lambda text: write_atomic(ours / "x", text), texts))
            assert (ours / "x").read_text() in texts
    assert names(ours) == ["x"]
