"""What a build can leave behind: loop devices, containers, mounts, processes, files."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ovtasks.host.run import run
from tests.bootc.room import Room

# Where a mount of ours can be; podman binds its own folder to itself, and keeps it so.
PLACES = ("/var/lib/containers", "/run/bootc")
PODMANS = "/var/lib/containers/storage/overlay"
SECONDS = 120.0  # for processes that are ending
NAMES = (".part", ".running", ".link", ".raw")


@dataclass(frozen=True)
class Before:
    """What was there when the test began."""

    room: Room
    folder: Path
    loops: frozenset[tuple[str, tuple[str, str]]]
    mounts: frozenset[str]
    processes: frozenset[int]

    def leftovers(self, *, raw: bool = False) -> list[str]:
        """Everything that the test should have taken away; ``raw``: a finished raw disk is wanted."""
        return sorted(
            [
                *(f"loop device {device} on {file}" for device, file in self.loops_left()),
                *(f"container {line}" for line in self.room.podman("ps", "--all", "--noheading").splitlines()),
                *(f"process {pid}: {line}" for pid, line in self._processes().items()),
                *(f"mount {place}" for place in self._mounts() - self.mounts),
                *(f"file {path}" for path in self._files(raw)),
            ]
        )

    def loops_left(self) -> Iterator[tuple[str, str]]:
        """New loop devices on files of this test, or on files that are gone."""
        files = {identity(path) for path in self.folder.rglob("*") if path.is_file()}
        for device, (file, known) in loop_devices().items():
            if (device, (file, known)) not in self.loops and (known in files or "(deleted)" in file):
                yield device, file

    def nothing_is_left(self) -> None:
        """Fail with what is left, a finished raw disk excepted; loop devices are detached, the next test is not to
        blame."""
        end = time.monotonic() + SECONDS
        while (left := self.leftovers(raw=True)) and time.monotonic() < end:
            time.sleep(0.1)
        for device, _ in self.loops_left():
            run(["losetup", "--detach", device], check=False)
        assert not left, left

    def _processes(self) -> dict[int, str]:
        return {pid: line for pid, line in self.room.processes().items() if pid not in self.processes}

    def _mounts(self) -> set[str]:
        ours = (*PLACES, str(self.folder))
        return {place for place in self.room.mounts() if place.startswith(ours) and place != PODMANS}

    def _files(self, raw: bool) -> Iterator[Path]:
        for path in self.folder.rglob("*"):
            if path.name.endswith(NAMES) and not (raw and path.name == "disk.raw"):
                yield path


def before(room: Room, folder: Path) -> Before:
    """Remember what is there now; ``folder`` is where the test works."""
    return Before(
        room, folder, frozenset(loop_devices().items()), frozenset(room.mounts()), frozenset(room.processes())
    )


def identity(path: Path) -> str:
    """Of a file, as losetup writes it."""
    stat = path.stat()
    return f"{os.major(stat.st_dev)}:{os.minor(stat.st_dev)} {stat.st_ino}"


def loop_devices() -> dict[str, tuple[str, str]]:
    """The file's name (the kernel's) and :func:`identity` by device."""
    text = run(["losetup", "--json", "--list", "--output", "NAME,BACK-FILE,BACK-INO,BACK-MAJ:MIN"]).stdout
    devices = json.loads(text)["loopdevices"] if text.strip() else []
    return {
        device["name"]: (str(device["back-file"]), f"{device['back-maj:min'].strip()} {device['back-ino']}")
        for device in devices
    }
