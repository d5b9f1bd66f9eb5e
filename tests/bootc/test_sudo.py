"""An ordinary user builds images by rootless podman, and has them installed by sudo's."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ovtasks.host.run import run
from tests.bootc.bench import Bench, bootc_vm, make_bench
from tests.bootc.conftest import must_be_root
from tests.bootc.install import LOOPBACK, STANDIN, Lab, control, wait_for, wait_paused
from tests.bootc.leftovers import Before, before
from tests.bootc.room import Room, inner_pid
from tests.bootc.storage import standin_room
from tests.support.processes import Process
from tests.support.session import SessionUser, session_user
from tests.support.workbench import OV, ran

pytestmark = pytest.mark.slow


@dataclass
class Sudoer:
    """``sudoers`` is the file, seen in the room only, that lets the user become root; ``large`` is its ``/var/tmp``."""

    user: SessionUser
    room: Room
    bench: Bench
    sudoers: Path
    large: Path

    def may_become_root(self, yes: bool) -> None:
        self.sudoers.write_text(f"{self.user.name} ALL=(ALL) NOPASSWD: ALL\n" if yes else "", encoding="utf-8")

    def argv(self, *words: str | Path) -> list[str | Path]:
        """Words for the room that run a command as the user, with nothing of our environment."""
        variables = [f"{name}={value}" for name, value in self.user.env.items()]
        return [*self.user.words, "env", "-i", *variables, *words]


@pytest.fixture(scope="module")
def sudoer() -> Iterator[Sudoer]:
    """The user's own storage has the stand-in, by a copy: they could have built it."""
    must_be_root()
    with session_user() as user, standin_room() as room:
        folder = room.folder / "sudoers.d"
        folder.mkdir()
        sudoers = folder / "test"
        sudoers.touch(0o440)
        room.bind(folder, "/etc/sudoers.d")
        bench = make_bench(user.home / "project", room)
        made = Sudoer(user, room, bench, sudoers, own_var_tmp(room, user))
        bench.words = tuple(map(str, made.argv()))
        bench.python = user.python
        archive = user.home / "standin.tar"
        room.podman("save", "--quiet", "--output", archive, STANDIN)
        user.owned(user.home)
        room.run(*made.argv("podman", "load", "--quiet", "--input", archive), cwd=user.home)
        archive.unlink()
        yield made


def own_var_tmp(room: Room, user: SessionUser) -> Path:
    """Give the room a ``/var/tmp`` where no other podman of this machine puts anything; the user's home stays there."""
    large = room.folder / "var-tmp"
    home = large / user.home.name
    home.mkdir(parents=True)
    large.chmod(0o1777)
    room.bind(user.home, str(home))
    room.run("mount", "--rbind", large, "/var/tmp")
    return large


@pytest.fixture
def clean(sudoer: Sudoer) -> Iterator[Before]:
    remembered = before(sudoer.room, sudoer.bench.root)
    sudoer.may_become_root(True)
    yield remembered
    control(sudoer.room, "")
    remembered.nothing_is_left()


def build(sudoer: Sudoer, code: int = 0) -> str:
    sudoer.user.owned(sudoer.bench.root)
    return sudoer.bench.ov("vm", "build", "web", code=code).stderr


