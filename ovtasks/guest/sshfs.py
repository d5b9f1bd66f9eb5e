"""Mounts a folder of the host in a guest by sshfs, over a session that the host opens.

The guest runs ``sshfs`` with the session's channel as its stdin and stdout, and this side answers. So nothing listens
anywhere, and the guest has no key of the host's. sshfs ends, and unmounts, when the channel does.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.errors import OvError
from ovtasks.guest.connection_errors import lost
from ovtasks.guest.heartbeat import Heartbeat
from ovtasks.guest.login import log_in
from ovtasks.guest.remote_shell import NO_ROOT, as_root
from ovtasks.guest.sftp import SftpServer
from ovtasks.guest.sftp_packets import BrokenPacketError
from ovtasks.guest.target import Target
from ovtasks.host.confined import Confined

if TYPE_CHECKING:
    from paramiko import Channel, Transport

NOT_YET, NONE = 41, 42
"""The status of the script where the guest has no sshfs: cloud-init may still install it; nobody will."""
_MOUNTED = "ov-mounted"
_NOISE = 64 << 10
"""The most bytes that a login may say before our first line."""
_LAST_WORDS = 300
_ANSWER = 20.0
"""Seconds that sshfs gets to end and to say why."""
# `slave`: newer versions call it `passive`, and know this name, too. Short caching, since the host changes files, too.
OPTIONS = "slave,allow_other,default_permissions,cache_timeout=1"
# Reads its three words from stdin: tag, options, folder. What an earlier session left mounted leads nowhere.
_SCRIPT = (
    "PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; export PATH; "
    "read -r ov_tag; read -r ov_options; IFS= read -r ov_folder; read -r ov_token; "
    'if grep -q "^$ov_tag " /proc/mounts; then umount -l "$ov_folder"; fi; '
    # whether cloud-init is at work is asked first: it may end, and have installed sshfs, a moment later
    f"ov_none={NONE}; [ -d /run/cloud-init ] && [ ! -e /run/cloud-init/disabled ] "
    f"&& [ ! -e /run/cloud-init/result.json ] && ov_none={NOT_YET}; "
    "command -v sshfs >/dev/null || exit $ov_none; "
    'mkdir -p "$ov_folder" || exit; '
    "modprobe fuse 2>/dev/null; "
    # versions that hide links with .. in them must be asked to show them; those before do not know the word
    "case $(sshfs --help 2>&1) in *no_contain_symlinks*) ov_options=$ov_options,no_contain_symlinks;; esac; "
    '(until grep -q "^$ov_tag " /proc/mounts; do kill -0 $$ 2>/dev/null || exit; sleep .2 || sleep 1; done; '
    f"echo {_MOUNTED} >&2) </dev/null >/dev/null & "
    'echo "$ov_token"; '
    'exec sshfs -f -o "$ov_options,fsname=$ov_tag" :/ "$ov_folder"'
)


class NoSshfsError(OvError):
    """The guest has no sshfs. ``later``: cloud-init may be about to install it."""

    def __init__(self, message: str, *, later: bool) -> None:
        super().__init__(message, hint="install it in the guest: the package is called sshfs, or fuse-sshfs")
        self.later = later


@dataclass(frozen=True)
class Mounting:
    """The folder ``source`` of the host that a guest is to mount at ``target``; ``tag`` is its name in /proc/mounts.

    ``owner`` turns the numbers of a file's user and group into those that the guest sees.
    """

    tag: str
    source: Path
    target: str
    read_only: bool
    owner: Callable[[int, int], tuple[int, int]]


def serve(target: Target, mounting: Mounting, on_mounted: Callable[[], None]) -> None:
    """Mount the folder and answer the guest, until the session ends. ``on_mounted`` is called from another thread.

    :raises NoSshfsError: the guest has no sshfs.
    :raises ConnectionFailedError: the guest does not let us in, or hung up.
    :raises OvError: the folder is missing, or sshfs ended; the message says why.
    """
    try:
        folder = Confined(mounting.source, read_only=mounting.read_only)
    except OSError as e:
        raise OvError(f"{mounting.source} cannot be opened: {e.strerror}", hint=f"ls -ld '{mounting.source}'") from None
    try:
        transport = log_in(target)
        heartbeat = Heartbeat(transport)
        heartbeat.start()
        try:
            server = SftpServer(folder, mounting.owner, mounting.read_only)
            _talk(target, transport, mounting, server, on_mounted)
        finally:
            heartbeat.stop()
            transport.close()
    finally:
        folder.close()


def _talk(
    target: Target, transport: Transport, mounting: Mounting, server: SftpServer, on_mounted: Callable[[], None]
) -> None:
    from paramiko import SSHException

    words = _GuestWords(on_mounted)
    try:
        channel = transport.open_session(timeout=target.patience)
        channel.exec_command(as_root(_SCRIPT))
        listener = threading.Thread(target=words.listen, args=(channel,), daemon=True)
        listener.start()
        token = f"ov-{secrets.token_hex(8)}"
        options = f"{OPTIONS},ro" if mounting.read_only else OPTIONS
        channel.sendall(f"{mounting.tag}\n{options}\n{mounting.target}\n{token}\n".encode())
        if _begins(channel, token.encode()):
            server.serve(channel)
        channel.shutdown_write()
        status = _status(channel)
        listener.join(1.0)
    except (SSHException, EOFError, OSError) as e:
        raise lost(target, str(e) or "its SSH server hung up") from None
    except BrokenPacketError as e:
        message = f"{target.name}: what mounts {mounting.target} does not speak SFTP: {e}"
        raise OvError(message, hint=_by_hand(target)) from None
    raise _ended(target, mounting, status, words.last)


def _begins(channel: Channel, token: bytes) -> bool:
    """Read up to the line with our token: a login shell may have said something. False if the script ends before."""
    line = seen = b""
    while len(seen) < _NOISE:
        if not (byte := channel.recv(1)):
            return False
        seen += byte
        line = b"" if byte == b"\n" else line + byte
        if byte == b"\n" and seen[:-1].endswith(token):
            return True
    return False


def _status(channel: Channel) -> int:
    """The script's status; -1: it does not end, or the connection did."""
    channel.status_event.wait(_ANSWER)
    return channel.exit_status if channel.exit_status_ready() else -1


