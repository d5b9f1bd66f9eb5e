"""Makes ``ssh ov-NAME`` work anywhere: an ``Include`` in the user's ``~/.ssh/config``, and the file it includes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.guest.ssh_config import HEADER, config, include, with_include, without_include
from ovtasks.host.files import write_atomic, write_changed
from ovtasks.host.paths import config_home, data_home
from ovtasks.host.state import MAX_BYTES, read_input
from ovtasks.instance.access import ssh_host
from ovtasks.instance.record import Record


def user_file() -> Path:
    """The user's own configuration file for ssh."""
    return Path.home() / ".ssh" / "config"


def included_file() -> Path:
    """The file that the user's file includes. It includes every instance's own stanza, so it is always up to date."""
    return config_home() / "ssh_config"


def text(records: Iterable[Record]) -> str:
    """The stanzas of ``records``."""
    return config(ssh_host(record) for record in records)


def install() -> bool:
    """Add the Include; returns whether the user's file changed.

    :raises OvError: it cannot be read or written.
    """
    wanted = HEADER + include(f"{data_home() / 'vm'}", "*/ssh_config")
    write_changed(included_file(), wanted, mode=0o600)
    return _edit(lambda old: with_include(old, included_file()))


def remove() -> bool:
    """Remove the Include; returns whether the user's file changed.

    :raises OvError: it cannot be read or written.
    """
    changed = user_file().exists() and _edit(without_include)
    included_file().unlink(missing_ok=True)
    return changed


def _edit(change: Callable[[str], str]) -> bool:
    path = user_file().resolve()  # dotfiles are often links into a repository
    try:
        old = read_input(path, MAX_BYTES).decode() if path.exists() else ""
        new = change(old)
        if new == old:
            return False
        path.parent.mkdir(mode=0o700, exist_ok=True)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
        write_atomic(path, new.encode(), mode=mode)
    except (OSError, UnicodeDecodeError) as e:
        reason = (e.strerror or "").lower() if isinstance(e, OSError) else "it is not UTF-8"
        raise OvError(f"cannot change {path}: {reason}", hint=f"add by hand: Include {included_file()}") from None
    return True
