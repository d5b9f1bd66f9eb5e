"""A VM's serial console in this terminal, and its kept log.

Everything that the guest says is in the log, whether or not a console is connected; a console gets what is said from
the moment on when it connects. :func:`console` shows the one and goes on with the other, without a gap and without
showing anything twice.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from enum import Enum, auto
from pathlib import Path
from types import FrameType

from ovtasks.cli.serial_log import BROKEN, inert
from ovtasks.errors import EXIT_DONE, InputError
from ovtasks.host.state import StateError, open_log

KEPT = 64 << 10
"""Bytes of the log that a console shows first, at most."""
SETTLE = 0.05
"""Seconds until what a guest says is surely in its log, too: libvirt writes that in a process of its own."""
EXIT_INTERRUPTED = 130

_CHUNK = 64 << 10
_ANCHOR = 16
_POLL = 0.1
_ACCEPTED = 10.0  # seconds after which QEMU has surely accepted a connection
# Colours off, wrap long lines, show the cursor: what guests change and shells do not set right.
_CALM = b"\x1b[m\x1b[?7h\x1b[?25h"


class _End(Enum):
    LEFT = auto()
    STOPPED = auto()
    UNHEARD = auto()  # nobody takes what it says any more


class _UnheardError(Exception):
    """Nobody reads our output any more."""


class _SignalledError(Exception):
    """A signal asks us to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def console(connect: Callable[[], socket.socket], log: Path | None, *, name: str, escape: str = "^]") -> int:
    """Connect and attach; see :func:`attach`. Notes how long the log is before, so that nothing is lost or shown twice.

    :raises OvError: what ``connect`` raises; the terminal is as it was.
    """
    since = _size(log)
    return attach(connect(), log, name=name, escape=escape, since=since)


def attach(
    connection: socket.socket,
    log: Path | None,
    *,
    name: str,
    escape: str = "^]",
    since: int | None = None,
) -> int:
    """Show the end of ``log``, then be the guest's terminal until ``escape`` is typed or the guest ends.

    All other keys go to the guest, Ctrl-C too. The terminal is as before afterwards, also after SIGTERM and SIGHUP,
    which then end this process. When stdin is no terminal, what it says goes to the guest byte by byte, and after its
    end the guest is listened to until it stops; Ctrl-C leaves. ``since`` is the log's size right before ``connection``
    was made; without it, what the guest says between that and this call is shown twice.

    Returns an exit code: 0, or 130 after Ctrl-C. Closes ``connection``.

    :raises InputError: ``escape`` is none.
    """
    key = _control(escape)
    typed = os.isatty(0)
    print(f"connected to {name}" + (f"; {escape} leaves" if typed else ""), file=sys.stderr, flush=True)
    try:
        with connection, _signals(), _terminal():
            connection.setblocking(False)
            end = _Bridge(connection, key if typed else None, _Seam(log, since)).run()
    except _SignalledError as e:
        os.kill(os.getpid(), e.number)  # whoever handled it before us does so now; as a rule it ends us
        return 128 + e.number
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    if end is not _End.UNHEARD:
        print(f"\n{name} has stopped" if end is _End.STOPPED else f"\nleft {name}", file=sys.stderr, flush=True)
    return EXIT_DONE


def _control(escape: str) -> int:
    """``^]`` → 0x1d."""
    if len(escape) == 2 and escape[0] == "^" and "@" <= escape[1].upper() <= "_":
        return ord(escape[1].upper()) & 0x1F
    raise InputError(f"'{escape}' is no escape character", hint="^ and one of A-Z [ \\ ] ^ _: for example ^]")


def _size(log: Path | None) -> int | None:
    try:
        return log.stat().st_size if log else None
    except OSError:
        return 0


class _Seam:
    """Where the log ends and the live stream begins: known when the first live bytes come. Until then, the log is shown
    as it grows, because QEMU accepts a connection some time after it is made. ``since`` is the log's size before."""

    def __init__(self, log: Path | None, since: int | None) -> None:
        self.log = log
        self.since = (_size(log) or 0) if since is None else since
        self.shown = 0

    def first(self) -> bytes:
        """What is kept, from the beginning of a line on."""
        size = _size(self.log) or 0
        self.since = self.since if self.since <= size else 0  # shorter than it was: begun anew
        start = max(0, size - KEPT)
        data = self._read(start)
        self.shown = start + len(data)
        return data[data.find(b"\n") + 1 :] if start else data

    def grown(self) -> bytes:
        """What came into the log since it was shown."""
        if (_size(self.log) or 0) < self.shown:  # begun anew
            self.since = self.shown = 0
        data = self._read(self.shown)
        self.shown += len(data)
        return data

    def join(self, connection: socket.socket, live: bytes) -> bytes:
        """The rest of the log and what is live, each byte once; ``live`` are the first such bytes."""
        live += _arrived(connection, SETTLE)  # then the log has the beginning of it
        before = self.shown
        more = self.grown()
        if self.shown < before:
            return live
        said = self._read(self.since)[: self.shown - self.since]
        live += _arrived(connection, 0, len(said))  # and now it reaches to the end of the log, at least
        return more + live[overlap(said, live) :]

    def _read(self, start: int) -> bytes:
        if self.log is not None:
            with contextlib.suppress(OSError, StateError), open_log(self.log) as file:
                file.seek(start)
                return file.read()
        return b""


