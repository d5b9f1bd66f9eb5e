"""Talks to a child through pipes until the child has ended, even if a pipe stays open.

A program may leave a helper behind that still holds its pipes (unshare(1) of util-linux 2.39 does so where namespaces
are refused). So the end of the child counts, not the end of a pipe.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import re
import selectors
import subprocess
import termios
import time
from collections.abc import Callable
from typing import IO

from ovtasks.host.hearing import listener

TICK = 0.25
"""Seconds between two looks at a child whose pipes are silent."""
WATCH = 0.5
"""Seconds between two calls of a watcher."""
LAST_WORDS = 0.5
"""Seconds that we go on reading after the child's end, if something else holds its pipes."""
LAST_BYTES = 4 << 20
"""Bytes read after the child's end; whoever writes more would go on for ever."""
CHUNK = 1 << 16
_LINE_END = re.compile(rb"\r\n|\r|\n")


class _ProcessOutput:
    """One stream of a child: everything it said, and its lines as they come if ``on_line`` wants them."""

    def __init__(self, stream: IO[bytes], on_line: Callable[[str], None] | None) -> None:
        self.fd = stream.fileno()
        self.stream = stream
        self.on_line = on_line
        self.pieces: list[bytes] = []
        self.lines: list[str] = []
        self.after_return = False
        hears = listener()
        self.hear = hears.stream() if hears is not None else None

    def take(self, data: bytes) -> None:
        if self.hear is not None:
            self.hear(data)
        if self.on_line is None:
            self.pieces.append(data)
            return
        if self.after_return and data.startswith(b"\n"):
            data = data[1:]  # the line has ended already, with the carriage return
        self.after_return = data.endswith(b"\r")
        first, *rest = _LINE_END.split(data)
        self.pieces.append(first)
        for piece in rest:
            self._line()
            self.pieces.append(piece)

    def _line(self) -> None:
        line = b"".join(self.pieces).decode(errors="replace")
        self.pieces.clear()
        self.lines.append(line)
        if self.on_line is not None:
            self.on_line(line)

    def read(self) -> int | None:
        """Read what is there; returns the number of bytes, None at the pipe's end."""
        try:
            data = os.read(self.fd, CHUNK)
        except BlockingIOError:
            return 0
        self.take(data)
        return len(data) or None

    def drain(self) -> None:
        """Read what is in the pipe at this moment, and ignore what comes later."""
        waiting = array.array("i", [0])
        fcntl.ioctl(self.fd, termios.FIONREAD, waiting)
        left = waiting[0]
        while left > 0 and (data := os.read(self.fd, left)):
            self.take(data)
            left -= len(data)

    def text(self) -> str:
        if self.on_line is None:
            return b"".join(self.pieces).decode(errors="replace")
        if any(self.pieces):
            self._line()
        return "\n".join(self.lines)


class Conversation:
    """A child with stdout and stderr in pipes, and perhaps stdin."""

    def __init__(
        self, process: subprocess.Popen[bytes], stdin: bytes | None, on_line: Callable[[str], None] | None
    ) -> None:
        assert process.stdout is not None and process.stderr is not None
        self.process = process
        self.outputs = (_ProcessOutput(process.stdout, on_line), _ProcessOutput(process.stderr, on_line))
        self.unsent = memoryview(stdin or b"")
        self.selector = selectors.DefaultSelector()
        self.left_behind = False
        """Whether something else held the child's pipes after its end."""

    def hold(self, timeout: float | None, watch: Callable[[], None] | None) -> tuple[str, str]:
        """Talk until the child has ended; returns its stdout and stderr.

        :raises subprocess.TimeoutExpired: it ran longer than ``timeout`` seconds. What ``watch`` and ``on_line`` raise
            comes out here, too.
        """
        start = time.monotonic()
        with self.selector, contextlib.ExitStack() as pipes:
            self._register(pipes)
            heard = start
            while self.process.poll() is None:
                self._turn(TICK)
                now = time.monotonic()
                if timeout is not None and now >= start + timeout:
                    raise subprocess.TimeoutExpired(self.process.args, timeout)
                if watch is not None and now >= heard + WATCH:
                    heard = now
                    watch()
            self._last_words()
        out, err = self.outputs
        return out.text(), err.text()

    def _register(self, pipes: contextlib.ExitStack) -> None:
        for output in self.outputs:
            pipes.enter_context(output.stream)
            os.set_blocking(output.fd, False)
            self.selector.register(output.fd, selectors.EVENT_READ, output)
        if (stdin := self.process.stdin) is not None:
            pipes.callback(self._close_stdin)
            os.set_blocking(stdin.fileno(), False)
            self.selector.register(stdin.fileno(), selectors.EVENT_WRITE)

    def _turn(self, seconds: float) -> int:
        """Wait at most ``seconds``, or until the child ends, and move data. Returns the number of bytes read."""
        if not self.selector.get_map():  # the child has closed its pipes, and still runs or is just ending
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
            return 0
        heard = 0
        for key, _ in self.selector.select(seconds):
            if not isinstance(key.data, _ProcessOutput):
                self._send(key.fd)
            elif (count := key.data.read()) is None:
                self.selector.unregister(key.fd)
            else:
                heard += count
        return heard

    def _send(self, fd: int) -> None:
        try:
            self.unsent = self.unsent[os.write(fd, self.unsent[:CHUNK]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # the child ended early and did not want it
            self.unsent = self.unsent[:0]
        if not self.unsent:
            self._close_stdin()

    def _close_stdin(self) -> None:
        stdin, self.process.stdin = self.process.stdin, None
        if stdin is not None:
            with contextlib.suppress(KeyError, ValueError):
                self.selector.unregister(stdin.fileno())
            with contextlib.suppress(BrokenPipeError):
                stdin.close()

    def _last_words(self) -> None:
        self._close_stdin()
        end, heard = time.monotonic() + LAST_WORDS, 0
        while self.selector.get_map() and (left := end - time.monotonic()) > 0 and heard < LAST_BYTES:
            heard += self._turn(left)
        for key in list(self.selector.get_map().values()):
            key.data.drain()
            self.left_behind = True
