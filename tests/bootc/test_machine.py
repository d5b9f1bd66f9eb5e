"""``engine.rootful: machine``: a podman behind a connection, as a podman machine has it. Here the other side is this
machine's own podman service: the client speaks the same protocol."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bootc.bench import Bench, bootc_vm, make_bench
from tests.bootc.install import control, derive, wait_for
from tests.bootc.leftovers import Before
from tests.bootc.room import Room
from tests.bootc.test_faults import builds_cleanly, kill, paused_build
from tests.support.workbench import ran

pytestmark = pytest.mark.slow
SOCKET = "/run/podman/podman.sock"


@contextlib.contextmanager
def service(room: Room, *options: str) -> Iterator[None]:
    """podman's service in the room, until the end of the block."""
    room.run("mkdir", "-p", Path(SOCKET).parent)
    process = room.popen("podman", *options, "system", "service", "--time=0", f"unix://{SOCKET}")
    try:
        wait_for(lambda: room.run("test", "-S", SOCKET, code=None).returncode == 0, process)
        yield
    finally:
        for pid, line in room.processes().items():
            if line.startswith("podman ") and "system service" in line:
                os.kill(pid, signal.SIGTERM)
        process.communicate()


@pytest.fixture
def bench(room: Room, clean: Before, tmp_path: Path) -> Bench:
    bench = make_bench(tmp_path / "project", room)
    bench.env["OV_ENGINE_ROOTFUL"] = "machine"
    bench.write({"web": bootc_vm()})
    return bench


def connect(bench: Bench) -> None:
    """Name the connection, in this test's own configuration."""
    bench.run(["podman", "system", "connection", "add", "ov-root", f"unix://{SOCKET}"])


def test_installed_behind_a_connection(bench: Bench) -> None:
    connect(bench)
    with service(bench.room):
        said = bench.ov("vm", "build", "web").stderr
        assert "podman --connection ov-root, because podman's connection ov-root answers" in said
        assert [step.split(":")[0] for step in ran(said)] == ["image", "install", "convert"]
    assert ran(bench.ov("vm", "build", "web").stderr) == []  # a no-op needs no machine
    assert bench.leftovers() == []


def test_a_storage_of_its_own(bench: Bench) -> None:
    """As root of a container is another root than the machine's: the image is copied, once."""
    connect(bench)
    with service(bench.room, "--root", "/var/lib/containers/other"):
        said = bench.ov("vm", "build", "web").stderr
        assert "copying localhost/standin:latest into the storage of podman --connection ov-root" in said
        bench.write({"web": bootc_vm(source={"kernel_args": ["quiet"]})})
        said = bench.ov("vm", "build", "web").stderr
        assert ran(said) == ["install:web", "convert:web"]
        assert "copying" not in said
    bench.room.run("umount", "/var/lib/containers/other/overlay")  # podman's own


def test_what_was_killed_is_cleared_behind_the_connection(bench: Bench, tmp_path: Path) -> None:
    """With the image that was installed: not every one can."""
    connect(bench)
    derive(bench.room, tmp_path / "empty", "localhost/a-newer-one", "LABEL x=1", base="scratch")
    with service(bench.room):
        process = paused_build(bench)
        kill(bench.room, "ov")
        process.communicate()
        control(bench.room, "")
        builds_cleanly(bench)


def test_without_a_machine_the_next_step_is_named(bench: Bench) -> None:
    said = bench.ov("vm", "build", "web", code=2).stderr
    assert "podman has no connection to a machine's root" in said and "podman machine init" in said
    connect(bench)
    said = bench.ov("vm", "build", "web", code=2).stderr
    assert "the connection ov-root does not answer" in said and "podman machine start" in said
