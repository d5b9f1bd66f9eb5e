"""Why a connection into a guest fails: what paramiko and the kernel say, as errors with a next step."""

from __future__ import annotations

import errno
import os

from ovtasks.errors import OvError
from ovtasks.guest.diagnosis import diagnose
from ovtasks.guest.target import Target, WrongHostKeyError


class ConnectionFailedError(OvError):
    """No connection. ``said`` is what ssh would say about it, for :func:`ovtasks.guest.diagnosis.diagnose`."""

    def __init__(self, message: str, *, hint: str | None = None, said: str = "") -> None:
        super().__init__(message, hint=hint)
        self.said = said or message


class UnreachableError(ConnectionFailedError):
    """Nothing listens, or what listens does not speak SSH (yet). It may be better in a moment."""


class KeyRefusedError(ConnectionFailedError):
    """The guest does not let the user in: it refuses the key, or the key cannot be used."""


class ConnectionLostError(ConnectionFailedError):
    """The connection ended while it was in use: the guest reboots, is switched off, or answers no more."""


class TookTooLongError(OvError):
    """A command in the guest took longer than it was allowed to; it was ended."""


def hint_of(said: str, target: Target, *, root: bool) -> str:
    """What to do about a file that could not be written or read, by what the guest said."""
    look = f"ov vm ssh {target.name}"
    hints = {
        "no space left": f"make room in the guest: `{look} -- df -h` shows which disk is full",
        "disk quota": f"make room in the guest: `{look} -- quota` shows what {target.user} may use",
        "read-only file system": "choose a place that can be written to: that of the path is mounted read-only",
        "no such file": f"make the folder first, or correct the path: `{look}` looks around there",
        "nonexistent": f"make the folder first, or correct the path: `{look}` looks around there",
        "is a directory": "name a file in that folder, or remove the folder",
        "not a directory": "correct the path: a part of it is a file in the guest",
        "invalid user": f"name an account of the guest: `{look} -- getent passwd` lists them",
        "invalid group": f"name a group of the guest: `{look} -- getent group` lists them",
    }
    refused = f"`{look}` shows who may; {'something denies it to root, too' if root else 'as root it may work'}"
    hints |= {"permission denied": refused, "not permitted": refused}
    return next((hint for sign, hint in hints.items() if sign in said.lower()), f"try it by hand: `{look}`")


def unreachable(target: Target, error: OSError) -> UnreachableError:
    """No TCP connection."""
    if isinstance(error, ConnectionRefusedError):
        message = f"{target.name}: nothing listens on {target.host} port {target.port}"
    elif isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        message = f"{target.name}: {target.host} port {target.port} does not answer within {target.patience} s"
    else:
        reason = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)
        message = f"{target.name}: {target.host} port {target.port} cannot be reached: {reason}"
    return UnreachableError(message, hint=f"ov vm wait {target.name}")


def no_session(target: Target, error: Exception | None) -> ConnectionFailedError:
    """A TCP connection, but no encrypted session."""
    from paramiko.ssh_exception import IncompatiblePeer

    detail = f": {error}" if error is not None and str(error) else ""
    if isinstance(error, IncompatiblePeer):
        return ConnectionFailedError(
            f"{target.name}: no algorithm in common with its SSH server{detail}",
            hint=f"`ov vm ssh {target.name}` works if OpenSSH has one; a newer SSH server in the guest helps",
        )
    return UnreachableError(
        f"the SSH server of {target.name} does not answer{detail}", hint=f"ov vm wait {target.name}"
    )


def wrong_host_key(target: Target, shown: str) -> WrongHostKeyError:
    """The host key is not one that ``known_hosts`` has. ``shown`` is its fingerprint."""
    found = diagnose("", "Host key verification failed", target.name, reached=True)
    return WrongHostKeyError(f"{target.name}: {found.message}: {shown}", hint=found.hint)


def key_refused(target: Target, said: str) -> KeyRefusedError:
    """Nobody is let in; ``said`` is what ssh would say, like ``Permission denied (publickey)``."""
    found = diagnose("", said, target.name, reached=True)
    return KeyRefusedError(f"{target.name}: {found.message}: {said}", hint=found.hint, said=said)


def lost(target: Target, why: str) -> ConnectionLostError:
    """The connection ended in the middle of something."""
    return ConnectionLostError(
        f"the connection to {target.name} is lost: {why}", hint=f"ov vm wait {target.name}, then the same again"
    )