def _ended(target: Target, mounting: Mounting, status: int, last: str) -> OvError:
    if status in {NOT_YET, NONE}:
        later = status == NOT_YET
        more = ", and cloud-init is at work" if later else ""
        return NoSshfsError(f"{target.name}: no sshfs in the guest{more}", later=later)
    if status == NO_ROOT:
        return OvError(
            f"{target.name}: {target.user} cannot become root to mount {mounting.target}",
            hint=f"log in as root (ssh.user), or let {target.user} use sudo without a password (NOPASSWD in sudoers)",
        )
    if status == -1:
        return lost(target, "its SSH server hung up")
    why = last or f"sshfs ended with status {status}"
    return OvError(f"{target.name}: {mounting.target} is not mounted: {why}", hint=_by_hand(target))


def _by_hand(target: Target) -> str:
    return f"look around there: ov vm ssh {target.name}"


class _GuestWords:
    """What the guest says on stderr: that it has mounted the folder, and why it cannot."""

    def __init__(self, on_mounted: Callable[[], None]) -> None:
        self._on_mounted = on_mounted
        self.last = ""
        """The last line."""

    def listen(self, channel: Channel) -> None:
        """Read to the end."""
        rest = b""
        while data := channel.recv_stderr(4096):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._take(line.decode(errors="replace").strip())
            rest = rest[-_LAST_WORDS:]
        self._take(rest.decode(errors="replace").strip())

    def _take(self, line: str) -> None:
        if line == _MOUNTED:
            self._on_mounted()
        elif line:
            self.last = "".join(char if char.isprintable() else "?" for char in line[-_LAST_WORDS:])