def overlap(kept: bytes, live: bytes) -> int:
    """How many bytes at the beginning of ``live`` are those at the end of ``kept``: as many as can be.

    ``kept`` is only what was said while we connected, a few bytes as a rule, so that nothing is taken for a repetition
    that is none. The two may differ by a byte here and there (QEMU logs some twice when a console is slow): then the
    end of ``kept`` is looked for.
    """
    view = memoryview(live)  # whose slices are no copies
    most = min(len(kept), len(live))
    size = most
    while size >= _ANCHOR and (at := live.rfind(kept[-_ANCHOR:], 0, size)) >= 0:
        if kept.endswith(view[: at + _ANCHOR]):
            return at + _ANCHOR
        size = at + _ANCHOR - 1
    for end in range(len(kept), max(_ANCHOR, len(kept) - 4 * _ANCHOR) - 1, -1):
        at = live.find(kept[end - _ANCHOR : end])
        if at >= 0:
            return min(len(live), at + _ANCHOR + len(kept) - end)
    return next((n for n in range(min(_ANCHOR, most), 0, -1) if kept.endswith(view[:n])), 0)


def _arrived(connection: socket.socket, seconds: float, enough: int = 0) -> bytes:
    """What the guest says within that time; then what is there already, until it is ``enough``: one that never stops
    talking is heard, not listened to for ever. Its end is left for the next read to find."""
    deadline = time.monotonic() + seconds
    data = b""
    while True:
        left = deadline - time.monotonic()
        if (left <= 0 and len(data) >= enough) or not select.select([connection], [], [], max(0.0, left))[0]:
            return data
        try:
            chunk = connection.recv(_CHUNK)
        except OSError:
            return data
        if not chunk:
            return data
        data += chunk


class _Bridge:
    """Carries bytes between the terminal and the guest. Neither a guest that does not listen nor a long paste keep
    the other direction, or the escape character, waiting. ``key`` None: there is no escape character."""

    def __init__(self, connection: socket.socket, key: int | None, seam: _Seam) -> None:
        self.connection = connection
        self.key = key
        self.seam: _Seam | None = seam
        self.reading = True
        self.pending = b""

    def run(self) -> _End:
        """Until one side ends."""
        try:
            return self._carry()
        except _UnheardError:
            return _End.UNHEARD

    def _carry(self) -> _End:
        assert self.seam is not None
        first = self.seam.first()
        _write(inert(first) if os.isatty(1) else first)
        deadline = time.monotonic() + _ACCEPTED
        while True:
            poll = select.poll()
            poll.register(1, 0)  # a pipe whose other end was closed, a terminal that is gone
            poll.register(self.connection, select.POLLIN | (select.POLLOUT if self.pending else 0))
            if self.reading and (self.key is not None or len(self.pending) < _CHUNK):
                poll.register(0, select.POLLIN)
            waiting = self.seam is not None and time.monotonic() < deadline
            events = dict(poll.poll(_POLL * 1000 if waiting else None))
            if events.get(1):
                return _End.UNHEARD
            if self.seam is not None and not events:
                _write(self.seam.grown())
            if events.get(0) and self._typed():
                return _End.LEFT
            try:
                if events.get(self.connection.fileno(), 0) & ~select.POLLOUT and self._heard():
                    return _End.STOPPED
                self._send()
            except (ConnectionError, TimeoutError):
                return _End.STOPPED

    def _typed(self) -> bool:
        """Take what was typed; whether that is all."""
        try:
            data = os.read(0, _CHUNK)
        except OSError:  # the terminal is gone, or there is no stdin
            data = b""
        if not data:
            self.reading = False
            return self.key is not None
        before, left, _ = data.partition(bytes([self.key])) if self.key is not None else (data, b"", b"")
        self.pending += before
        if left:
            with contextlib.suppress(OSError):
                self._send()
        return bool(left)

    def _heard(self) -> bool:
        """Show what the guest says; whether it ended."""
        try:
            data = self.connection.recv(_CHUNK)
        except BlockingIOError:
            return False
        over = not data
        if self.seam is not None:
            data = self.seam.grown() if over else self.seam.join(self.connection, data)
            self.seam = None
        _write(data)
        return over

    def _send(self) -> None:
        if self.pending:
            with contextlib.suppress(BlockingIOError):
                self.pending = self.pending[self.connection.send(self.pending) :]


def _write(data: bytes) -> None:
    """All of it to stdout, whichever way that is opened; a terminal does not get what would make it fall silent."""
    if os.isatty(1):
        data = BROKEN.sub(b"", data)
    while data:
        try:
            data = data[os.write(1, data) :]
        except BlockingIOError:
            select.select([], [1], [])
        except OSError as e:
            if e.errno not in {errno.EPIPE, errno.EIO}:  # EIO: the terminal is gone
                raise
            raise _UnheardError from None


@contextlib.contextmanager
def _terminal() -> Iterator[None]:
    """The terminal hands on every key as it is, and shows every byte as it comes; afterwards it is as before."""
    before = termios.tcgetattr(0) if os.isatty(0) else None
    try:
        if before is not None:
            tty.setraw(0, termios.TCSANOW)  # what is typed already is for the guest
        yield
    finally:
        if before is not None:
            with contextlib.suppress(termios.error):  # the terminal is gone
                termios.tcsetattr(0, termios.TCSANOW, before)  # TCSADRAIN would wait for one that is held by ^S
        if os.isatty(1) and select.select([], [1], [], 0)[1]:
            with contextlib.suppress(OSError):
                os.write(1, _CALM)


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM and SIGHUP become exceptions, so that the terminal is put right first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def end(number: int, frame: FrameType | None) -> None:
        for other in before:  # the second of two would come while we tidy up
            signal.signal(other, signal.SIG_IGN)
        raise _SignalledError(number)

    try:
        for number in before:
            signal.signal(number, end)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
