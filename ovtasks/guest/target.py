"""Where a guest's SSH server is, who logs in, and how its host key is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ovtasks.errors import RefusedError

PREFIX = "ov-"


class WrongHostKeyError(RefusedError):
    """The guest shows another SSH host key than the one it must have."""


@dataclass(frozen=True)
class Target:
    """All that ssh needs to reach one guest; nothing of it comes from the user's ``~/.ssh/config``.

    ``alias`` is the ``Host`` of ssh_config(5) and the name under which ``known_hosts`` has the host key, so that the
    port may change. ``strict``: the key must be there already; else the first one seen is kept (accept-new).
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
        """What stands behind ``ov vm console``: ``title``, or the alias without its prefix."""
        return self.title or self.alias.removeprefix(PREFIX)
