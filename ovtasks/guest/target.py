"""Where a guest's SSH server is, who logs in, and which host key it must show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ovtasks.errors import RefusedError

PREFIX = "ov-"


class WrongHostKeyError(RefusedError):
    """The guest shows a wrong SSH host key."""


@dataclass(frozen=True)
class Target:
    """Everything that ssh needs to reach a guest, without the user's ``~/.ssh/config``.

    ``alias`` is the ``Host`` of ssh_config(5) and the key's name in ``known_hosts``, so that the port may change.
    ``strict``: the key must be there already; else the first one is accepted and kept (accept-new).
    ``identity`` is the private key; None: whatever the agent and ssh's default files offer. ``patience`` is ssh's
    ConnectTimeout in seconds, until the server's first line too; 10 times that under plain emulation.
    """

    alias: str
    port: int
    user: str
    known_hosts: Path
    host: str = "127.0.0.1"
    identity: Path | None = None
    strict: bool = True
    forward_agent: bool = False
    patience: int = 30
    title: str | None = None

    @property
    def name(self) -> str:
        """The name for messages: ``title``, or the alias without its prefix."""
        return self.title or self.alias.removeprefix(PREFIX)
