"""Talks to one remote shell on a channel of an SSH session: sends a script, hands on its output as it comes."""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paramiko import Channel

CHUNK = 1 << 15
"""Bytes that one message of SSH carries."""
TICK = 0.25
"""Seconds between two looks at a silent channel."""
SEND_SECONDS = 0.05
"""Seconds that a send waits for room before the output is looked at again."""
LAST_WORDS = 1.0
"""Seconds after a command's end, if something that it left behind holds its pipes."""
NO_STATUS = 255
"""The status when what stands in its place is none."""
NOISE_BYTES = 64 << 10
"""The most bytes of what the user's shell says before a script begins that are kept."""


class StdStream(StrEnum):
    """Where output comes from."""

    OUT = "stdout"
    ERR = "stderr"


Take = Callable[[bytes, StdStream], None]


class ScriptOutput:
    """One stream of a script: lets through what is between the line ``token`` and ``token=STATUS``.

    ``noise`` is what came before, ``status`` the script's; None until it has ended.
    """

    def __init__(self, token: str, stream: StdStream, take: Take) -> None:
        self._begin = token.encode() + b"\n"
        self._end = token.encode() + b"="
        self._stream = stream
        self._take = take
        self._held = b""
        self.noise = b""
        self.open = False
        self.status: int | None = None

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        if not self.open:
            noise, found, data = (self.noise + data).partition(self._begin)
            self.noise = noise[-NOISE_BYTES:]
            self.open = bool(found)
        if not self.open or self.status is not None:
            return
        before, found, after = (self._held + data).partition(self._end)
        self._held = b""
        status, complete, _ = after.partition(b"\n")
        if complete:
            self.status = int(status) if status.isdigit() else NO_STATUS
        elif found:
            self._held = found + after
        else:
            kept = _overlap(before, self._end)
            before, self._held = before[: len(before) - kept], before[len(before) - kept :]
        if before:
            self._take(before, self._stream)


def _overlap(text: bytes, mark: bytes) -> int:
    """How many bytes at the end of ``text`` may be the beginning of ``mark``."""
    return next((size for size in range(min(len(text), len(mark)), 0, -1) if mark.startswith(text[-size:])), 0)


class PlainOutput:
    """One stream of a command that runs without our loop: everything."""

    status: None = None
    open = True

    def __init__(self, stream: StdStream, take: Take) -> None:
        self._stream = stream
        self._take = take

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        self._take(data, self._stream)


AnyOutput = ScriptOutput | PlainOutput


class Tail:
    """Collects output; the last ``limit`` bytes of it, None: all."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._kept = bytearray()

    def add(self, data: bytes) -> None:
        """Take what has come."""
        self._kept += data
        if self._limit is not None and len(self._kept) > 2 * self._limit:
            del self._kept[: -self._limit]

    def __bytes__(self) -> bytes:
        return bytes(self._kept if self._limit is None else self._kept[-self._limit :])


class Exchange:
    """A remote shell, or one command, on ``channel``."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._ended: float | None = None
        channel.settimeout(SEND_SECONDS)

    def hold(
        self, first: bytes, then: Iterator[bytes], out: AnyOutput, err: AnyOutput, watch: Callable[[], None]
    ) -> int | None:
        """Send ``first``, and ``then`` when the script has begun; talk until it has ended. Returns its status; None:
        what runs on the channel has ended.

        ``watch`` is called several times a second; what it raises comes out here.
        """
        unsent, sending = memoryview(first), True
        while True:
            watch()
            if unsent:
                unsent = self._send(unsent)
            elif sending and out.open:
                unsent = memoryview(next(then, b""))
                sending = bool(unsent)
            heard = self._receive(out, err)
            if out.status is not None and err.status is not None:
                return out.status
            if not heard:
                if self._over():
                    return None
                if not unsent and not (sending and out.open):
                    self._wait()

    def end_input(self) -> None:
        """Let what runs see the end of its stdin."""
        with contextlib.suppress(OSError, EOFError):
            self.channel.shutdown_write()

    def end(self, seconds: float) -> None:
        """End what runs: let the shell see the end of its stdin, and wait for its own."""
        self.end_input()
        end = time.monotonic() + seconds
        nowhere = PlainOutput(StdStream.OUT, lambda data, stream: None)
        while time.monotonic() < end and not self.channel.closed:
            if not self._receive(nowhere, nowhere):
                self._wait()

    def _send(self, data: memoryview) -> memoryview:
        try:
            return data[self.channel.send(bytes(data[:CHUNK])) :]
        except TimeoutError:
            return data
        except OSError:  # the shell has ended
            return data[:0]

    def _receive(self, out: AnyOutput, err: AnyOutput) -> bool:
        """Hand on what is there; returns whether there was something."""
        heard = False
        if self.channel.recv_ready():
            out.feed(self.channel.recv(CHUNK))
            heard = True
        if self.channel.recv_stderr_ready():
            err.feed(self.channel.recv_stderr(CHUNK))
            heard = True
        return heard

    def _over(self) -> bool:
        """Whether what runs has ended and nothing more comes. Called when nothing is there at this moment."""
        if self.channel.closed:
            return not self.channel.recv_ready() and not self.channel.recv_stderr_ready()
        if not self.channel.exit_status_ready():
            return False
        now = time.monotonic()
        self._ended = self._ended or now
        return bool(self.channel.eof_received) or now - self._ended > LAST_WORDS

    def _wait(self) -> None:
        """Until output comes, the channel ends, or a tick has passed."""
        if self.channel.eof_received:  # the shell has closed its pipes, and ends
            self.channel.status_event.wait(TICK)
        else:
            poll = select.poll()
            poll.register(self.channel.fileno(), select.POLLIN)
            poll.poll(TICK * 1000)
