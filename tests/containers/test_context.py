"""The digest of a build context: what changes it, what does not, and the ignore rules against podman itself."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ovtasks.containers import context, ignore
from ovtasks.errors import InputError, OvError, Where
from ovtasks.project.model import ImageSpec
from tests.containers.podman import Podman

OLD = 10**18


class Bench:
    """A context in ``root/files`` and what is looked at."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = root / "files"
        self.files.mkdir()
        self.image = ImageSpec("x", Where("image.yml", 1, 1), context=self.files)
        self.write("Containerfile", "FROM scratch\nCOPY . /\n")

    def write(self, name: str, text: str = "", *, at: int = OLD) -> Path:
        path = self.files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, ns=(at, at))
        return path

    def look(self, *, output: Path | None = None, whole: bool = False) -> context.Context:
        return context.read_context(
            self.image, output or self.root / "output", self.root / "state", "amd64", whole=whole
        )

    def names(self) -> list[str]:
        found = self.look().inputs["context"]
        assert isinstance(found, dict)
        return sorted(found)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files whose content is read from here on."""
    found: list[str] = []
    plain = hashlib.file_digest

    def counting(file: Any, algorithm: str) -> Any:
        found.append(Path(file.name).name)
        return plain(file, algorithm)

    monkeypatch.setattr(hashlib, "file_digest", counting)
    monkeypatch.setattr(context, "RACY_NS", 0)
    return found


def test_touching_rereads_one_file_and_changes_nothing(bench: Bench, reads: list[str]) -> None:
    for name in "abc":
        bench.write(name, name)
    first = bench.look().inputs
    assert sorted(reads) == ["Containerfile", "a", "b", "c"]
    reads.clear()
    assert bench.look().inputs == first and reads == []
    bench.write("b", "b", at=OLD + 1)
    assert bench.look().inputs == first and reads == ["b"]
    (bench.root / "state" / "contexts").rename(bench.root / "gone")
    assert bench.look().inputs == first


def test_a_file_changed_just_now_is_read_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "RACY_NS", 10**12)
    path = bench.write("a", "a")
    first = bench.look().inputs
    stat = path.stat()
    path.write_text("b")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert bench.look().inputs != first


def test_every_change_counts(bench: Bench) -> None:
    path = bench.write("d/a", "a")
    seen = [bench.look().inputs]

    def changed() -> bool:
        now = bench.look().inputs
        new = now not in seen
        seen.append(now)
        return new

    bench.write("d/a", "b")
    assert changed()
    path.chmod(0o755)
    assert changed()
    path.parent.chmod(0o700)
    assert changed()
    path.rename(path.with_name("c"))
    assert changed()
    (bench.files / "link").symlink_to("d")
    assert changed()
    (bench.files / "link").unlink()
    (bench.files / "link").symlink_to("e")
    assert changed()
    (bench.files / "empty").mkdir()
    assert changed()
    os.mkfifo(bench.files / "pipe")
    assert changed()
    (bench.files / os.fsdecode(b"\xff")).write_text("x")
    assert changed()
    bench.write("Containerfile", "FROM scratch\nCOPY . /\nLABEL a=b\n")
    assert changed()
    bench.image = ImageSpec("x", bench.image.where, context=bench.files, build_args={"A": "1"})
    assert changed()
    bench.write(".containerignore", "pipe\n")
    assert changed()


def test_only_what_is_copied_counts(bench: Bench) -> None:
    bench.write("Containerfile", "FROM scratch\nCOPY a d /\nCOPY gone /\n")
    bench.write("a")
    bench.write("b", "not copied")
    bench.write("d/e/f")
    assert bench.names() == ["a", "d", "d/e", "d/e/f", "gone"]
    made = bench.look()
    assert made.inputs["context"]["gone"] == "missing"  # type: ignore[index,call-overload]
    assert {bench.files / name for name in ("a", "d", "d/e", "d/e/f", "gone", "Containerfile")} <= {*made.reads}
    assert bench.files / "b" not in made.reads
    (bench.files / "Containerfile").write_text("FROM scratch\n")
    assert bench.names() == []
    assert "b" in bench.look(whole=True).inputs["context"]  # type: ignore[operator]


def test_a_symbolic_link_may_lead_anywhere(bench: Bench) -> None:
    bench.write("Containerfile", "FROM scratch\nCOPY link/a /\n")
    bench.write("d/a")
    (bench.files / "link").symlink_to("d")
    assert bench.names() == ["link/a"]
    first = bench.look()
    assert {bench.files / "link", bench.files / "d" / "a"} <= {*first.reads}
    bench.write("d/a", "new")
    assert bench.look().inputs != first.inputs


def test_what_the_project_makes_is_no_input(bench: Bench) -> None:
    output = bench.files / "out[1]"
    bench.write("out[1]/disk", "large")
    bench.write(".containerignore", "x")
    made = bench.look(output=output)
    assert [name for name in made.inputs["context"] if name.startswith("out")] == []  # type: ignore[union-attr]
    assert made.apart == "out[1]"
    assert made.ignore_text() == "x\nout\\[1\\]\n"
    assert bench.look().ignore_text() == "x\n"


def test_many_files_are_one_digest(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "SINGLE", 2)
    bench.write("a")
    assert bench.names() == ["Containerfile", "a"]
    bench.write("b", "1")
    first = bench.look().inputs["context"]
    assert isinstance(first, dict) and first["files"] == 3
    bench.write("b", "2")
    assert bench.look().inputs["context"] != first


def test_which_containerfile(bench: Bench) -> None:
    assert bench.look().containerfile == bench.files / "Containerfile"
    (bench.files / "Containerfile").rename(bench.files / "Dockerfile")
    assert bench.look().containerfile == bench.files / "Dockerfile"
    (bench.files / "Dockerfile").rename(bench.files / "Other")
    with pytest.raises(InputError, match=r"image 'x': there is no .*/files/Containerfile") as caught:
        bench.look()
    assert "containerfile:" in (caught.value.hint or "")
    bench.image = ImageSpec("x", bench.image.where, context=bench.files, containerfile=bench.root / "Other")
    with pytest.raises(InputError, match="there is no") as caught:
        bench.look()
    assert f"{bench.files / 'Other'} exists" in (caught.value.hint or "")
    bench.image = ImageSpec("x", bench.image.where, context=bench.files, containerfile=bench.files / "Other")
    assert bench.look().containerfile == bench.files / "Other"
    bench.image = ImageSpec("x", bench.image.where, context=bench.root / "gone")
    with pytest.raises(InputError, match="is not a folder") as caught:
        bench.look()
    assert caught.value.where == bench.image.where


def test_what_cannot_be_read_is_an_error_of_ours(bench: Bench) -> None:
    loop = bench.files / "Containerfile"
    loop.unlink()
    loop.symlink_to(bench.root / "real")
    (bench.root / "real").write_text("FROM scratch\nCOPY . /\n")
    (bench.files / ".containerignore").symlink_to("/proc/self/mem")  # opens, and cannot be read
    with pytest.raises(OvError) as caught:
        bench.look()
    assert caught.value.where == bench.image.where


def test_a_state_that_is_damaged_or_cannot_be_written(bench: Bench, reads: list[str]) -> None:
    first = bench.look().inputs
    (memory,) = (bench.root / "state" / "contexts").iterdir()
    memory.write_text("[")
    assert bench.look().inputs == first
    shutil.rmtree(bench.root / "state")
    (bench.root / "state").write_text("no folder")
    assert bench.look().inputs == first


def test_a_file_that_vanishes_under_our_hands(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.write("a")
    plain = context._describe
    monkeypatch.setattr(
        context, "_describe", lambda path, *rest: ((path.name == "a" and path.unlink()), plain(path, *rest))[1]
    )
    with pytest.raises(OvError, match="no such file"):
        bench.look()


@pytest.mark.parametrize("text", ["a[", "[]a]", "[a-", "a\\", "!"])
def test_patterns_that_are_none(bench: Bench, text: str) -> None:
    path = bench.write(".dockerignore", f"x\n{text}\n")
    with pytest.raises(InputError) as caught:
        bench.look()
    assert caught.value.where == Where(str(path), 2)


def test_containerignore_wins(bench: Bench) -> None:
    bench.write("a")
    bench.write("b")
    bench.write(".dockerignore", "a")
    assert "a" not in bench.names()
    bench.write(".containerignore", "b")
    assert "a" in bench.names() and "b" not in bench.names()


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    made = Podman.make(tmp_path_factory.mktemp("podman"))
    yield made
    made.clear()


# Lines of an ignore file; files of the context.
RULES = [
    ("a", "a b a.x d/a"),
    ("/a", "a d/a"),
    ("a/", "a/b c"),
    ("*", "a d/a"),
    ("**", "a d/a"),
    ("*.x", "a.x b d/a.x"),
    ("**/*.x", "a.x b d/a.x d/e/a.x"),
    ("*/*.x", "a.x d/a.x d/e/a.x"),
    ("d/**", "d/a d/e/b c"),
    ("d/*\n!d/e", "d/a d/e/b d/f/c"),
    ("d\n!d/e/b", "d/a d/e/b d/e/c"),
    ("**\n!d/a", "a d/a d/b"),
    ("*\n!*.x", "a b.x d/c.x"),
    ("!a\na", "a b"),
    ("a\n!a", "a b"),
    ("**/e/**\n!d/e/keep", "d/e/keep d/e/drop e/f/g"),
    ("# a\n\n  b  \n", "a b"),
    ("d/../a\n./b", "a b d/c"),
    ("?[ab].[^x]", "ca.y ca.x cb.y cc.y"),
    (r"\*a", "*a ba"),
    ("a$\nb.", "a a$ b. bc"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("lines", "files"), RULES)
def test_the_ignore_rules_are_podmans(bench: Bench, podman: Podman, lines: str, files: str) -> None:
    for name in files.split():
        bench.write(name)
    bench.write(".containerignore", lines)
    podman("build", "--quiet", "--tag", "localhost/x", bench.files)
    assert bench.names() == sorted(podman.files("localhost/x", bench.root))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_no_file_that_podman_takes_is_overlooked(bench: Bench, podman: Podman, seed: int) -> None:
    """With exceptions we may look at more than podman, which does not look into every folder for them."""
    choose = random.Random(seed)
    names = ["a", "b", "foo", "x.tmp"]
    patterns = ["a", "*", "**", "*.tmp", "a/*", "*/b", "**/b", "foo/**", "a/**/b", "!a", "!a/b", "!**/b", "!*.tmp"]
    bench.write("Containerfile", "FROM scratch\nCOPY . /\n")
    for _ in range(12):
        path = bench.files.joinpath(*choose.choices(names, k=choose.randint(1, 3)))
        if not path.exists() and not any(parent.is_file() for parent in path.parents):
            bench.write(str(path.relative_to(bench.files)))
    lines = choose.choices(patterns, k=4)
    bench.write(".containerignore", "\n".join(lines))
    podman("build", "--quiet", "--tag", "localhost/x", bench.files)
    theirs, ours = {*podman.files("localhost/x", bench.root)}, {*bench.names()}
    assert theirs <= ours
    assert theirs == ours or ignore.read(bench.files / ".containerignore").has_exceptions


def test_the_text_for_podman_leaves_out_the_same(bench: Bench, podman: Podman) -> None:
    bench.write("out[1]/a")
    bench.write("b")
    text = bench.look(output=bench.files / "out[1]").ignore_text()
    (bench.root / "ignore").write_text(text or "")
    podman("build", "--quiet", "--ignorefile", bench.root / "ignore", "--tag", "localhost/x", bench.files)
    assert sorted(podman.files("localhost/x", bench.root)) == ["Containerfile", "b"]
