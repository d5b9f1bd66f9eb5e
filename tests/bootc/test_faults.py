"""A bootc build that ends too early, in every way: the next one is right, and nothing is left of the first."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovtasks.host.run import require, run
from tests.bootc.bench import Bench, bootc_vm, make_bench
from tests.bootc.install import BUILD_DEADLINE, control, derive, wait_for, wait_paused
from tests.bootc.leftovers import Before, before
from tests.bootc.room import Room, inner_pid
from tests.support.processes import Process
from tests.support.workbench import DOIT, OV, ran

pytestmark = pytest.mark.slow
MiB = 1 << 20
BUILD = [*OV, "vm", "build", "web"]
PATIENCE = 90.0  # seconds: podman notices after twenty that a container's monitor is gone
PROGRAMS = {
    "ov": r"\S*python\S* -c .* vm build web",
    "podman": r"\S*podman run ",
    "conmon": r"\S*conmon ",
    "installer": r"/bin/bash \S*bootc install to-disk ",
}


@pytest.fixture
def bench(room: Room, clean: Before, tmp_path: Path) -> Bench:
    bench = make_bench(tmp_path / "project", room)
    bench.write({"web": bootc_vm()})
    return bench


def paused_build(bench: Bench, stage: str = "copy") -> Process:
    """A build whose installer stands still."""
    control(bench.room, f"pause {stage}")
    process = bench.start(BUILD)
    wait_paused(bench.room, process)
    return process


def kill(room: Room, *names: str) -> None:
    """kill -9."""
    processes = room.processes().items()
    pids = [pid for name in names for pid, line in processes if re.match(PROGRAMS[name], line)]
    assert len(pids) == len(names), processes
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # podman dies with us
            os.kill(pid, signal.SIGKILL)


def builds_cleanly(bench: Bench) -> None:
    """The next build is right, and the one after has nothing to do."""
    control(bench.room, "")
    assert ran(bench.ov("vm", "build", "web").stderr)[-2:] == ["install:web", "convert:web"]
    run(["qemu-img", "check", "-q", bench.disk])
    assert ran(bench.ov("vm", "build", "web").stderr) == []
    assert bench.leftovers() == []
    assert not (bench.root / "output/web/qcow2/.install").exists()


@pytest.mark.parametrize("names", [("podman",), ("conmon",), ("installer",), ("podman", "conmon")], ids="+".join)
def test_kill_what_installs(bench: Bench, clean: Before, names: tuple[str, ...]) -> None:
    """The build fails and cleans up itself."""
    process = paused_build(bench)
    kill(bench.room, *names)
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 1, said
    assert "hint:" in said
    assert clean.leftovers() == []
    builds_cleanly(bench)


@pytest.mark.parametrize("names", [("ov",), ("ov", "podman", "conmon", "installer")], ids="+".join)
def test_kill_us(bench: Bench, names: tuple[str, ...]) -> None:
    """The next build ends the container, whose installer goes on to write to the disk that this build wants to make."""
    process = paused_build(bench)
    kill(bench.room, *names)
    process.wait(PATIENCE)
    builds_cleanly(bench)


def test_gc_takes_what_a_killed_build_left(bench: Bench, clean: Before) -> None:
    process = paused_build(bench)
    kill(bench.room, "ov")
    process.wait(PATIENCE)
    assert any("container" in what for what in clean.leftovers())
    assert str(bench.root / "output/web/qcow2/.install") in bench.ov("gc", "--dry-run").stdout
    assert any("container" in what for what in clean.leftovers())
    bench.ov("gc")
    wait_for(lambda: not clean.leftovers(), seconds=60.0)
    builds_cleanly(bench)


def test_kill_us_while_we_convert(bench: Bench, clean: Before, tmp_path: Path) -> None:
    """What is installed is kept: the next build only converts."""
    hold, waits, programs = tmp_path / "hold", tmp_path / "waits", tmp_path / "bin"
    programs.mkdir()
    hold.touch()
    wait = f"if [ $1 = convert ]; then : > {waits}; while [ -e {hold} ]; do sleep 0.05; done; fi"
    (programs / "qemu-img").write_text(f'#!/bin/sh\n{wait}\nexec {require("qemu-img")} "$@"\n')
    (programs / "qemu-img").chmod(0o755)
    bench.env["PATH"] = f"{programs}:{os.environ['PATH']}"
    process = bench.start(BUILD)
    wait_for(waits.exists, process, seconds=BUILD_DEADLINE)
    kill(bench.room, "ov")
    process.wait(PATIENCE)
    hold.unlink()
    wait_for(lambda: not bench.room.processes(), seconds=60.0)
    assert ran(bench.ov("vm", "build", "web").stderr) == ["convert:web"]
    assert bench.leftovers() == []


def test_a_signal_while_steps_run_in_threads(bench: Bench, clean: Before) -> None:
    """The program does not wait for its threads: container, loop device and disk go before it ends. The markers may
    stay, which tell the next build that it was interrupted."""
    bench.write({"web": bootc_vm(), "db": bootc_vm()})
    control(bench.room, "pause copy")
    process = bench.start([*DOIT, "-n", "2", "-P", "thread", "build"])
    wait_paused(bench.room, process)
    os.kill(inner_pid(process), signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGTERM
    wait_for(lambda: all(rest.endswith(".running") for rest in clean.leftovers()), seconds=60.0)
    control(bench.room, "")
    bench.ov("vm", "build")
    assert bench.leftovers() == []


@pytest.mark.parametrize(("stage", "number"), [("attached", signal.SIGINT), ("copy", signal.SIGTERM)])
def test_signals(bench: Bench, clean: Before, stage: str, number: signal.Signals) -> None:
    process = paused_build(bench, stage)
    os.kill(inner_pid(process), number)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number
    wait_for(lambda: not clean.leftovers(), seconds=60.0)
    assert not (bench.root / "output/web/qcow2/.install").exists()


def test_clean_waits_for_a_build(bench: Bench, clean: Before) -> None:
    """It does not end what is being installed; then everything goes, maybe before the build comes to its next step."""
    process = paused_build(bench)
    cleaning = bench.start([*DOIT, "clean", "build:web"])
    assert cleaning.stdout is not None
    assert "waiting for process" in cleaning.stdout.readline()
    control(bench.room, "")
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 0 or "install:web has no result" in said or "the raw disk of web is gone" in said
    assert cleaning.communicate(timeout=PATIENCE)[1] == "" and cleaning.returncode == 0
    assert clean.leftovers() == []
    assert not list(bench.root.glob("output/web/**/disk*"))


def test_the_installer_fails(bench: Bench, clean: Before) -> None:
    control(bench.room, "fail loader")
    said = bench.ov("vm", "build", "web", code=1).stderr
    assert "the test wishes that it fails at loader" in said and "output/web/log/install.log\n" in said
    assert clean.leftovers() == []
    builds_cleanly(bench)


def test_another_projects_container_is_left_alone(bench: Bench, tmp_path: Path) -> None:
    """What a killed run left in another project, of a VM of the same name."""
    other = make_bench(tmp_path / "other", bench.room)
    other.write({"web": bootc_vm()})
    process = paused_build(other)
    kill(bench.room, "ov")
    process.wait(PATIENCE)
    kept = bench.room.podman("ps", "--quiet")
    control(bench.room, "pause nothing")  # more: that one still stands still
    bench.ov("vm", "build", "web")
    bench.ov("gc")
    assert kept and bench.room.podman("ps", "--quiet") == kept
    builds_cleanly(other)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that holds little more than a build needs."""
    image, place = tmp_path / "small.img", tmp_path / "small"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(1280 * MiB)
    run(["mkfs.ext4", "-q", "-m", "0", image])
    run(["mount", "-o", "loop", image, place])
    try:
        yield place
    finally:
        run(["umount", place])


