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
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from ovtasks.errors import OvError
from ovtasks.guest.connection_errors import ConnectionFailedError, ConnectionLostError, hint_of
from ovtasks.guest.deadline import Deadline, growing
from ovtasks.guest.exchange import Take
from ovtasks.guest.login import log_in
from ovtasks.guest.session import Finished as Finished
from ovtasks.guest.session import Job, Session, watching
from ovtasks.guest.target import Target
from ovtasks.guest.uploads import GuestFile as GuestFile
from ovtasks.guest.uploads import place_many, place_stream

if TYPE_CHECKING:
    from paramiko import Transport


class Connection:
    """An SSH session with a guest; :func:`connect` makes one. It is closed at the end of its ``with``.

    It does one thing at a time: two threads need two.
    """

    def __init__(self, target: Target, transport: Transport) -> None:
        self.target = target
        self._session = Session(target, transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session. What runs in it is ended in the guest, too."""
        self._session.close()

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
        return self._session.perform(
            script.encode() if isinstance(script, str) else script,
            Job(root=root, env=env or {}, watch=watching(self.target, timeout, check)),
            on_output,
        )

    def command(
        self,
        line: str,
        *,
        stdin: bytes = b"",
        timeout: float | None = None,
        check: Callable[[], None] | None = None,
    ) -> Finished:
        """Run a line of the user's own shell, as ``ssh HOST LINE`` does. It needs nothing in the guest but that shell,
        but everybody there sees the line, and what it started may go on when we are gone.

        :raises ConnectionLostError, TookTooLongError: as :meth:`run`.
        """
        return self._session.command(line, stdin, watching(self.target, timeout, check))

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
            job = Job(root, watching(self.target, None, check), content=_chunks(source, size, path))
            self._need(self._session.perform(script, job), f"cannot write {path}", root=root)

    def upload_many(self, files: Iterable[GuestFile], *, root: bool = False) -> None:
        """Write small files in one go. If one cannot be written, none is, unless the last step itself fails: renaming.

        :raises OvError, ConnectionLostError: as :meth:`upload`.
        """
        files = list(files)
        names = ", ".join(file.path for file in files[:3]) + (", …" if len(files) > 3 else "")
        self._need(self.run(place_many(files), root=root), f"cannot write {names}", root=root)

    def download(self, path: str, *, root: bool = False) -> bytes:
        """The content of a file that fits in memory.

        :raises OvError: it cannot be read. :raises ConnectionLostError: as :meth:`run`.
        """
        done = self.run(f"cat -- {shlex.quote(path)}", root=root)
        self._need(done, f"cannot read {path}", root=root)
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
                self._session = Session(self.target, log_in(self.target))
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
            self._need(self.run("systemctl reboot 2>/dev/null || reboot", root=True), "cannot reboot", root=True)
        self.reconnect(deadline, after=before, alive=alive)

    def _need(self, done: Finished, what: str, *, root: bool) -> None:
        """:raises OvError: it failed."""
        if done.status != 0:
            said = done.error.strip().splitlines()
            why = said[-1] if said else f"status {done.status}"
            hint = hint_of(why, self.target, root=root)
            raise OvError(f"{self.target.name}: {what}: {why}", hint=hint)


def connect(target: Target, *, limit: float | None = None, check: Callable[[], None] | None = None) -> Connection:
    """Log in to a guest, once. ``limit`` and ``check`` are as in :func:`ovtasks.guest.login.log_in`.

    :raises UnreachableError: nothing answers within ``target.patience`` seconds.
    :raises WrongHostKeyError: the guest shows another host key than the one in ``target.known_hosts``.
    :raises KeyRefusedError: the guest does not let the user in.
    """
    return Connection(target, log_in(target, limit=limit, check=check))


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
