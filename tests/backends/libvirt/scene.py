"""What the scenes of :mod:`.scenes` share: guests with an empty disk, and waits."""

from __future__ import annotations

import os
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp

from ovtasks.backends.contract import Handle
from ovtasks.backends.libvirt import Libvirt, session
from ovtasks.errors import OvError
from ovtasks.host.run import run
from ovtasks.machine.machine import Machine, Nic

DRIVER = Libvirt()
SECONDS = 60.0
LAST_WORD = b"No bootable device"


@dataclass(frozen=True)
class Guest:
    handle: Handle
    machine: Machine

    @property
    def state(self) -> str:
        return DRIVER.states([self.handle])[self.handle.domain].state.value

    def define(self) -> None:
        DRIVER.define(self.handle, self.machine)

    def start(self) -> None:
        DRIVER.start(self.handle, self.machine)

    def changed(self, **fields: object) -> Guest:
        return replace(self, machine=replace(self.machine, **fields))  # type: ignore[arg-type]


@contextmanager
def guest(name: str, *, sized: bool = True) -> Iterator[Guest]:
    """A VM's folder and machine; whatever is defined under its name is gone at the end."""
    folder = Path(mkdtemp(prefix=f"{name}-", dir=Path.home()))
    own = str(uuid.uuid4())
    disk = folder / "disk.qcow2"
    if sized:
        run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "1M"])
    made = Machine(
        domain=f"ov-{name}",
        uuid=own,
        vm=name,
        project=folder,
        disk=disk,
        serial_log=folder / "serial.log",
        sockets=folder / "s",
        nic=Nic("52:54:00:12:34:56"),
        ram=64 << 20,
        cpus=1,
    )
    handle = Handle(made.domain, own, folder, made.sockets)
    try:
        yield Guest(handle, made)
    finally:
        daemon = session.connection()
        for domain in daemon.listAllDomains():
            if domain.name().startswith(made.domain):
                if domain.isActive():
                    with suppress(session.load().libvirtError):  # a daemon that was just started may be faster
                        domain.destroy()
                if domain.isPersistent():
                    domain.undefineFlags(1 | 2 | 4)


def refused(action: Callable[[], object], *words: str, kind: type[OvError] = OvError) -> OvError:
    """The error that ``action`` ends with; it says ``words``."""
    try:
        action()
    except kind as e:
        for word in words:
            assert word in str(e), f"{word!r} is not in: {e}"
        return e
    raise AssertionError(f"no error with {words}")


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, f"not within {SECONDS:g} s: {what}"
        time.sleep(0.02)


def read_until(connection: socket.socket, text: bytes) -> bytes:
    connection.settimeout(SECONDS)
    said = b""
    while text not in said:
        data = connection.recv(4096)
        assert data, said
        said += data
    return said


def kill_daemon() -> None:
    pid = int((session.runtime_directory() / "libvirtd.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}").exists(), "daemon gone")
