"""Guests to have a console of: a socket with a log like a serial port's, and a QEMU whose boot sector talks."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.processes import Server, serve
from tests.support.tmux import wait_for

# Real mode at 0x7c00; COM1 is at 0x3f8, its line status at 0x3fd: bit 0 a byte is there, bit 5 one can be sent.
_DATA_SEGMENT = bytes.fromhex("31c0 8ed8")  # xor ax, ax; mov ds, ax
_STATUS = bytes.fromhex("bafd03 ec")  # mov dx, 0x3fd; in al, dx
_PORT = bytes.fromhex("b2f8")  # mov dl, 0xf8


def echo(greeting: bytes) -> bytes:
    """Says ``greeting``, then whatever it is told."""
    send = bytes.fromhex("ac 84c0 74 06 baf803 ee eb f5")  # lodsb; test al, al; jz +6; mov dx, 0x3f8; out dx, al; jmp
    loop = _STATUS + bytes.fromhex("a801 74 f8") + _PORT + bytes.fromhex("ec ee eb f2")
    code = _DATA_SEGMENT + b"\xbe\0\0" + send + loop
    start = (0x7C00 + len(code)).to_bytes(2, "little")
    return _sector(code.replace(b"\xbe\0\0", b"\xbe" + start, 1) + greeting + b"\0")


def counter() -> bytes:
    """Counts for ever: a line of four letters (A–P for 0–15) for each number of 16 bits."""
    begin = _DATA_SEGMENT + bytes.fromhex("31db")  # xor bx, bx
    # mov cx, 4; mov si, bx; digit: rol si, 4; wait: status, test al, 0x20, jz wait;
    # mov ax, si; and al, 0xf; add al, 'A'; out; loop digit
    digit = bytes.fromhex("c1c604") + _STATUS + bytes.fromhex("a820 74f8 89f0 240f 0441") + _PORT + b"\xee"
    digits = bytes.fromhex("b90400 89de") + digit + bytes([0xE2, 256 - len(digit) - 2])
    newline = _STATUS + bytes.fromhex("a820 74f8") + _PORT + bytes.fromhex("b00a ee 43")  # mov al, 10; out; inc bx
    body = digits + newline
    return _sector(begin + body + bytes([0xEB, 256 - len(body) - 2]))


def _sector(code: bytes) -> bytes:
    assert len(code) <= 510
    return code.ljust(510, b"\0") + b"\x55\xaa"


def number(line: bytes) -> int:
    """What :func:`counter` said."""
    value = 0
    for letter in line:
        value = value * 16 + letter - ord("A")
    return value


@contextmanager
def qemu(folder: Path, sector: bytes) -> Iterator[Server]:
    """A VM that runs ``sector``; its serial port is ``folder/serial.sock`` and ``folder/serial.log``."""
    disk = folder / "sector.img"
    disk.write_bytes(sector)
    serial = f"socket,id=serial,path={folder}/serial.sock,server=on,wait=off,logfile={folder}/serial.log,logappend=on"
    argv = [
        *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-accel", "tcg", "-m", "16"),
        *("-chardev", serial, "-serial", "chardev:serial"),
        *("-drive", f"file={disk},format=raw,if=ide"),
    ]
    with (folder / "qemu.log").open("wb") as said:
        process = serve(*argv, log=said)
    try:
        log = folder / "serial.log"
        assert wait_for(lambda: log.exists() and log.stat().st_size > 0), (folder / "qemu.log").read_text()
        yield process
    finally:
        process.kill()
        process.wait()


@dataclass
class Guest:
    """Stands for a guest: ``said`` is what it was told. What it says goes to its log and, connected, to the console."""

    folder: Path
    server: socket.socket
    echoes: bool = True
    said: bytearray = field(default_factory=bytearray)
    connection: socket.socket | None = None

    def serve(self) -> None:
        """One connection after the other."""
        while True:
            try:
                self.connection, _ = self.server.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):  # the console went away
                while self.echoes and (data := self.connection.recv(4096)):
                    self.said += data
                    self.say(data)

    def say(self, data: bytes) -> None:
        with (self.folder / "serial.log").open("ab") as log:
            log.write(data)
        if self.connection is not None:
            with contextlib.suppress(OSError):  # the console went away
                self.connection.sendall(data)

    def stop(self) -> None:
        """Power off."""
        for end in (self.server, self.connection):
            if end is not None:
                with contextlib.suppress(OSError):  # nobody is there any more
                    end.shutdown(socket.SHUT_RDWR)


@contextmanager
def guest(folder: Path, *, echoes: bool = True) -> Iterator[Guest]:
    """A guest at ``folder/serial.sock``; ``echoes`` false: it never reads."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "serial.sock"))
        server.listen()
        found = Guest(folder, server, echoes)
        thread = threading.Thread(target=found.serve, daemon=True)
        thread.start()
        yield found
        found.stop()
        thread.join(10)
        if found.connection is not None:
            found.connection.close()
