"""A VM's serial console in this terminal, and its kept log.

The log holds everything that the guest says, whether or not a console is connected. A console gets only what the guest
says after it has connected. :func:`console` shows the log and goes on with the live stream, and shows every byte
exactly once.
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
"""The most bytes of the log that a console shows first."""
SETTLE = 0.05
"""Seconds until the guest's output is surely in the log. Libvirt writes the log in another process."""
EXIT_INTERRUPTED = 130

_BUSY = 1.0
"""Seconds that QEMU may need to send what is in the log already."""
_CHUNK = 64 << 10
_ANCHOR = 16
_POLL = 0.1
_ACCEPTED = 10.0  # seconds after which QEMU has surely accepted a connection
# Turn colours off, wrap long lines, show the cursor: guests change these, and shells do not reset them.
_CALM = b"\x1b[m\x1b[?7h\x1b[?25h"


class _End(Enum):
    LEFT = auto()
    STOPPED = auto()
    UNHEARD = auto()  # nobody reads our output any more


class _UnheardError(Exception):
    """Nobody reads our output any more."""


class _SignalledError(Exception):
    """A signal asks us to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def console(connect: Callable[[], socket.socket], log: Path | None, *, name: str, escape: str = "^]") -> int:
    """Connect and attach; see :func:`attach`. The log's size is read first, so that nothing is lost or shown twice.

    :raises OvError: ``connect`` failed; the terminal is unchanged.
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

    All other keys go to the guest, Ctrl-C too. The terminal is restored at the end, even after SIGTERM and SIGHUP,
    which then end this process. If stdin is no terminal, its bytes go to the guest unchanged. After the end of stdin
    the guest's output is shown until the guest stops; Ctrl-C leaves. ``since`` is the log's size right before
    ``connection`` was made; without it, output between that moment and this call is shown twice.

    Returns an exit code: 0, or 130 after Ctrl-C. Closes ``connection``.

    :raises InputError: ``escape`` is not an escape character.
    """
    key = _control(escape)
    typed = os.isatty(0)
    print(f"connected to {name}" + (f"; {escape} leaves" if typed else ""), file=sys.stderr, flush=True)
    try:
        with connection, _signals(), _terminal():
            connection.setblocking(False)
            end = _Bridge(connection, key if typed else None, _Seam(log, since)).run()
    except _SignalledError as e:
        os.kill(os.getpid(), e.number)  # goes to the handler that was there before ours, which usually ends us
        return 128 + e.number
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    if end is not _End.UNHEARD:
        print(f"\n{name} has stopped" if end is _End.STOPPED else f"\nleft {name}", file=sys.stderr, flush=True)
    return EXIT_DONE


def _control(escape: str) -> int:
    """The byte of an escape character: ``^]`` is 0x1d.

    :raises InputError: ``escape`` is not an escape character.
    """
    if len(escape) == 2 and escape[0] == "^" and "@" <= escape[1].upper() <= "_":
        return ord(escape[1].upper()) & 0x1F
    raise InputError(f"'{escape}' is not an escape character", hint="^ and one of A-Z [ \\ ] ^ _: for example ^]")


def _size(log: Path | None) -> int | None:
    try:
        return log.stat().st_size if log else None
    except OSError:
        return 0


class _Seam:
    """The place where the log ends and the live stream begins. It is known when the first live bytes come.

    Until then the log is shown as it grows, because QEMU accepts a connection some time after it is made. ``since`` is
    the log's size before the connection.
    """

    def __init__(self, log: Path | None, since: int | None) -> None:
        self.log = log
        self.since = (_size(log) or 0) if since is None else since
        self.shown = 0

    def first(self) -> bytes:
        """The end of the log, from the beginning of a line."""
        size = _size(self.log) or 0
        self.since = self.since if self.since <= size else 0  # a shorter log has started again
        start = max(0, size - KEPT)
        data = self._read(start)
        self.shown = start + len(data)
        return data[data.find(b"\n") + 1 :] if start else data

    def grown(self) -> bytes:
        """The part of the log that is not shown yet."""
        if (_size(self.log) or 0) < self.shown:  # the log has started again
            self.since = self.shown = 0
        data = self._read(self.shown)
        self.shown += len(data)
        return data

    def join(self, connection: socket.socket, live: bytes) -> bytes:
        """The rest of the log and the live bytes, each byte once. ``live`` are the first live bytes."""
        live += _arrived(connection, SETTLE)  # after this, the log has the first live bytes too
        before = self.shown
        more = self.grown()
        if self.shown < before:
            return live
        said = self._read(self.since)[: self.shown - self.since]
        live += _arrived(connection, 0, len(said))  # now the live bytes reach at least to the end of the log
        end = time.monotonic() + _BUSY
        while said[-_ANCHOR:] not in live and time.monotonic() < end:  # they do not yet, on a busy machine
            live += _arrived(connection, SETTLE)
        return more + live[overlap(said, live) :]

    def _read(self, start: int) -> bytes:
        if self.log is not None:
            with contextlib.suppress(OSError, StateError), open_log(self.log) as file:
                file.seek(start)
                return file.read()
        return b""


def overlap(kept: bytes, live: bytes) -> int:
    """The length of the longest beginning of ``live`` that is also the end of ``kept``, in bytes.

    ``kept`` is only the output during our connecting, usually a few bytes, so that chance repetitions hardly occur. The
    two may differ in single bytes (QEMU logs some twice when a console is slow). Then the end of ``kept`` is searched
    for in ``live``.
    """
    view = memoryview(live)  # its slices copy nothing
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
    """The guest's output within ``seconds``, and after that what has already arrived, up to about ``enough`` bytes.

    The limit ends the call even if the guest never stops talking. The end of the connection is left to the next read.
    """
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
    """Carries bytes between the terminal and the guest.

    A guest that does not listen, or a long paste, blocks neither the other direction nor the escape character. ``key``
    is the escape character, None if there is none.
    """

    def __init__(self, connection: socket.socket, key: int | None, seam: _Seam) -> None:
        self.connection = connection
        self.key = key
        self.seam: _Seam | None = seam
        self.reading = True
        self.pending = b""

    def run(self) -> _End:
        """Carry bytes until one side ends."""
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
            poll.register(1, 0)  # reports a closed pipe, or a terminal that is gone
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
        """Read what was typed; returns whether the user leaves."""
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
        """Show the guest's output; returns whether the guest has ended."""
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
    """Write everything to stdout, even if it is non-blocking. A terminal gets no sequence that would silence it.

    :raises _UnheardError: nobody reads it any more.
    """
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
    """Put the terminal into raw mode: keys and output pass unchanged. Restore it at the end."""
    before = termios.tcgetattr(0) if os.isatty(0) else None
    try:
        if before is not None:
            tty.setraw(0, termios.TCSANOW)  # TCSANOW keeps what is typed already, for the guest
        yield
    finally:
        if before is not None:
            with contextlib.suppress(termios.error):  # the terminal is gone
                termios.tcsetattr(0, termios.TCSANOW, before)  # TCSADRAIN would wait for a terminal stopped by ^S
        if os.isatty(1) and select.select([], [1], [], 0)[1]:
            with contextlib.suppress(OSError):
                os.write(1, _CALM)


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into exceptions, so that the terminal is restored first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def end(number: int, frame: FrameType | None) -> None:
        for other in before:  # a second signal would disturb the tidying up
            signal.signal(other, signal.SIG_IGN)
        raise _SignalledError(number)

    try:
        for number in before:
            signal.signal(number, end)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
