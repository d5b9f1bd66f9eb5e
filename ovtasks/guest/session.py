"""Runs scripts and commands over one SSH session that is logged in.

:class:`ovtasks.guest.connection.Connection` is what others use.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ovtasks.errors import OvError
from ovtasks.guest.connection_errors import TookTooLongError, lost
from ovtasks.guest.exchange import Exchange, PlainOutput, ScriptOutput, StdStream, Tail, Take
from ovtasks.guest.heartbeat import Heartbeat
from ovtasks.guest.remote_shell import CUT_SHORT, NO_ROOT, framed, loop_command
from ovtasks.guest.ssh import ALIVE_COUNT, ALIVE_SECONDS
from ovtasks.guest.target import Target

if TYPE_CHECKING:
    from paramiko import Transport

TAIL_BYTES = 64 << 10
"""How much of streamed output is kept."""
END_SECONDS = 8.0
"""Seconds that an ended command gets until we go."""
CHECK_SECONDS = 0.5
"""Seconds between two calls of a ``check``."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended: its exit status (128 + N after signal N), and what it said.

    Of output that was streamed, only the last :data:`TAIL_BYTES` of each stream.
    """

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Its stdout as text."""
        return self.stdout.decode(errors="replace")

    @property
    def error(self) -> str:
        """Its stderr as text."""
        return self.stderr.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Job:
    """How to run a script. ``content`` is what it reads from its stdin."""

    root: bool
    watch: Callable[[], None]
    env: Mapping[str, str] = field(default_factory=dict)
    content: Iterator[bytes] | None = None


class Session:
    """A session with the guest of ``target``, and the shells in it: one for the user, one for root."""

    def __init__(self, target: Target, transport: Transport) -> None:
        self._target = target
        self._transport = transport
        self._shells: dict[bool, Exchange] = {}
        self._heartbeat = Heartbeat(transport)
        self._heartbeat.start()

    def close(self) -> None:
        """End the session. What runs in it is ended in the guest, too."""
        self._heartbeat.stop()
        for exchange in self._shells.values():
            exchange.channel.close()
        self._shells.clear()
        self._transport.close()

    def perform(self, script: bytes, job: Job, on_output: Take | None = None) -> Finished:
        """Run a script in the shell of its user; see :meth:`ovtasks.guest.connection.Connection.run`."""
        token = secrets.token_hex(8)
        frame = framed(script, token, env=job.env, feed=job.content is not None)
        tails = {stream: Tail(None if on_output is None else TAIL_BYTES) for stream in StdStream}

        def take(data: bytes, stream: StdStream) -> None:
            tails[stream].add(data)
            if on_output is not None:
                on_output(data, stream)

        out, err = (ScriptOutput(token, stream, take) for stream in StdStream)
        exchange = self._shell(root=job.root)
        try:
            with self._talking():
                status = exchange.hold(frame, job.content or iter(()), out, err, job.watch)
        except BaseException:
            self._drop(exchange, END_SECONDS)
            raise
        if status is None:
            code = exchange.channel.recv_exit_status()
            self._drop(exchange, 0.0)
            if out.open or code in {-1, CUT_SHORT}:
                raise lost(self._target, self._reason())
            raise self._not_started(code, err.noise or out.noise, root=job.root)
        if job.content is not None and status != 0:
            self._drop(exchange, END_SECONDS)  # the shell ends then
        return Finished(status, bytes(tails[StdStream.OUT]), bytes(tails[StdStream.ERR]))

    def command(self, line: str, stdin: bytes, watch: Callable[[], None]) -> Finished:
        """Run a line of the user's own shell; see :meth:`ovtasks.guest.connection.Connection.command`."""
        tails = {stream: Tail(None) for stream in StdStream}
        out, err = (PlainOutput(stream, lambda data, stream: tails[stream].add(data)) for stream in StdStream)
        exchange = self._execute(line)
        try:
            with self._talking():
                exchange.hold(stdin, _end_input(exchange), out, err, watch)
            status = exchange.channel.recv_exit_status()
        finally:
            exchange.channel.close()
        if status == -1:
            raise lost(self._target, self._reason())
        return Finished(status, bytes(tails[StdStream.OUT]), bytes(tails[StdStream.ERR]))

    def _shell(self, *, root: bool) -> Exchange:
        """The shell that serves the user, or root; it is started when it is first needed."""
        exchange = self._shells.get(root)
        if exchange is None or exchange.channel.closed:
            exchange = self._shells[root] = self._execute(loop_command(root=root))
        return exchange

    def _execute(self, line: str) -> Exchange:
        with self._talking():
            try:
                channel = self._transport.open_session(timeout=self._target.patience)
                channel.exec_command(line)
            except OSError as e:
                raise lost(self._target, str(e) or self._reason()) from None
        return Exchange(channel)

    @contextlib.contextmanager
    def _talking(self) -> Iterator[None]:
        """Translate what paramiko raises, and nothing that our callers do: their OSError may be about a full disk here.

        :raises ConnectionLostError: the session broke.
        """
        from paramiko import SSHException

        try:
            yield
        except (SSHException, EOFError) as e:
            raise lost(self._target, str(e) or self._reason()) from None

    def _drop(self, exchange: Exchange, seconds: float) -> None:
        """End a shell, and give it so long for it."""
        self._shells = {root: one for root, one in self._shells.items() if one is not exchange}
        try:
            if self._transport.is_active():
                exchange.end(seconds)
        finally:
            exchange.channel.close()

    def _reason(self) -> str:
        if self._transport.is_active():
            return "the command was killed in the guest"
        if self._heartbeat.silent:
            return f"it has not answered for {ALIVE_SECONDS * ALIVE_COUNT} s"
        error = self._transport.get_exception()
        return str(error) if error is not None and str(error) else "its SSH server hung up"

    def _not_started(self, status: int, said: bytes, *, root: bool) -> OvError:
        """Why the guest did not run our command: its first words are missing."""
        user, name = self._target.user, self._target.name
        text = said.decode(errors="replace").strip()
        detail = text.splitlines()[-1] if text else f"status {status}"
        if root:
            why = "the guest has neither sudo nor doas" if status == NO_ROOT else detail
            return OvError(
                f"{name}: {user} cannot become root: {why}",
                hint=f"log in as root (ssh.user), or let {user} use sudo without a password (NOPASSWD in sudoers)",
            )
        return OvError(
            f"{name}: the guest does not run commands for {user}: {detail}",
            hint=f"ov vm ssh {name} shows what its shell says; {user} needs a login shell",
        )


def watching(target: Target, timeout: float | None, check: Callable[[], None] | None) -> Callable[[], None]:
    """What looks after a command: its time, and the caller's ``check``."""
    start = heard = time.monotonic()

    def watch() -> None:
        nonlocal heard
        now = time.monotonic()
        if timeout is not None and now > start + timeout:
            raise TookTooLongError(f"{target.name}: a command took longer than {timeout:g} s")
        if check is not None and now > heard + CHECK_SECONDS:
            heard = now
            check()

    return watch


def _end_input(exchange: Exchange) -> Iterator[bytes]:
    """Nothing more: stdin ends."""
    exchange.end_input()
    yield from ()
