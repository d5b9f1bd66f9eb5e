"""An operation: how to look whether it is so already, how to do it, and how to undo it, as text for a POSIX shell.

The texts run in the guest (or the image) as fragments: each in a subshell of its own with ``set -eu``, as ``user``,
after ``prelude.sh``, whose functions they may use (``do`` may run in the subshell that ``save`` ran in). They find in
their environment:

``STATE``
    a folder of this operation alone, kept in the guest until it is undone; what ``save`` writes there is the prior
    state that ``undo`` restores.
``FILES``
    the folder with its uploads, only there while the layer is applied. ``ov_same "$FILES/x" …`` works without.
``HOME``, ``USER``, ``OV_UID``, ``OV_GID``
    of the account; the working folder is its home, stdin is empty.

A fragment may be cut off anywhere (killed, power cut) and is run again: ``save`` from an empty folder unless it had
ended, ``do`` and ``undo`` from wherever they were. ``undo`` runs from a copy that the guest keeps, so it must not use
``FILES``, and works after the layer's file has changed or gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from ovtasks.errors import Where
from ovtasks.values.jsonvalue import Json, digest

ROOT = "root"


class Gate(StrEnum):
    """What a deployment must allow before such an operation is done. The value is the option of ``install_opts``."""

    REPOSITORY = "allow_repo_changes"
    ROOT_TASK = "allow_root_tasks"
    SERVICE = "with_services"


@dataclass(frozen=True)
class Upload:
    """A file that an operation finds as ``$FILES/<name>``: bytes, or a file of this machine with its sha256."""

    name: str
    content: bytes | Path
    digest: str
    mode: int = 0o644


class Bringer(Protocol):
    """Brings what operations need from outside of the project, before the guest is touched."""

    def download(self, url: str, digest: str | None, where: Where) -> Path:
        """A file of this machine with the bytes of ``url``; ``digest`` is ``sha256:…`` or None, then any will do.

        :raises OvError: they cannot be had, or are others.
        """

    def say(self, line: str) -> None:
        """Tell people something that they should know."""


@dataclass(frozen=True)
class Operation:
    """One change of the system.

    ``name`` tells people what it does (``write /etc/motd``), is unique in its layer, and stays the same when another
    operation is edited. ``look`` exits 0 if all is as ``do`` would leave it: contents, owner and mode. Empty: that
    cannot be seen, so it is done once. ``save`` keeps in ``$STATE`` what ``do`` is about to change. ``undo`` restores
    exactly that; empty: it cannot be undone, and ``caveat`` says why. ``user`` runs the fragments: ``root``, an
    account's name or ``uid:gid``. ``in_image``: what an image build does instead of ``do``; empty means the same.
    ``makes``: a path without which ``look`` says no; while nothing is there, nobody needs to look.
    ``secret``: ``do`` holds a secret, so nobody is shown it. ``complete``: the texts and uploads are made by this
    function, just before the operation is applied; those that are here tell it from others, and nobody runs them.
    """

    kind: str
    name: str
    do: str
    where: Where
    look: str = ""
    save: str = ""
    undo: str = ""
    user: str = ROOT
    uploads: tuple[Upload, ...] = ()
    gate: Gate | None = None
    caveat: str = ""
    in_image: str = ""
    makes: str = ""
    secret: bool = field(default=False, repr=False)
    complete: Callable[[Operation, Bringer], Operation] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Skipped:
    """What a target cannot do, and why. A deployment refuses it unless it says ``skip_incompatible``."""

    what: str
    why: str
    where: Where


def operation_digest(operation: Operation) -> str:
    """What the operation does, as 64 hexadecimal digits: other texts or uploads, other digits. Its place counts not."""
    parts: Json = {
        "kind": operation.kind,
        "name": operation.name,
        "user": operation.user,
        "texts": [operation.look, operation.save, operation.do, operation.undo, operation.in_image],
        "uploads": [[one.name, one.digest, one.mode] for one in operation.uploads],
    }
    return digest(parts)
