"""Booting a built disk for real: BIOS, QEMU without KVM, the serial console in a file.

The disk that is tested is never written to: each guest has an overlay of its own.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ovtasks.host.run import require, run, stop
from tests.support.processes import Server, serve

SLOWNESS = 10  # how much longer everything may take without KVM, on a busy machine
BOOT_DEADLINE = 60.0 * SLOWNESS  # seconds from power-on to whatever is waited for

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Guest:
    """A running virtual machine; ``started`` is in :func:`time.monotonic`'s seconds."""

    process: Server
    serial: Path
    started: float

    def console(self) -> str:
        """What the guest has said on its serial console so far, without terminal escapes."""
        text = self.serial.read_bytes().decode(errors="replace") if self.serial.exists() else ""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")

    def until(self, what: str, probe: Callable[[], T | None], deadline: float = BOOT_DEADLINE) -> T:
        """Ask ``probe`` until it answers something other than None; fail with the end of the console.

        ``deadline`` is in seconds after power-on.
        """
        while True:
            if (answer := probe()) is not None:
                return answer
            ended = self.process.poll()
            if ended is not None or time.monotonic() - self.started > deadline:
                why = f"QEMU ended with status {ended}" if ended is not None else f"not within {deadline:g} s"
                tail = "\n".join(self.console().splitlines()[-60:])
                raise AssertionError(f"{what}: {why}; the console ends with\n{tail}")
            time.sleep(0.5)

    def wait_console(self, pattern: str) -> re.Match[str]:
        """Wait until the console shows ``pattern`` (a regular expression, ``^`` and ``$`` match at lines)."""
        expression = re.compile(pattern, re.MULTILINE)
        return self.until(f"console shows {pattern!r}", lambda: expression.search(self.console()))


@contextlib.contextmanager
def boot(disk: Path, folder: Path) -> Iterator[Guest]:
    """Boot ``disk`` (through an overlay in ``folder``); the machine is gone at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    overlay = folder / "overlay.qcow2"
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", disk.resolve(), "-F", _format(disk), overlay])
    serial = folder / "serial.log"
    argv = [
        *(str(require("setpriv")), "--pdeathsig", "KILL", "--"),
        str(require("qemu-system-x86_64")),
        *("-machine", "q35", "-accel", "tcg,tb-size=256", "-cpu", "max,la57=off", "-smp", "1", "-m", "1024"),
        *("-drive", f"if=virtio,format=qcow2,cache=unsafe,file={_option(overlay)}"),
        *("-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0"),
        *("-device", "virtio-rng-pci", "-display", "none", "-monitor", "none", "-serial", f"file:{_option(serial)}"),
    ]
    with (folder / "qemu.log").open("wb") as log:
        process = serve(*argv, log=log)
    try:
        yield Guest(process, serial, time.monotonic())
    finally:
        stop(process)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now, by TCP or UDP, nor soon: each worker has a range of its own, outside of
    those that the kernel and instances take theirs from."""
    first = 10_000 + 1_000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw9").removeprefix("gw"))
    for port in random.sample(range(first, first + 1_000), 1_000):
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(type=kind) as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return port
    raise AssertionError("every port is taken")


def _format(disk: Path) -> str:
    with disk.open("rb") as file:
        return "qcow2" if file.read(4) == b"QFI\xfb" else "raw"


def _option(path: Path) -> str:
    return os.fspath(path).replace(",", ",,")  # QEMU's way to write a comma in an option's value
