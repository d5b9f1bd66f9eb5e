"""Opens an SSH session with a guest by paramiko, as strictly as ``ovtasks.guest.ssh`` has OpenSSH do it.

The host key must be in the target's own ``known_hosts``; the user's ``~/.ssh/config`` has no say; nobody is asked for a
password or passphrase.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.guest import known_hosts
from ovtasks.guest.connection_errors import key_refused, lost, no_session, unreachable, wrong_host_key
from ovtasks.guest.known_hosts import KnownHost
from ovtasks.guest.target import Target
from ovtasks.host.patience import waiting_for
from ovtasks.host.state import read_text

if TYPE_CHECKING:
    from paramiko import PKey, Transport

TICK = 0.25
"""Seconds between two calls of a ``check``."""
DEFAULT_KEYS = ("id_rsa", "id_ecdsa", "id_ed25519")
"""Files in ``~/.ssh`` that ssh tries when no identity is named."""
STEP_SECONDS = 30.0
"""Seconds for the exchange of keys, and for each answer to a login; guests calculate long when they boot."""


def log_in(target: Target, *, limit: float | None = None, check: Callable[[], None] | None = None) -> Transport:
    """An authenticated session. The caller closes it.

    ``limit`` is how many seconds it may take at most; None: as long as the steps may. ``check`` is called several times
    a second while the server is waited for; what it raises comes out here.

    :raises UnreachableError: nothing answers within ``target.patience``.
    :raises WrongHostKeyError: the host key is not the known one.
    :raises KeyRefusedError: the user is not let in.
    """
    end = time.monotonic() + (limit if limit is not None else target.patience + 2 * STEP_SECONDS)
    with waiting_for(f"the SSH server of {target.name}"):
        transport = _transport(target, end)
        try:
            _shake_hands(transport, target, end, check)
            _check_host_key(transport, target)
            transport.auth_timeout = _left(end, STEP_SECONDS)
            _authenticate(transport, target)
        except BaseException:
            transport.close()
            raise
        return transport


def _left(end: float, most: float) -> float:
    """Seconds until ``end``, between 1 and ``most``."""
    return max(1.0, min(most, end - time.monotonic()))


def _transport(target: Target, end: float) -> Transport:
    from paramiko import Transport

    logger = logging.getLogger("paramiko")  # what it logs comes as exceptions, too; else it would appear on stderr
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
    try:
        connection = socket.create_connection((target.host, target.port), timeout=_left(end, target.patience))
    except OSError as e:
        raise unreachable(target, e) from None
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Transport(connection)


def _shake_hands(transport: Transport, target: Target, end: float, check: Callable[[], None] | None) -> None:
    _prefer_known(transport, target)
    transport.banner_timeout = _left(end, target.patience)
    transport.handshake_timeout = _left(end, STEP_SECONDS)
    end = time.monotonic() + _left(end, target.patience + STEP_SECONDS)
    done = threading.Event()
    transport.start_client(event=done)
    while not done.wait(TICK) and transport.is_active() and time.monotonic() < end:
        if check is not None:
            check()
    if not transport.is_active() or not done.is_set():
        raise no_session(target, transport.get_exception())


def _prefer_known(transport: Transport, target: Target) -> None:
    """Ask for a host key of a known kind first, so that a further kind in the guest is no surprise."""
    options = transport.get_security_options()
    known = known_hosts.kinds(read_text(target.known_hosts) or "", target.alias)
    names = [name for kind in known for name in (("rsa-sha2-512", "rsa-sha2-256") if kind == "ssh-rsa" else (kind,))]
    offered = tuple(options.key_types)
    first = [name for name in names if name in offered]
    options.key_types = (*first, *(name for name in offered if name not in first))


def _check_host_key(transport: Transport, target: Target) -> None:
    shown = transport.get_remote_server_key()
    kind, key = shown.get_name(), shown.get_base64()
    found = known_hosts.look_up(read_text(target.known_hosts) or "", target.alias, kind, key)
    if found is KnownHost.NEW and not target.strict:
        known_hosts.remember(target.known_hosts, target.alias, kind, key)
    elif found is not KnownHost.KNOWN:
        digest = base64.b64encode(hashlib.sha256(base64.b64decode(key)).digest()).decode().rstrip("=")
        raise wrong_host_key(target, f"SHA256:{digest}")


def _authenticate(transport: Transport, target: Target) -> None:
    """Try the keys in ssh's order. The first try is without any: the answer says what the server takes.

    :raises KeyRefusedError: none of them opens.
    """
    from paramiko import SSHException
    from paramiko.ssh_exception import AuthenticationException, BadAuthenticationType

    try:
        transport.auth_none(target.user)
        return
    except BadAuthenticationType as e:
        denied = f"{target.user}@{target.host}: Permission denied ({','.join(e.allowed_types)})."
    except (SSHException, OSError, EOFError) as e:
        raise lost(target, str(e) or "its SSH server hung up") from None
    unusable: list[str] = []
    refused = 0
    for key in _keys(target, unusable):
        try:
            if not transport.auth_publickey(target.user, key):
                return
        except (AuthenticationException, AttributeError):  # AttributeError: a kind of key that paramiko does not know
            refused += 1
        except (SSHException, OSError, EOFError) as e:
            unusable.append(str(e))
        if not transport.is_active():  # why it hung up is a message that paramiko keeps for itself
            if refused > 1:
                raise key_refused(target, "Too many authentication failures")
            raise lost(target, "its SSH server hung up")
    raise key_refused(target, denied if refused or not unusable else unusable[-1])


def _keys(target: Target, unusable: list[str]) -> Iterator[PKey]:
    """The keys to offer: the target's own, else those of the agent and ssh's default files.

    ``unusable`` gets a line for each that cannot be used.
    """
    if target.identity is not None:
        yield from _key(target.identity, unusable, from_agent=True)
        return
    yield from _agent_keys()
    for name in DEFAULT_KEYS:
        if (path := Path.home() / ".ssh" / name).is_file():
            yield from _key(path, unusable, from_agent=False)


def _key(path: Path, unusable: list[str], *, from_agent: bool) -> Iterator[PKey]:
    """The key in a file. One with a passphrase is used by the agent, if the agent has it (``from_agent``)."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from paramiko import PKey, SSHException
    from paramiko.pkey import UnknownKeyType

    try:
        yield PKey.from_path(path)
        return
    except FileNotFoundError:
        unusable.append(f"Identity file {path} not accessible: No such file or directory.")
    except OSError as e:
        unusable.append(f'Load key "{path}": {e.strerror}')
    except TypeError:  # it has a passphrase
        unusable.append(f'Load key "{path}": incorrect passphrase supplied to decrypt private key')
    except (SSHException, ValueError, UnsupportedAlgorithm, UnknownKeyType):
        unusable.append(f'Load key "{path}": invalid format')
    if from_agent:
        wanted = _public_blob(path.with_name(f"{path.name}.pub"))
        yield from (key for key in _agent_keys() if wanted is not None and key.asbytes() == wanted)


def _public_blob(path: Path) -> bytes | None:
    """The public key in a file of OpenSSH's format; None if it holds none."""
    try:
        return base64.b64decode(path.read_text(encoding="utf-8").split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _agent_keys() -> Iterator[PKey]:
    """The keys of the user's agent (``SSH_AUTH_SOCK``), if there is one."""
    from paramiko import Agent, SSHException

    try:
        agent = Agent()
    except (SSHException, OSError):
        return
    try:
        yield from agent.get_keys()
    finally:
        agent.close()
