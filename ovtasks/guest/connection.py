"""One SSH connection into a guest, for scripts and files: many commands, one login.

``ov vm ssh``, ``scp`` and the user's own ssh are OpenSSH (:mod:`ovtasks.guest.ssh`). What ov itself does inside of a
guest goes through here: it costs a tenth of an ssh process, and nothing that may be secret stands in an argv.

::

    with connect(target) as guest:
        guest.upload_many([GuestFile("/etc/motd", b"hello\\n")], root=True)
        done = guest.run("apt-get update", root=True, on_output=show)
        if done.status != 0: ...
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import secrets
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from ovtasks.errors import OvError
from ovtasks.guest.connection_errors import ConnectionFailedError, ConnectionLostError, TookTooLongError, lost
from ovtasks.guest.deadline import Deadline, growing
from ovtasks.guest.exchange import Exchange, ScriptOutput, StdStream, Tail, Take
from ovtasks.guest.heartbeat import Heartbeat
from ovtasks.guest.login import log_in
from ovtasks.guest.remote_shell import CUT_SHORT, NO_ROOT, framed, loop_command
from ovtasks.guest.ssh import ALIVE_COUNT, ALIVE_SECONDS
from ovtasks.guest.target import Target
from ovtasks.guest.uploads import GuestFile, place_many, place_stream

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
class _Job:
    """How to run a script. ``content`` is what it reads from its stdin."""

    root: bool
    watch: Callable[[], None]
    env: Mapping[str, str] = field(default_factory=dict)
    content: Iterator[bytes] | None = None


class Connection:
    """An SSH session with a guest; :func:`connect` makes one. It is closed at the end of its ``with``."""

    def __init__(self, target: Target, transport: Transport) -> None:
        self.target = target
        self._shells: dict[bool, Exchange] = {}
        self._open(transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session. What runs in it is ended in the guest, too."""
        self._heartbeat.stop()
        self._transport.close()

    def run(
        self,
        script: str | bytes,
        *,
        root: bool = False,
        env: Mapping[str, str] | None = None,
        on_output: Take | None = None,
        timeout: float | None = None,
        check: Callable[[], None] | None = None,
    ) -> Finished:
        """Run a script of ``sh`` with the variables ``env``, an empty stdin and no terminal.

        ``root``: as root, by ``sudo -n`` or ``doas -n`` unless the user is root already. ``on_output`` gets what the
        script says as it comes. ``timeout`` is in seconds. ``check`` is called about twice a second.

        When an exception passes through here (Ctrl-C, what ``check`` or ``on_output`` raise), the script and all of its
        process group are ended first: SIGTERM, and SIGKILL after some seconds. That also happens when we are killed.
        What leaves the group (``setsid``, services, an unprivileged script's own ``sudo``) goes on. Background
        processes are left alone when the script ends by itself.

        :raises ConnectionLostError: the connection ended meanwhile, for instance because the guest reboots.
        :raises TookTooLongError: the script took longer than ``timeout``.
        :raises OvError: it could not be started: there is no way to become root, or the user has no shell.
        """
        return self._perform(
            script.encode() if isinstance(script, str) else script,
            _Job(root=root, env=env or {}, watch=_watch(self.target, timeout, check)),
            on_output,
        )

    def upload(
        self,
        content: bytes | Path | BinaryIO,
        path: str,
        *,
        mode: int = 0o644,
        owner: str | None = None,
        root: bool = False,
        check: Callable[[], None] | None = None,
    ) -> None:
        """Write one file, of any size: under a temporary name beside it, then with owner and mode to its name.

        The folder must be there. A link of this name is replaced. ``content`` is read from where it stands to its end.

        :raises OvError: it cannot be written, or ``content`` became shorter meanwhile.
        :raises ConnectionLostError: as :meth:`run`.
        """
        with contextlib.ExitStack() as opened:
            source = _source(content, opened)
            size = _size(source)
            script = place_stream(path, size, mode, owner)
            job = _Job(root, _watch(self.target, None, check), content=_chunks(source, size, path))
            self._need(self._perform(script, job), f"cannot write {path}")

    def upload_many(self, files: Iterable[GuestFile], *, root: bool = False) -> None:
        """Write small files in one go. If one cannot be written, none is, unless the last step itself fails: renaming.

        :raises OvError, ConnectionLostError: as :meth:`upload`.
        """
        files = list(files)
        names = ", ".join(file.path for file in files[:3]) + (", …" if len(files) > 3 else "")
        self._need(self.run(place_many(files), root=root), f"cannot write {names}")

    def download(self, path: str, *, root: bool = False) -> bytes:
        """The content of a file that fits in memory.

        :raises OvError: it cannot be read. :raises ConnectionLostError: as :meth:`run`.
        """
        done = self.run(f"cat -- {shlex.quote(path)}", root=root)
        self._need(done, f"cannot read {path}")
        return done.stdout

    def boot_id(self) -> str:
        """The kernel's name for this boot: another one after each start.

        :raises OvError, ConnectionLostError: as :meth:`download`.
        """
        return self.download("/proc/sys/kernel/random/boot_id").decode(errors="replace").strip()

    def reconnect(
        self, deadline: Deadline, *, after: str | None = None, alive: Callable[[], str | None] = lambda: None
    ) -> None:
        """Log in anew, as soon as the guest lets us in. Only then are new groups and a new ``/etc/environment`` seen.

        ``after`` is the :meth:`boot_id` of a boot that is about to end: wait for another one. ``alive`` returns None
        while the VM runs, else why it ended.

        :raises WrongHostKeyError: the guest shows another host key.
        :raises OvError: the VM ended, or the time is up.
        """
        self.close()
        last: ConnectionFailedError | None = None
        for pause in growing():
            try:
                self._open(log_in(self.target))
                if after is None or self.boot_id() != after:
                    return
                self.close()
            except ConnectionFailedError as e:
                last = e
            if (ended := alive()) is not None:
                raise OvError(f"{self.target.name}: the VM ended: {ended}", hint=f"ov vm start {self.target.name}")
            if deadline.expired:
                break
            deadline.pause(pause)
        why, hint = (last.message, last.hint) if last else ("it has not begun to reboot", None)
        raise OvError(f"{self.target.name} is not back after {deadline.elapsed:.0f} s: {why}", hint=hint)

    def reboot(self, deadline: Deadline, *, alive: Callable[[], str | None] = lambda: None) -> None:
        """Reboot the guest, and connect again.

        :raises OvError, WrongHostKeyError: as :meth:`reconnect`.
        """
        before = self.boot_id()
        with contextlib.suppress(ConnectionLostError):
            self._need(self.run("systemctl reboot 2>/dev/null || reboot", root=True), "cannot reboot")
        self.reconnect(deadline, after=before, alive=alive)

    def _open(self, transport: Transport) -> None:
        self._transport = transport
        self._shells = {}
        self._heartbeat = Heartbeat(transport)
        self._heartbeat.start()

    def _need(self, done: Finished, what: str) -> None:
        """:raises OvError: it failed."""
        if done.status != 0:
            said = done.error.strip().splitlines()
            raise OvError(f"{self.target.name}: {what}: {said[-1] if said else f'status {done.status}'}")

    def _perform(self, script: bytes, job: _Job, on_output: Take | None = None) -> Finished:
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
            status = exchange.hold(itertools.chain((frame,), job.content or ()), out, err, job.watch)
        except BaseException:
            self._drop(exchange, END_SECONDS)
            raise
        if status is None:
            code = exchange.channel.recv_exit_status()
            self._drop(exchange, 0.0)
            if out.open or code in {-1, CUT_SHORT}:
                raise lost(self.target, self._reason())
            raise self._not_started(code, err.noise or out.noise, root=job.root)
        if job.content is not None and status != 0:
            self._drop(exchange, END_SECONDS)  # what it did not read would be taken for a script
        return Finished(status, bytes(tails[StdStream.OUT]), bytes(tails[StdStream.ERR]))

    def _shell(self, *, root: bool) -> Exchange:
        """The shell that serves the user, or root; it is started when it is first needed."""
        from paramiko import SSHException

        if (exchange := self._shells.get(root)) is not None and not exchange.channel.closed:
            return exchange
        try:
            channel = self._transport.open_session(timeout=self.target.patience)
            channel.exec_command(loop_command(root=root))
        except (SSHException, OSError, EOFError) as e:
            raise lost(self.target, str(e) or self._reason()) from None
        exchange = self._shells[root] = Exchange(channel)
        return exchange

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
        user, name = self.target.user, self.target.name
        text = said.decode(errors="replace").strip()
        detail = f": {text.splitlines()[-1]}" if text else f" (status {status})"
        if root:
            what = "the guest has neither sudo nor doas" if status == NO_ROOT and not text else "not without a password"
            return OvError(
                f"{name}: {user} cannot become root: {what}{detail}",
                hint=f"log in as root (ssh.user), or let {user} use sudo without a password (NOPASSWD in sudoers)",
            )
        return OvError(
            f"{name}: the guest does not run commands for {user}{detail}",
            hint=f"ov vm ssh {name} shows what its shell says; {user} needs a login shell",
        )


def connect(target: Target) -> Connection:
    """Log in to a guest, once.

    :raises UnreachableError: nothing answers within ``target.patience`` seconds.
    :raises WrongHostKeyError: the guest shows another host key than the one in ``target.known_hosts``.
    :raises KeyRefusedError: the guest does not let the user in.
    """
    return Connection(target, log_in(target))


def _watch(target: Target, timeout: float | None, check: Callable[[], None] | None) -> Callable[[], None]:
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


def _source(content: bytes | Path | BinaryIO, opened: contextlib.ExitStack) -> BinaryIO:
    if isinstance(content, bytes):
        return io.BytesIO(content)
    return opened.enter_context(content.open("rb")) if isinstance(content, Path) else content


def _size(file: BinaryIO) -> int:
    """Bytes from here to the end."""
    here = file.tell()
    size = file.seek(0, os.SEEK_END) - here
    file.seek(here)
    return size


def _chunks(file: BinaryIO, size: int, path: str) -> Iterator[bytes]:
    """The next ``size`` bytes.

    :raises OvError: there are fewer.
    """
    while size:
        data = file.read(min(size, 1 << 20))
        if not data:
            raise OvError(f"what was to become {path} has become shorter while it was read")
        size -= len(data)
        yield data
