"""Runs the system's ssh and scp with everything on the command line.

With ``-F none`` and explicit options (ssh_config(5)) the user's own configuration (agents, proxies, control sockets,
host key settings) neither helps nor breaks a connection to a guest.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from ovtasks.errors import OvError
from ovtasks.guest.target import Target
from ovtasks.host.patience import waiting_for
from ovtasks.host.which import require

ALIVE_SECONDS = 15
ALIVE_COUNT = 8  # a busy guest under plain emulation may be silent for a minute


def ssh_options(target: Target) -> list[str]:
    """``-F none -o …``: the options for ssh, scp and sftp.

    :raises OvError: a path cannot be written as an ssh option.
    """
    options = {
        "User": target.user,
        "HostKeyAlias": target.alias,
        "StrictHostKeyChecking": "yes" if target.strict else "accept-new",
        "UserKnownHostsFile": quoted(target.known_hosts),
        "GlobalKnownHostsFile": "none",
        "UpdateHostKeys": "no",
        "CheckHostIP": "no",
        "ConnectTimeout": str(target.patience),
        "ServerAliveInterval": str(ALIVE_SECONDS),
        "ServerAliveCountMax": str(ALIVE_COUNT),
        "ForwardAgent": "yes" if target.forward_agent else "no",
        "GSSAPIAuthentication": "no",
        "LogLevel": "ERROR",
    }
    if target.identity is not None:
        options |= {"IdentitiesOnly": "yes", "IdentityFile": quoted(target.identity)}
    return ["-F", "none", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]


def quoted(path: Path) -> str:
    """A path in the syntax of ssh_config(5): in double quotes, with ``%`` doubled because it begins a token.

    :raises OvError: the path has ``${``, which ssh expands and cannot escape.
    """
    text = str(path)
    if "${" in text:
        raise OvError(f"ssh cannot use {text}: it takes ${{ for a variable", hint="move the folder to another path")
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"'


def ssh_argv(
    target: Target,
    command: Sequence[str] = (),
    *,
    tty: bool | None = None,
    extra: Sequence[str] = (),
) -> list[str]:
    """The command line of ssh. As with ssh itself, the words of ``command`` are joined by blanks for the remote user's
    shell; to keep a word whole, quote it for that shell.

    ``tty``: True asks for a terminal (``-t``), False for none (``-T``), None leaves it to ssh. ``extra`` are the user's
    options (``-L …``). They stand before ours, because ssh takes the first value of an option.
    """
    terminal = [] if tty is None else ["-t" if tty else "-T"]
    options = ssh_options(target)
    words = ["ssh", *extra, *options, "-p", str(target.port), *terminal, "--", target.host]
    return [*words, *command]


def scp_argv(target: Target, sources: Sequence[str], destination: str, *, extra: Sequence[str] = ()) -> list[str]:
    """The command line of scp. A path that begins with ``:`` is in the guest, others are on this machine."""
    host = f"[{target.host}]" if ":" in target.host else target.host

    def place(path: str) -> str:
        if path.startswith(":"):
            return f"{host}{path}"
        return path if path.startswith("/") else f"./{path}"  # a file called a:b would look like a host

    options = ssh_options(target)
    return ["scp", *extra, *options, "-P", str(target.port), "--", *map(place, sources), place(destination)]


def exec_ssh(
    target: Target, command: Sequence[str] = (), *, tty: bool | None = None, extra: Sequence[str] = ()
) -> NoReturn:
    """Replace this process by ssh, so that terminal, signals and exit status are its own.

    :raises MissingProgramError: ssh is not installed.
    """
    become(ssh_argv(target, command, tty=tty, extra=extra))


def greeted(target: Target) -> Target:
    """Wait on a terminal until the server says a word, since ssh waits in silence; returns the target to give to ssh.

    Without a terminal nobody reads that, and each connection is one more for the guest.
    """
    if not sys.stderr.isatty():
        return target
    end = time.monotonic() + target.patience
    try:
        with (
            waiting_for(f"the SSH server of {target.name}"),
            socket.create_connection((target.host, target.port), timeout=target.patience) as connection,
        ):
            connection.settimeout(max(0.1, end - time.monotonic()))
            connection.recv(1)
    except TimeoutError:
        return replace(target, patience=1)  # ssh says why, and has no need to wait again
    except OSError:
        pass
    return target


def become(argv: Sequence[str]) -> NoReturn:
    """Replace this process by the program.

    :raises MissingProgramError: it is not installed.
    """
    program = require(argv[0])
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(program, [argv[0], *argv[1:]])
