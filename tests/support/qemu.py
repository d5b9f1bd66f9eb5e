"""Booting a built disk for real: QEMU without KVM, the serial console in a file, SSH through a forwarded port.

The disk that is tested is never written to: each guest has an overlay of its own.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
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
FIRMWARE = Path("/usr/share/OVMF")
CODE = {"uefi-insecure": "OVMF_CODE_4M.fd", "uefi-secure": "OVMF_CODE_4M.ms.fd"}
VARS = {"uefi-insecure": "OVMF_VARS_4M.fd", "uefi-secure": "OVMF_VARS_4M.ms.fd"}  # .ms: Microsoft's keys enrolled

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Guest:
    """A running virtual machine; ``started`` is in :func:`time.monotonic`'s seconds."""

    process: Server
    serial: Path
    ssh_port: int
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

    def wait_ssh_banner(self) -> str:
        """Wait until an SSH server answers; returns its version line."""
        return self.until("SSH server answers", lambda: _banner(self.ssh_port))


@contextlib.contextmanager
def boot(disk: Path, seed: Path | None, folder: Path, *, firmware: str = "bios", memory: int = 1024) -> Iterator[Guest]:
    """Boot ``disk`` (through an overlay in ``folder``) with ``seed``; the machine is gone at the end.

    ``firmware`` is ``bios``, ``uefi-insecure`` or ``uefi-secure``; ``memory`` is in MiB.
    """
    folder.mkdir(parents=True, exist_ok=True)
    overlay = folder / "overlay.qcow2"
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", disk.resolve(), "-F", _format(disk), overlay])
    port = free_port()
    serial = folder / "serial.log"
    argv = [
        *(str(require("setpriv")), "--pdeathsig", "KILL", "--"),
        str(require("qemu-system-x86_64")),
        *("-machine", "q35,smm=on" if firmware == "uefi-secure" else "q35"),
        *("-accel", "tcg", "-cpu", "max,la57=off", "-smp", "1", "-m", str(memory)),
        *_firmware(firmware, folder),
        *("-drive", f"if=virtio,format=qcow2,cache=unsafe,file={_option(overlay)}"),
        *(("-drive", f"if=virtio,format=raw,readonly=on,file={_option(seed)}") if seed else ()),
        *("-netdev", f"user,id=n0,hostfwd=tcp:127.0.0.1:{port}-:22", "-device", "virtio-net-pci,netdev=n0"),
        *("-device", "virtio-rng-pci", "-display", "none", "-monitor", "none", "-serial", f"file:{_option(serial)}"),
    ]
    with (folder / "qemu.log").open("wb") as log:
        process = serve(*argv, log=log)
    try:
        yield Guest(process, serial, port, time.monotonic())
    finally:
        stop(process)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _format(disk: Path) -> str:
    with disk.open("rb") as file:
        return "qcow2" if file.read(4) == b"QFI\xfb" else "raw"


def _option(path: Path) -> str:
    return os.fspath(path).replace(",", ",,")  # QEMU's way to write a comma in an option's value


def _firmware(firmware: str, folder: Path) -> list[str]:
    if firmware == "bios":
        return []
    code, template = FIRMWARE / CODE[firmware], FIRMWARE / VARS[firmware]
    assert code.is_file(), f"{code} is missing: apt-get install ovmf"
    nvram = folder / "nvram.fd"
    shutil.copyfile(template, nvram)
    secure = ["-global", "driver=cfi.pflash01,property=secure,value=on"] if firmware == "uefi-secure" else []
    return [
        *secure,
        *("-drive", f"if=pflash,format=raw,readonly=on,file={code}"),
        *("-drive", f"if=pflash,format=raw,file={_option(nvram)}"),
    ]


def _banner(port: int) -> str | None:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
            s.settimeout(5)
            line = s.makefile("rb").readline(255).decode(errors="replace").strip()
    except OSError:
        return None
    return line if line.startswith("SSH-") else None
