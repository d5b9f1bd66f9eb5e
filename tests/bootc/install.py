"""Installing by hand: the invocation that bootc's documentation gives, with one or another word left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from ovtasks.host.run import Result
from tests.bootc.room import DEADLINE, Room
from tests.support.processes import Process

STANDIN = "localhost/standin"
LOOPBACK = ("--via-loopback", "--generic-image", "--filesystem", "ext4")
GiB = 1 << 30
BUILD_DEADLINE = 300.0  # seconds for what takes a few, on a busy machine


@dataclass
class Lab:
    """``folder`` is ``/out`` in the container."""

    room: Room
    folder: Path
    built: set[str] = field(default_factory=set)

    def disk(self, name: str = "disk.raw", size: int = 2 * GiB) -> Path:
        """An empty file of that size."""
        self.folder.chmod(0o755)  # for who is not root in the container
        path = self.folder / name
        path.unlink(missing_ok=True)
        with path.open("wb") as file:
            file.truncate(size)
        return path

    def words(self, image: str, *words: str, without: Collection[str] = (), more: Collection[str] = ()) -> list[str]:
        """``podman run`` of an image; ``without`` names volumes (``/dev``) and options to leave out."""
        options = ["--privileged", "--pid=host", "--ipc=host", "--security-opt=label=type:unconfined_t"]
        volumes = {"/dev": "/dev", "/var/lib/containers": "/var/lib/containers", str(self.folder): "/out"}
        return [
            *("podman", "run", "--rm"),
            *(word for word in options if word not in without),
            *(f"--volume={here}:{there}" for here, there in volumes.items() if there not in without),
            *(*more, image, *words),
        ]

    def install(
        self,
        *words: str,
        image: str = STANDIN,
        code: int = 0,
        without: Collection[str] = (),
        more: Collection[str] = (),
        env: dict[str, str] | None = None,
    ) -> Result:
        """Run ``bootc install to-disk`` to its end and expect an exit code."""
        argv = self.words(image, "bootc", "install", "to-disk", *words, without=without, more=more)
        return self.room.run(*argv, code=code, env=env)

    def bootc(self, *words: str, image: str = STANDIN, code: int = 0) -> Result:
        """Run any command of ``bootc`` without rights."""
        return self.room.run("podman", "run", "--rm", image, "bootc", *words, code=code)

    def derive(self, name: str, *lines: str) -> str:
        """An image from the stand-in's, made once, as ``localhost/NAME``."""
        tag = f"localhost/{name}"
        if name not in self.built:
            derive(self.room, self.folder / f"context-{name}", tag, *lines)
            self.built.add(name)
        return tag


def derive(room: Room, context: Path, tag: str, *lines: str, base: str = STANDIN) -> None:
    """Build an image from ``base`` with more lines of a Containerfile."""
    context.mkdir(exist_ok=True)
    (context / "Containerfile").write_text("\n".join([f"FROM {base}", *lines, ""]), encoding="utf-8")
    room.podman("build", "--quiet", "--tag", tag, context)


def control(room: Room, wish: str) -> None:
    """``pause STAGE`` or ``fail STAGE`` for every installer in the room from now on; empty: go on."""
    file = room.containers / "standin.control"
    (room.containers / "standin.paused").unlink(missing_ok=True)
    if wish:
        file.write_text(wish, encoding="utf-8")
    else:
        file.unlink(missing_ok=True)


def wait_paused(room: Room, process: Process) -> None:
    """Wait until the installer is where ``pause`` stops it; ``process`` started it."""
    wait_for(lambda: (room.containers / "standin.paused").exists(), process, seconds=BUILD_DEADLINE)


def wait_for(what: Callable[[], bool], process: Process | None = None, seconds: float = DEADLINE) -> None:
    """Wait until ``what()`` is true; fail when ``process`` ends before."""
    end = time.monotonic() + seconds
    while not what():
        if process is not None and process.poll() is not None:
            raise AssertionError(f"it ended with status {process.returncode}: {process.communicate()}")
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)
