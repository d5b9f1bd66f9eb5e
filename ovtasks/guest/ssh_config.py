"""OpenSSH client configuration of VMs, their ``known_hosts`` lines, and the ``Include`` in a user's own file.

Formats: ssh_config(5); sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT".
"""

from __future__ import annotations

import glob
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ovtasks.errors import InputError

HEADER = "# Made by ov: changes made here are lost. See `ov ssh-config`.\n"
BEGIN = "# begin of ovtasks: VMs by name; `ov ssh-config --remove` takes these lines out"
END = "# end of ovtasks"


@dataclass(frozen=True, slots=True)
class Host:
    """One VM as ssh knows it.

    ``name`` is the domain (``ov-web``), which is what one types after ``ssh`` and also the name of its host key;
    ``aliases`` are further names. Without ``identities`` ssh offers the keys of its agent and the default files.
    ``strict``: the host key must be in ``known_hosts`` already; else the first one is accepted and kept. ``alive``:
    after so many seconds of silence ssh asks whether the guest is still there (three times).
    """

    name: str
    address: str
    port: int
    known_hosts: Path
    user: str | None = None
    identities: tuple[Path, ...] = ()
    strict: bool = True
    aliases: tuple[str, ...] = ()
    alive: int = 15


def stanza(host: Host) -> str:
    """The ``Host`` block.

    :raises InputError: a path or a name has a character that the format cannot hold.
    """
    options: list[tuple[str, str]] = [
        ("HostName", _word(host.address, tokens=True)),
        ("Port", str(host.port)),
        *([("User", _word(host.user))] if host.user else []),
        *(("IdentityFile", _word(str(path), tokens=True)) for path in host.identities),
        *([("IdentitiesOnly", "yes")] if host.identities else []),
        ("HostKeyAlias", _word(host.name)),
        ("UserKnownHostsFile", _word(str(host.known_hosts), tokens=True)),
        ("GlobalKnownHostsFile", "/dev/null"),
        ("StrictHostKeyChecking", "yes" if host.strict else "accept-new"),
        ("UpdateHostKeys", "no"),
        ("CheckHostIP", "no"),  # every VM has the same address, 127.0.0.1
        ("ServerAliveInterval", str(host.alive)),
        ("LogLevel", "ERROR"),
    ]
    names = " ".join(_word(name) for name in (host.name, *host.aliases))
    return "".join([f"Host {names}\n", *(f"    {key} {value}\n" for key, value in options)])


def config(hosts: Iterable[Host]) -> str:
    """The whole file that the user's own file includes."""
    return "\n".join([HEADER, *(stanza(host) for host in hosts)])


def known_hosts_line(alias: str, public_key: str) -> str:
    """The line that gives ``alias`` this host key (``type base64``; a comment is left out). It needs no port.

    :raises InputError: ``public_key`` is not a public key.
    """
    words = public_key.split()
    if len(words) < 2:
        raise InputError(f"{public_key!r} is not a public key", hint="one line: type, key in base64, comment")
    return f"{alias} {words[0]} {words[1]}\n"


def with_include(text: str, path: Path) -> str:
    """A user's ``~/.ssh/config`` with our ``Include`` at the very top.

    It must come before any ``Host``, because the lines after a ``Host`` belong to it. Everything else stays as it is.
    An earlier ``Include`` of ours is replaced. ``text`` has the file's own line ends (open it with ``newline=""``).
    """
    rest = without_include(text)
    end = "\r\n" if rest.partition("\n")[0].endswith("\r") else "\n"
    line = include(str(path.parent), glob.escape(path.name)).rstrip("\n")
    return "".join(text + end for text in (BEGIN, line, END)) + rest


def include(folder: str, pattern: str) -> str:
    """An ``Include`` of all files below ``folder`` that match ``pattern``."""
    return f"Include {_word(f'{glob.escape(folder)}/{pattern}')}\n"


def without_include(text: str) -> str:
    """``text`` without our block, or without the rest of a block that somebody edited."""
    kept: list[str] = []
    inside = False
    for line in text.splitlines(keepends=True):
        word = line.strip()
        if word == BEGIN:
            inside = True
        elif word == END or (inside and word.startswith("Include ")):
            inside = False
        else:
            inside = False
            kept.append(line)
    return "".join(kept)


def _word(text: str, *, tokens: bool = False) -> str:
    """One argument. ``tokens``: ssh expands ``%`` in this option, so a percent sign is doubled.

    :raises InputError: ``text`` has a character that the format cannot hold.
    """
    if not text or any(char in text for char in "\n\r\0"):
        raise InputError(f"{text!r} cannot be written in ssh_config", hint="choose a path without line breaks")
    if tokens:
        text = text.replace("%", "%%")
    if "${" in text:
        raise InputError(f"{text!r} cannot be written in ssh_config", hint="choose a path without ${")
    if not any(char.isspace() or char in "\"'\\#=" for char in text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
