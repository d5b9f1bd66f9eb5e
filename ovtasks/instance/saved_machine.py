"""``machine.json``: the machine that was last defined, so that it can be started without the project."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.host.files import write_atomic
from ovtasks.host.state import StateError, load_state
from ovtasks.machine.machine import Machine
from ovtasks.values.jsonvalue import plain, restore, state_text

_HINT = "`ov vm create` writes it again"


def save_machine(path: Path, machine: Machine) -> None:
    """Write ``machine``. Only the owner may read the file, because it may contain secrets."""
    write_atomic(path, state_text(plain(machine), lines=True), mode=0o600)


def saved_or_none(path: Path) -> Machine | None:
    """The machine that was saved; None if it is missing or damaged, and then `create` writes it again."""
    with contextlib.suppress(OvError):
        return load_machine(path)
    return None


def load_machine(path: Path) -> Machine | None:
    """The machine that was saved; None if there is none.

    :raises OvError: the file is damaged.
    """
    try:
        data = load_state(path)
        return None if data is None else restore(Machine, data)
    except StateError as e:
        raise OvError(e.message, hint=_HINT) from None
    except (ValueError, TypeError) as e:
        raise OvError(f"{path} is damaged: {e}", hint=_HINT) from None
