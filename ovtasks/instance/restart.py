"""What a restart would change of a VM that runs: its definition and seed were others when it was started.

``create`` renews both while the VM runs, and the VM takes neither before its next start.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ovtasks.backends.contract import VmStatus, backend
from ovtasks.errors import OvError
from ovtasks.host.files import write_atomic
from ovtasks.host.state import try_load_state
from ovtasks.instance.record import Record
from ovtasks.instance.redact import difference
from ovtasks.instance.status import status
from ovtasks.values.jsonvalue import state_text

FILE = "started.json"
"""In the instance's folder: the process that was started, and what it was started with."""


@dataclass(frozen=True)
class RestartChange:
    """``what`` is for people; ``diff`` is the unified diff of the definition."""

    what: tuple[str, ...] = ()
    diff: str = ""


def note_start(record: Record) -> None:
    """Note what the VM was just started with."""
    definition = backend(record.backend).defined(record.handle)
    noted = {"pid": status(record).pid, "definition": definition, "seed": _inode(record.folder.seed)}
    write_atomic(record.folder.path / FILE, state_text(noted), mode=0o600)


def restart_change(record: Record, now: VmStatus) -> RestartChange | None:
    """What its next start changes; None: it does not run, or somebody else started it."""
    noted = try_load_state(record.folder.path / FILE, private=True)
    if not now.active or noted is None or now.pid is None or noted.get("pid") != now.pid:
        return None
    try:
        definition = backend(record.backend).defined(record.handle)
    except OvError:
        return None
    old = noted.get("definition")
    if not isinstance(old, str) or definition is None:
        return None
    what = ["definition"] if old != definition else []
    what += ["seed"] if noted.get("seed") != _inode(record.folder.seed) else []
    return RestartChange(tuple(what), difference(record.domain, old, definition) if old != definition else "")


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
