"""Receipts travel: whatever copies, moves or restores a project leaves everything fresh, and is read once."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ovtasks.graph.receipt import Receipt
from tests.support.programs import call
from tests.support.workbench import Workbench, cloud_vm, ran

DISK = "output/a/raw/disk.raw"
SIZE = 72 << 20
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def large_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw disk of 72 MiB: a boot sector, 66 MiB of data, a hole, a few bytes before the end."""
    path = tmp_path_factory.mktemp("images") / "large.raw"
    with path.open("wb") as file:
        file.write(bytes(446) + bytes.fromhex("80000200838fff0001000000ff1f0000") + bytes(48) + b"\x55\xaa")
        file.write(os.urandom(66 << 20))
        file.seek(SIZE - 4096)
        file.write(b"the end".ljust(4096))
    return path


@pytest.fixture
def built(bench: Workbench, large_image: Path) -> Workbench:
    bench.write({"a": cloud_vm(large_image, disk_size="72M")})
    bench.ov("vm", "build", "a", "--type", "raw")
    return bench


def program(name: str, *words: str | Path) -> None:
    assert shutil.which(name), f"this test needs {name}: install it"
    call(name, *words)


def by_tar(source: Path, target: Path) -> None:
    target.mkdir()
    program("tar", "-C", source, "-cf", target.with_suffix(".tar"), ".")
    program("tar", "-C", target, "-xf", target.with_suffix(".tar"))


def by_sparse_tar(source: Path, target: Path) -> None:
    target.mkdir()
    program("tar", "-C", source, "-cSzf", target.with_suffix(".tgz"), ".")
    program("tar", "-C", target, "-xmf", target.with_suffix(".tgz"))  # times are not restored


COPIES: dict[str, Callable[[Path, Path], None]] = {
    "tar": by_tar,
    "tar -S": by_sparse_tar,
    "cp -a": lambda source, target: program("cp", "-a", source, target),
    "cp -r --sparse=never": lambda source, target: program("cp", "-r", "--sparse=never", source, target),
    "cp -r --sparse=always": lambda source, target: program("cp", "-r", "--sparse=always", source, target),
    "rsync -r": lambda source, target: program("rsync", "-r", f"{source}/", target),
    "rsync -aS": lambda source, target: program("rsync", "-aS", f"{source}/", target),
    "mv": lambda source, target: program("mv", source, target),
}


def is_settled(bench: Workbench) -> None:
    """Nothing runs, and the second look is the fast one."""
    assert bench.ov("plan", "a", "--type", "raw", "--exit-code").stdout.endswith("nothing to do: 4 fresh\n")
    assert ran(bench.ov("vm", "build", "a", "--type", "raw").stderr) == []
    for path in (bench.root / "output").rglob("*.receipt.json"):
        receipt = Receipt.load(path)
        assert receipt and all(output.same_stat(output.path.stat()) for output in receipt.outputs), path
    assert bench.ov("vm", "build", "a", "--type", "raw").stderr == "nothing to do\n"


@pytest.mark.parametrize("how", COPIES)
def test_the_project_elsewhere(built: Workbench, tmp_path: Path, how: str) -> None:
    elsewhere = tmp_path / "else where"
    COPIES[how](built.root, elsewhere)
    if built.root.exists():
        shutil.rmtree(built.root)
    is_settled(Workbench(elsewhere, built.env))
    disk = (elsewhere / DISK).stat()
    assert disk.st_mode & 0o222 == 0


def test_output_beside_a_fresh_clone_on_another_machine(built: Workbench, tmp_path: Path) -> None:
    """git has the sources, a CI's cache the output; the home folders are new."""
    clone = tmp_path / "clone"
    for words in (("init", "-q"), ("add", "vms.yml", "dodo.py")):
        program("git", "-C", built.root, *words)
    who = ("-c", "user.name=n", "-c", "user.email=n@example.org")
    program("git", "-C", built.root, *who, "commit", "-qm", "all")
    program("git", "clone", "-q", built.root, clone)
    by_tar(built.root / "output", clone / "output")
    homes = {f"XDG_{name}_HOME": str(tmp_path / "machine" / name) for name in ("CACHE", "DATA", "CONFIG", "STATE")}
    is_settled(Workbench(clone, {**built.env, **homes}))


def test_restored_over_what_is_there(built: Workbench, tmp_path: Path) -> None:
    archive = tmp_path / "cache.tar"
    program("tar", "-C", built.root, "-cf", archive, "output")
    program("tar", "-C", built.root, "-xf", archive)
    is_settled(built)


def test_touched_and_punched(built: Workbench) -> None:
    disk = built.root / DISK
    program("touch", disk)
    is_settled(built)
    disk.chmod(0o600)
    with disk.open("r+b") as file:  # the hole becomes zeros
        file.seek(67 << 20)
        file.write(bytes(4 << 20))
    is_settled(built)
    program("fallocate", "--dig-holes", disk)
    program("touch", disk)
    is_settled(built)


def test_one_byte_of_a_large_disk(built: Workbench) -> None:
    disk = built.root / DISK
    old = disk.stat()
    disk.chmod(0o644)
    with disk.open("r+b") as file:
        file.seek(SIZE - 4096)
        file.write(b"T")
    os.utime(disk, ns=(old.st_atime_ns, old.st_mtime_ns + 1))
    assert built.reasons("a", "--type", "raw")["disk:a:raw"] == ["target changed by hand: disk.raw"]
    assert ran(built.ov("vm", "build", "a", "--type", "raw").stderr) == ["disk:a:raw"]
    new = disk.stat()
    assert new.st_ino != old.st_ino and new.st_mode & 0o222 == 0
    assert disk.read_bytes()[SIZE - 4096 : SIZE - 4089] == b"the end"


def test_made_again_with_the_same_content_stops_the_wave(built: Workbench) -> None:
    (built.root / DISK).unlink()
    assert built.plan("a", "--type", "raw")["seed:a:raw"] == "maybe"
    assert ran(built.ov("vm", "build", "a", "--type", "raw").stderr) == ["disk:a:raw"]


def test_a_receipt_of_the_first_format(built: Workbench) -> None:
    """Large outputs had no digest, and later steps went by what the disk was made from."""
    for path in (built.root / "output").rglob("*.receipt.json"):
        data = json.loads(path.read_text(encoding="utf-8"))
        data["format"] = 1
        for output in data["outputs"]:
            del output["mode"]
        if data["step"] == "disk:a:raw":
            data["digest"] = "inputs:" + "1" * 64
            data["outputs"][0]["content"] = None
        if data["step"] == "seed:a:raw":
            data["needs"]["disk"] = "inputs:" + "1" * 64
        path.write_text(json.dumps(data), encoding="utf-8")
    shutil.rmtree(built.root / "output/.ov/manifest")  # of another version
    disk = built.root / DISK
    disk.chmod(0o644)
    is_settled(built)
    receipt = Receipt.load(disk.with_name("disk.raw.receipt.json"))
    assert receipt and receipt.digest == "inputs:" + "1" * 64
    assert receipt.outputs[0].content and receipt.outputs[0].content.startswith("blocks-sha256:")
    assert disk.stat().st_mode & 0o777 == 0o444
    program("touch", disk)
    is_settled(built)
