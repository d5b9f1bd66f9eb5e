"""The fast path answers from everywhere what the long way would, and never when anything is not as it was."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ovtasks.cli.main import run
from ovtasks.graph import manifest, save_manifest
from ovtasks.graph.manifest import answer, asked, shown
from ovtasks.host import settings
from ovtasks.project import places
from tests.support.workbench import Workbench, cloud_vm, ran

DISK, SEED = "output/a/qcow2/disk.qcow2", "output/a/qcow2/seed.iso"
NOTE = "output/.ov/manifest/ov a"


def settle() -> None:
    """Until what was just written is old enough to be believed."""
    time.sleep(2 * save_manifest.RACY_NS / 1e9)


def fast(*words: str) -> str | None:
    wanted = asked(list(words))
    return answer(wanted) if wanted is not None else None


@pytest.fixture
def built(bench: Workbench, small_image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """A project with one built VM; we are in its folder, and what an owner's key is, is said by an included file."""
    (tmp_path / "id.pub").write_text(
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPUKNVhYYDLU14NQxYBZrLcAz2dRRzQ8RSYVHxS1fsL3 me\n", encoding="utf-8"
    )
    bench.write({"a": cloud_vm(small_image, ssh={"key_source": str(tmp_path / "id.pub"), "user": "me"})}, "more.yml")
    (bench.root / "vms.yml").write_text("includes: more.yml\n", encoding="utf-8")
    settle()
    monkeypatch.chdir(bench.root)
    assert run(["vm", "build", "a"]) == 0
    assert fast("vm", "build", "a") == f"{DISK}\n{SEED}\n"
    return bench


