"""A project with one VM ``web``, by either backend: what the tests of lost files and of kills have in common."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.pace import without_waits
from tests.support.processes import Process, start
from tests.support.programs import attempt, qemu_io
from tests.support.session import SessionUser
from tests.support.workbench import OV, Workbench, cloud_vm, make_image

MARK = "write -P 0x5a 1M 64k"
SECONDS = 300.0  # longer than what is run waits itself, so that its own words are seen


@dataclass
class Room:
    """``words`` run ``ov``, in ``project`` with ``env``; ``data`` is where the instances are."""

    backend: str
    project: Path
    data: Path
    words: list[str]
    env: dict[str, str]

    def start(self, *words: str) -> Process:
        return start(*self.words, *words, cwd=self.project, env=self.env)

    def ov(self, *words: str, code: int | None = 0) -> str:
        """What it said on both channels."""
        done = attempt(*self.words, *words, cwd=self.project, env=self.env, timeout=SECONDS)
        said = done.stdout + without_waits(done.stderr)
        assert code is None or done.returncode == code, f"ov {' '.join(words)}: {done.returncode}\n{said}"
        assert "Traceback" not in said, said
        return said

    @property
    def folder(self) -> Path:
        return self.data / "vm" / "ov-web"

    def record(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads((self.folder / "instance.json").read_text())
        return data

    def vm(self) -> dict[str, Any]:
        """As ``ov vm status`` has it."""
        done = attempt(*self.words, "vm", "status", "web", "--json", cwd=self.project, env=self.env, timeout=SECONDS)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def mark(self) -> None:
        """Something that only this disk has."""
        qemu_io("-f", "qcow2", "-c", MARK, self.folder / "disk.qcow2")

    def marked(self) -> bool:
        said = qemu_io(
            "-U", "-r", "-f", "qcow2", "-c", MARK.replace("write", "read"), self.folder / "disk.qcow2"
        ).stdout
        return "read 65536/65536" in said and "failed" not in said

    def qemus(self) -> list[int]:
        """The processes that have the disk open."""
        return [pid for pid, words in processes() if any(f"{self.folder}/disk.qcow2" in word for word in words)]

    def helpers(self) -> list[list[str]]:
        """All processes but those of libvirt's daemon that name something of ours."""
        return [words for pid, words in processes() if pid != os.getpid() and any(str(self.data) in w for w in words)]

    def files(self) -> dict[str, tuple[int, int, int]]:
        """Everything below the data and libvirt's definitions: size, time, inode. Not locks, nor what guests write."""
        places = [self.data, self.project.parent / ".config" / "libvirt"]
        found = {}
        for path in sorted(path for place in places for path in place.rglob("*") if not path.is_dir()):
            if "locks" not in path.parts and path.name not in {"serial.log", "ports.lock", "disk.qcow2"}:
                stat = path.lstat()
                found[str(path)] = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
        return found


def processes() -> Iterator[tuple[int, list[str]]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            yield int(entry.name), [os.fsdecode(word) for word in words.split(b"\0")]


def declare(room: Room, image: Path, **fields: Any) -> None:
    vm = cloud_vm(image, **{"ram": "128M", "cpus": 1, "ssh": {"user": "me", "key_source": "generate"}, **fields})
    (room.project / "vms.yml").write_text(json.dumps({"vms": {"web": vm}}), encoding="utf-8")


@contextmanager
def qemu_room(tmp_path: Path) -> Iterator[Room]:
    """By plain QEMU, as whoever runs the tests."""
    project = tmp_path / "p"
    project.mkdir()
    make_image(tmp_path / "empty.qcow2")
    bench = Workbench(project)
    env = {**os.environ, "OV_VM_BACKEND": "qemu", "OV_VM_ACCEL": "tcg", "XDG_DATA_HOME": str(tmp_path / "d")}
    room = Room("qemu", bench.root, tmp_path / "d" / "ov", OV, env)
    declare(room, tmp_path / "empty.qcow2")
    # sockets are the room's own: `ov gc` of another room takes a folder in which nobody listens yet for left over
    with tempfile.TemporaryDirectory(prefix="ovr") as runtime:
        env["XDG_RUNTIME_DIR"] = runtime
        try:
            yield room
        finally:
            end(room)


@contextmanager
def libvirt_room(user: SessionUser) -> Iterator[Room]:
    """By the session of an ordinary user, in a home of its own."""
    home = Path(tempfile.mkdtemp(prefix="r", dir=user.home))
    (home / "p").mkdir()
    make_image(home / "empty.qcow2")
    python = [user.python, "-c", OV[2]]
    env = {**user.env, "OV_VM_BACKEND": "libvirt", "OV_VM_ACCEL": "tcg", "XDG_DATA_HOME": str(home / "d")}
    env["XDG_CACHE_HOME"] = str(home / "c")
    room = Room("libvirt", home / "p", home / "d" / "ov", [*user.words, *python], env)
    declare(room, home / "empty.qcow2")
    user.owned(home)
    try:
        yield room
    finally:
        room.ov("vm", "destroy", "--disk", "web", code=None)
        end(room)
        shutil.rmtree(home, ignore_errors=True)


def end(room: Room) -> None:
    """Nothing of the VM runs."""
    for pid in room.qemus():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    until = time.monotonic() + 60
    while room.qemus() and time.monotonic() < until:
        time.sleep(0.05)
