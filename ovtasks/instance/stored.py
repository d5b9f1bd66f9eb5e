"""``machine.json``: the machine that was last defined, so that it can be started without the project."""

from __future__ import annotations

import json
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.host.files import write_atomic
from ovtasks.jsonvalue import plain, restore
from ovtasks.render.machine import Machine


def save_machine(path: Path, machine: Machine) -> None:
    """Write ``machine``; only its owner may read it, because it may hold a host key."""
    write_atomic(path, json.dumps(plain(machine), indent=1) + "\n", mode=0o600)


def load_machine(path: Path) -> Machine | None:
    """The machine that was saved; None: there is none.

    :raises OvError: the file is damaged.
    """
    try:
        return restore(Machine, json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as e:
        raise OvError(f"{path} is damaged: {e}", hint="`ov vm create` writes it anew") from e
