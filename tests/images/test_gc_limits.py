"""``ov gc --older-than --max-size``: the oldest goes first, what somebody holds stays, a dry run shows the same; and
after a clean the bytes are free."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from ovtasks.host.paths import image_store
from ovtasks.images.gc import Item, RetentionLimits, limited
from ovtasks.images.store import Store
from tests.support.processes import start
from tests.support.programs import attempt, call, qemu_io
from tests.support.workbench import DODO, EMULATED, Workbench, cloud_vm, make_image, new_bench

DAY = 86400.0
MiB = 1 << 20


def items(*facts: tuple[str, int, int, tuple[str, ...]]) -> list[Item]:
    """Name, MiB, days since its last use, holders."""
    return [Item(Path(name), size * MiB, "image", held, 1000 * DAY - days * DAY) for name, size, days, held in facts]


STORE = items(("a", 10, 1, ()), ("b", 20, 40, ()), ("c", 30, 90, ("vm",)), ("d", 5, 10, ()), ("e", 7, 30, ()))
CASES: list[tuple[RetentionLimits, set[str]]] = [
    (RetentionLimits(), {"a", "b", "d", "e"}),
    (RetentionLimits(age=30 * DAY), {"b", "e"}),
    (RetentionLimits(age=100 * DAY), set()),
    (RetentionLimits(age=0), {"a", "b", "d", "e"}),
    (RetentionLimits(size=72 * MiB), set()),
    (RetentionLimits(size=71 * MiB), {"b"}),
    (RetentionLimits(size=50 * MiB), {"b", "e"}),
    (RetentionLimits(size=31 * MiB), {"a", "b", "d", "e"}),
    (RetentionLimits(size=1), {"a", "b", "d", "e"}),
    (RetentionLimits(age=35 * DAY, size=46 * MiB), {"b", "e"}),
    (RetentionLimits(age=35 * DAY, size=60 * MiB), {"b"}),
]


@pytest.mark.parametrize(("limits", "goes"), CASES)
def test_what_goes(limits: RetentionLimits, goes: set[str]) -> None:
    found = limited(STORE, limits, 1000 * DAY)
    assert {item.path.name for item in found if item.removable} == goes
    assert all("limits" in item.held_by[0] for item in found if item.held_by != ("vm",) and not item.removable)


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return new_bench(tmp_path / "project", EMULATED, dodo=DODO)


def store_with(bench: Workbench, tmp_path: Path, days: dict[str, int]) -> dict[str, Path]:
    """Images that were used so many days ago, and that nothing holds any more."""
    store = Store(image_store())
    found = {}
    for name in days:
        image = tmp_path / f"{name}.qcow2"
        sha = make_image(image, mark=name.encode() * ord(name[0]))
        bench.write({"x": cloud_vm(image)})
        bench.ov("vm", "build", "x")
        found[name] = store.path(sha)
    bench.doit("clean", "build:x")
    for name, path in found.items():
        when = time.time() - days[name] * DAY
        os.utime(path, (when, when))
    return found


def gc(bench: Workbench, *words: str) -> list[dict[str, Any]]:
    """The images that went, or would go."""
    said = json.loads(bench.ov("gc", "--json", *words).stdout)
    return [one for one in said["removed"] if one["path"].startswith(str(image_store()))]


@pytest.mark.slow
def test_by_age_and_size_with_real_images(bench: Workbench, tmp_path: Path) -> None:
    found = store_with(bench, tmp_path, {"a": 1, "b": 40, "c": 50})
    bench.write({"x": cloud_vm(tmp_path / "c.qcow2")})
    bench.ov("vm", "build", "x")  # held, however old it looks
    os.utime(found["c"], (time.time() - 50 * DAY,) * 2)
    sizes = sum(path.stat().st_blocks * 512 for path in found.values())
    assert gc(bench, "--older-than", "60d") == []
    for words, name in ((("--older-than", "30d"), "b"), (("--max-size", f"{sizes // 2 // 1024}K"), "a")):
        dry = gc(bench, "--dry-run", *words)
        assert [Path(one["path"]).name for one in dry] == [found[name].name]
        assert found[name].exists()
        assert gc(bench, *words) == dry
        assert not found[name].exists() and found["c"].exists()
    assert "more than --max-size" in bench.ov("gc", "--max-size", "1K").stderr


BAD = [
    (("--older-than", "30"), "has no unit"),
    (("--older-than", "soon"), "is not a length of time"),
    (("--max-size", "50"), "has no unit"),
    (("--max-size", "much"), "is not a size"),
    (("--max-size", "-1G"), "expected one argument"),
    (("--max-size=-1G",), "is negative"),
    (("--max-size", "0"), "above zero"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("words", "said"), BAD)
def test_limits_that_are_none(words: tuple[str, ...], said: str, bench: Workbench) -> None:
    assert said in bench.ov("gc", *words, code=2).stderr


def blocks(*places: Path) -> int:
    """Bytes that these take on the disk, each inode once."""
    found = {}
    for path in (path for place in places for path in place.rglob("*")):
        status = path.lstat()
        if path.is_file():
            found[status.st_ino] = status.st_blocks * 512
    return sum(found.values())


def heavy(path: Path) -> int:
    """An image that takes some MiB; how many bytes."""
    make_image(path)
    fill = path.with_suffix(".fill")
    fill.write_bytes(os.urandom(6 * MiB))
    qemu_io("-f", "qcow2", "-c", f"write -s {fill} 1M 6M", path)
    return path.stat().st_blocks * 512


@pytest.mark.slow
@pytest.mark.parametrize("other", [False, True], ids=["alone", "shared"])
def test_clean_and_gc_free_the_bytes(other: bool, bench: Workbench, tmp_path: Path) -> None:
    image = tmp_path / "big.qcow2"
    size = heavy(image)
    vms = {"x": cloud_vm(image), **({"y": cloud_vm(image)} if other else {})}
    bench.write(vms)
    places = (bench.root / "output", tmp_path / "xdg", image_store())
    before = blocks(*places)
    bench.ov("vm", "build")
    bench.ov("vm", "create", "--no-start", "x")
    assert blocks(*places) - before > size
    bench.doit("clean", "build:x")
    assert gc(bench) == []  # the VM has it
    bench.ov("vm", "destroy", "--disk", "x")
    if other:
        assert gc(bench) == []
        assert bench.plan("y")["disk:y"] == "fresh"
        bench.doit("clean", "build:y")
    dry, left = gc(bench, "--dry-run"), json.loads(bench.ov("gc", "--dry-run", "--json").stdout)["removed"]
    said = json.loads(bench.ov("gc", "--json").stdout)["removed"]
    assert said == left and sum(one["size"] for one in dry) >= size
    assert blocks(*places) - before < MiB
    bench.ov("vm", "build", "x")  # and it can be built again


@pytest.mark.slow
def test_gc_while_steps_run_takes_nothing(bench: Workbench, tmp_path: Path) -> None:
    """A build that verified its image and has not made its disk yet still gets it."""
    image = tmp_path / "1.qcow2"
    make_image(image)
    bench.write({"x": cloud_vm(image)})
    bench.ov("vm", "build", "x")
    bench.doit("clean", "build:x")
    lock = bench.root / "output" / ".ov" / "locks" / "runs"
    with start("flock", "--no-fork", "--shared", lock, "sleep", "60") as run:
        deadline = time.monotonic() + 60
        while attempt("flock", "--nonblock", lock, "true").returncode == 0:
            assert time.monotonic() < deadline
        assert gc(bench) == []
        run.terminate()
    call("flock", lock, "true", timeout=60)
    assert gc(bench) != []