def test_from_everywhere(built: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = built.root
    (root / "sub/deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(root)
    absolute = f"{root}/{DISK}\n{root}/{SEED}\n"
    for folder, words, lines in (
        (root, ["-q"], f"{DISK}\n{SEED}\n"),
        (root, ["--quiet"], f"{DISK}\n{SEED}\n"),
        (root / "sub/deep", [], absolute),
        (root / "output/a", [], "qcow2/disk.qcow2\nqcow2/seed.iso\n"),
        (root / "output/.ov", [], absolute),
        (tmp_path, ["-q", "-C", "project"], f"project/{DISK}\nproject/{SEED}\n"),
        (tmp_path, ["-Cproject/sub"], f"project/{DISK}\nproject/{SEED}\n"),
        (tmp_path, ["-C", "link"], f"project/{DISK}\nproject/{SEED}\n"),
        (tmp_path / "xdg", ["-C", str(root)], absolute),
        (Path("/"), ["-C", str(root)], absolute.replace("/tmp", "tmp") if str(root).startswith("/tmp") else None),
    ):
        monkeypatch.chdir(folder)
        found = fast(*words, "vm", "build", "a")
        assert found is not None and (lines is None or found == lines), (folder, words)
    monkeypatch.chdir(tmp_path)
    assert fast("vm", "build", "a") is None
    monkeypatch.setenv("OV_PROJECT_DIR", "project")
    assert fast("vm", "build", "a") == f"project/{DISK}\nproject/{SEED}\n"
    assert fast("-C", "xdg", "vm", "build", "a") is None


def test_the_long_way_says_the_same(built: Workbench, tmp_path: Path) -> None:
    (built.root / "sub").mkdir()
    for folder, words in ((built.root / "sub", []), (built.root / "output", []), (tmp_path, ["-C", "project"])):
        at = Workbench(folder)
        quick = at.ov("-q", *words, "vm", "build", "a")
        (built.root / NOTE).unlink()
        assert at.ov("-q", *words, "vm", "build", "a").stdout == quick.stdout
        assert quick.stderr == ""
        assert (built.root / NOTE).exists()


OTHER_WORDS = (
    ["vm", "build", "a", "-q"],
    ["-x", "vm", "build", "a"],
    ["-C", "-q", "vm", "build", "a"],
    ["-C"],
    ["-C=.", "vm", "build", "a"],
    ["--", "vm", "build", "a"],
    ["vm", "list", "build"],
    ["build", "vm", "a"],
    ["vm", "build", "a", "a"],
    ["vm", "build", "a", "--size", "2G"],
    ["vm", "build", "a", "--refresh"],
    ["vm", "build", "a/../a"],
    ["vm", "build", "+a"],
)


def test_other_words_are_looked_into(built: Workbench) -> None:
    for words in OTHER_WORDS:
        assert fast(*words) is None, words


def test_words_that_look_alike_have_notes_of_their_own() -> None:
    lists = [["a", "b"], ["a+b"], ["a/b"], ["a%2Fb"], ["a%b"], ["a b"], ["a%2Bb"], []]
    names = {manifest.file_name(manifest.OV, words) for words in lists}
    assert len(names) == len(lists) and all(name and "/" not in name for name in names)


CHANGES: dict[str, Callable[[Path], object]] = {
    "disk removed": lambda root: (root / DISK).unlink(),
    "disk cut": lambda root: os.truncate(root / DISK, 100),
    "disk's mode": lambda root: (root / DISK).chmod(0o600),
    "seed's mode": lambda root: (root / SEED).chmod(0o644),
    "seed edited, its time set back": lambda root: edit_and_set_back(root / SEED),
    "seed replaced by a link to a copy": lambda root: link_to_copy(root / SEED),
    "seed replaced by a folder": lambda root: become(root / SEED, Path.mkdir),
    "seed replaced by a pipe": lambda root: become(root / SEED, os.mkfifo),
    "seed's times": lambda root: os.utime(root / SEED, (2**33, 2**33)),
    "receipt gone": lambda root: (root / f"{SEED}.receipt.json").unlink(),
    "output gone": lambda root: shutil.rmtree(root / "output/a"),
    "base image cut": lambda root: os.truncate(base(root), 4096),
    "base link gone": lambda root: base(root).unlink(),
    "included file edited, its time set back": lambda root: edit_and_set_back(root / "more.yml", b" \n"),
    "included file gone": lambda root: (root / "more.yml").rename(root / "other.yml"),
    "a file that is looked for": lambda root: (root / "overthink.yml").write_text("includes: []\n"),
    "images": lambda root: (root / "image.yml").write_text("images: {}\n"),
    "lock file": lambda root: (root / "ovtasks.lock").write_text("{}"),
    "key": lambda root: edit_and_set_back(root.parent / "id.pub", b"# me\n"),
    "project moved": lambda root: os.chdir(shutil.copytree(root, root.parent / "new")),
    "cache elsewhere": lambda root: os.environ.__setitem__("XDG_CACHE_HOME", str(root.parent / "c")),
    "data elsewhere": lambda root: os.environ.__setitem__("XDG_DATA_HOME", str(root.parent / "d")),
    "home elsewhere": lambda root: os.environ.__setitem__("HOME", str(root.parent)),
    "podman's storage elsewhere": lambda root: os.environ.__setitem__("CONTAINERS_STORAGE_CONF", "/x"),
    "other modules": lambda root: os.environ.__setitem__("PYTHONPATH", str(root)),
    "note readable by others": lambda root: (root / NOTE).chmod(0o644),
    "note with another name": lambda root: (root / "x").hardlink_to(root / NOTE),
    "note is a link": lambda root: link_to_copy(root / NOTE),
    "note is a pipe": lambda root: become(root / NOTE, os.mkfifo),
    "note is a folder": lambda root: become(root / NOTE, Path.mkdir),
    "note is empty": lambda root: (root / NOTE).write_bytes(b""),
    "note is JSON": lambda root: (root / NOTE).write_text("[[[[{}]]]]"),
    "note is of nothing": lambda root: (root / NOTE).write_bytes(bytes(os.path.getsize(root / NOTE))),  # noqa: PTH202
    "note is cut": lambda root: os.truncate(root / NOTE, 200),
}


def become(path: Path, make: Callable[[Path], object]) -> None:
    """Something else stands in the file's place."""
    path.unlink()
    make(path)
    path.chmod(0o700 if path.is_dir() else 0o600)


def base(root: Path) -> Path:
    return next((root / "output/.images").glob("*.qcow2"))


def edit_and_set_back(path: Path, more: bytes = b"") -> None:
    before = path.stat()
    data = bytearray(path.read_bytes() + more)
    data[-1 if not more else 0] ^= 0 if more else 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def link_to_copy(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy2(path, copy)
    path.unlink()
    path.symlink_to(copy)


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(built: Workbench, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "HOME", "CONTAINERS_STORAGE_CONF", "PYTHONPATH"):
        monkeypatch.setenv(name, os.environ.get(name, ""))  # put back afterwards
    assert run(["vm", "build", "a"]) == 0
    assert fast("vm", "build", "a") is not None
    CHANGES[change](built.root)
    assert fast("vm", "build", "a") is None


def test_another_users_note_is_not_believed(built: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert fast("vm", "build", "a") is None


def test_another_checkout_of_the_program_looks_itself(built: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "__file__", "/elsewhere/ovtasks/graph/manifest.py")
    assert fast("vm", "build", "a") is None


def test_what_was_edited_a_moment_ago_is_not_believed(built: Workbench) -> None:
    """A second edit in the same tick of the file system's clock would leave no trace."""
    more = built.root / "more.yml"
    more.write_text(more.read_text(encoding="utf-8") + " ", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(save_manifest, "RACY_NS", 600 * 10**9)  # a busy machine's moment
        assert run(["vm", "build", "a"]) == 0
    assert fast("vm", "build", "a") is None
    settle()
    assert run(["vm", "build", "a"]) == 0
    assert fast("vm", "build", "a") is not None


@pytest.mark.parametrize(
    ("mtime", "ctime", "now", "young"),
    [
        (5, 10_000_000_000, 10_019_000_000, True),
        (5, 10_000_000_000, 10_021_000_000, False),
        (10_000_000_000, 10_000_000_000, 11_900_000_000, True),  # whole seconds
        (10_000_000_000, 10_000_000_000, 12_100_000_000, False),
        (5, 99_000_000_001, 10_000_000_000, True),  # of the future
    ],
)
def test_young(mtime: int, ctime: int, now: int, young: bool) -> None:
    assert save_manifest._young(("x", 1, mtime, 7, ctime), now) is young


def test_a_project_that_may_not_be_written_is_built_all_the_same(built: Workbench) -> None:
    shutil.rmtree(built.root / "output/.ov/manifest")
    (built.root / "output/.ov/manifest").write_text("", encoding="utf-8")
    done = built.ov("vm", "build", "a")
    assert done.stdout == f"{DISK}\n{SEED}\n" and ran(done.stderr) == []


def test_paths_are_shown_as_the_long_way_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = ["output/a/qcow2/disk.qcow2", "output/b/raw/disk.raw"]
    for root in ("/p", "/p/q", "/p/..q", "/p/output", "/pp"):
        for here in ("/", "/p", "/p/q", "/p/output", "/p/output/a", "/p/q/output/b/raw", "/p/qq", "/pp/outputs"):
            expected = []
            for name in names:
                short = os.path.relpath(f"{root}/{name}", here)
                expected.append(f"{root}/{name}" if short.startswith("..") else short)
            assert shown(names, root, here).splitlines() == expected, (root, here)


def test_a_project_is_known_by_the_same_files() -> None:
    assert sorted(manifest.ROOT_FILES) == sorted(places.ROOT_FILES)
    assert sorted(manifest.LESSER_FILES) == sorted(places.LESSER_FILES)


def test_settings_are_watched(
    built: Workbench, small_image: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Settings decide what an entry leaves open: a change is noticed, and makes stale what it changes."""
    silent = cloud_vm(small_image)
    del silent["disk_size"]
    built.write({"a": silent}, "more.yml")
    settle()
    assert run(["vm", "build", "a"]) == 0
    assert fast("vm", "build", "a") is not None
    settings.put("vm.disk_size", "64M")
    assert fast("vm", "build", "a") is None
    settle()
    capsys.readouterr()
    assert run(["plan", "a"]) == 0
    assert "64M" in capsys.readouterr().out
    assert run(["vm", "build", "a"]) == 0
    assert fast("vm", "build", "a") is not None
    monkeypatch.setenv("OV_VM_DISK_SIZE", "80M")
    assert fast("vm", "build", "a") is None
    monkeypatch.delenv("OV_VM_DISK_SIZE")
    assert fast("vm", "build", "a") is not None