@pytest.fixture
def small(place: Path, room: Room) -> Iterator[Bench]:
    """A project there. The room is made after it, and so has it."""
    bench = make_bench(place / "project", room)
    bench.write({"web": bootc_vm()})
    remembered = before(room, place)
    yield bench
    remembered.nothing_is_left()


@contextlib.contextmanager
def full(bench: Bench, left: int = 4 * MiB) -> Iterator[None]:
    """Little space but ``left`` bytes in the project's file system."""
    filler = bench.root / "filler"
    free = os.statvfs(bench.root)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - left)
    try:
        yield
    finally:
        filler.unlink()


def test_disk_full_while_it_installs(small: Bench) -> None:
    process = paused_build(small)
    with full(small):
        control(small.room, "")
        said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 1
    assert re.search("the disk (filled up|is full)", said) and "hint:" in said, said
    assert not (small.root / "output/web/qcow2/.install").exists()
    builds_cleanly(small)


def test_disk_full_while_it_converts(small: Bench) -> None:
    """The installed disk is kept: what is done again is the conversion."""
    process = paused_build(small, "finished")
    with full(small, left=100 * MiB):
        control(small.room, "")
        said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 1
    assert "the disk filled up while" in said and "hint:" in said, said
    assert ran(small.ov("vm", "build", "web").stderr) == ["convert:web"]
    assert ran(small.ov("vm", "build", "web").stderr) == []


def test_no_space_from_the_start(small: Bench) -> None:
    """Known before anything is started."""
    with full(small, left=300 * MiB):
        said = small.ov("vm", "build", "web", code=1).stderr
    assert "free; the raw disk and the qcow2 need about" in said
    log = small.root / "output/web/log/install.log"
    assert not log.exists() or "--privileged" not in log.read_text()


def test_image_too_large_for_the_disk(bench: Bench, clean: Before) -> None:
    bench.write({"web": bootc_vm(disk_size="700M")})
    said = bench.ov("vm", "build", "web", code=2).stderr
    assert "the image does not fit on the disk" in said and "disk_size" in said
    assert clean.leftovers() == []


def test_the_image_is_damaged(bench: Bench, clean: Before, tmp_path: Path) -> None:
    """What the installer needs is not there: its own words reach the user."""
    derive(bench.room, tmp_path / "broken", "localhost/broken", "RUN rm /usr/sbin/sfdisk")
    bench.write({"web": bootc_vm("localhost/broken")})
    said = bench.ov("vm", "build", "web", code=1).stderr
    assert "sfdisk" in said
    assert clean.leftovers() == []