def test_built_by_the_user_installed_by_root(sudoer: Sudoer, clean: Before) -> None:
    """The image is copied once: what counts is its ID."""
    bench = sudoer.bench
    bench.write_image("os", "RUN echo 1 > /etc/mark")
    bench.write({"web": bootc_vm("os")})
    said = build(sudoer)
    assert [step.partition(":")[0] for step in ran(said)] == ["base", "image", "install", "convert"]
    assert "web: sudo podman, because sudo asks for no password" in said
    assert "copying localhost/os:latest into the storage of sudo podman" in said
    assert ran(build(sudoer)) == []
    bench.write({"web": bootc_vm("os", source={"kernel_args": ["quiet"]})})
    said = build(sudoer)
    assert ran(said) == ["install:web", "convert:web"]
    assert "copying" not in said
    assert bench.disk.owner() == sudoer.user.name
    run(["qemu-img", "check", "-q", bench.disk])
    words = ("podman", "image", "inspect", "--format", "{{.Id}} {{.ManifestType}}", "localhost/os")
    mine = sudoer.room.run(*sudoer.argv(*words), cwd=sudoer.user.home).stdout
    assert sudoer.room.run(*words).stdout == mine
    assert mine.split()[1].startswith("application/vnd.oci."), "docker's form would be another one to composefs"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_struck_while_the_image_is_copied(sudoer: Sudoer, clean: Before, number: signal.Signals) -> None:
    """Neither podman leaves a temporary file, and root's ends by itself; then again: the image comes, the same one."""
    bench = sudoer.bench
    bench.write_image("os", f"RUN echo {number.name} > /etc/mark")
    bench.write({"web": bootc_vm("os")})
    sudoer.user.owned(bench.root)
    process = bench.start([*OV, "vm", "build", "web"])
    assert process.stderr is not None
    while "copying localhost/os" not in process.stderr.readline():
        assert process.poll() is None
    wait_for(lambda: any("podman load" in line for line in copying(sudoer.room)), process)
    os.kill(inner_pid(process), number)
    process.communicate(timeout=60)
    wait_for(lambda: not copying(sudoer.room))
    wait_for(lambda: temporary(sudoer) == [])
    said = build(sudoer)
    assert ran(said)[-2:] == ["install:web", "convert:web"]
    wait_for(lambda: temporary(sudoer) == [])
    assert not any((bench.root / "output/.ov/podman").iterdir())


def copying(room: Room) -> list[str]:
    """The podmans that do it; another one keeps the user's namespace open."""
    return [line for line in room.processes().values() if "podman save" in line or "podman load" in line]


def temporary(sudoer: Sudoer) -> list[str]:
    """What podman and its libraries put where large temporary files go."""
    return sorted(path.name for path in sudoer.large.iterdir() if path.name != sudoer.user.home.name)


def paused_build(sudoer: Sudoer, argument: str) -> Process:
    """A build that stands still while it copies; the kernel argument makes it another one than the last."""
    bench = sudoer.bench
    bench.write({"web": bootc_vm(STANDIN, source={"kernel_args": [argument]})})
    sudoer.user.owned(bench.root)
    control(sudoer.room, "pause copy")
    process = bench.start([*OV, "vm", "build", "web"])
    wait_paused(sudoer.room, process)
    return process


def test_killed(sudoer: Sudoer, clean: Before) -> None:
    """Root's container and its loop device outlive the user's process; the next build ends them by sudo."""
    process = paused_build(sudoer, "debug")
    os.kill(inner_pid(process), signal.SIGKILL)
    process.wait(60)
    assert list(clean.loops_left())
    control(sudoer.room, "")
    assert ran(build(sudoer))[-2:] == ["install:web", "convert:web"]


def test_interrupted(sudoer: Sudoer, clean: Before) -> None:
    """sudo's children get no signal from us: the container is ended by podman."""
    process = paused_build(sudoer, "nosmt")
    os.kill(inner_pid(process), signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_without_a_way_to_root(sudoer: Sudoer, clean: Before) -> None:
    """Each way says why not."""
    sudoer.may_become_root(False)
    sudoer.bench.write({"web": bootc_vm(STANDIN, source={"kernel_args": ["quiet", "debug"]})})
    said = build(sudoer, code=1)
    assert "there is no way to one:" in said
    for line in ("native: you are not root", "sudo: sudo does not let you: ", "machine: "):
        assert line in said
    assert "hint:" in said


def test_rootless_installer_is_refused(sudoer: Sudoer, clean: Before) -> None:
    """The stand-in's contract: what would happen without sudo."""
    lab = Lab(sudoer.room, sudoer.user.home / "out")
    lab.folder.mkdir()
    lab.disk()
    sudoer.user.owned(lab.folder)
    words = lab.words(
        STANDIN, "bootc", "install", "to-disk", *LOOPBACK, "/out/disk.raw", without=("/var/lib/containers",)
    )
    done = sudoer.room.run(*sudoer.argv(*words), cwd=sudoer.user.home, code=1)
    assert done.stderr.endswith(
        "error: Installing to disk: /proc/1 is owned by 65534, not zero; this command must be run in the root user "
        "namespace (e.g. not rootless podman)\n"
    )
