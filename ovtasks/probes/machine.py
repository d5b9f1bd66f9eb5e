"""What a VM's backend can be asked from outside; a backend that cannot says so."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from ovtasks.backends.contract import Agent, Keys, LiveXml, Monitor, Screens, backend
from ovtasks.errors import OvError
from ovtasks.host.patience import waiting_for
from ovtasks.instance.record import Record
from ovtasks.probes.picture import Picture, read_picture
from ovtasks.values.jsonvalue import Json
from ovtasks.values.keys import KeyCode

T = TypeVar("T")
HOLD = 50
"""Milliseconds that a key is held."""


class UnableError(OvError):
    """The VM's backend has no such thing."""


def _able(record: Record, part: type[T], what: str) -> T:
    found = backend(record.backend)
    if not isinstance(found, part):
        raise UnableError(f"the backend {record.backend} cannot {what}", hint="libvirt and qemu can")
    return found


def monitor_of(record: Record) -> Monitor:
    """The backend, which reaches QEMU.

    :raises OvError: it cannot.
    """
    return _able(record, Monitor, "reach QEMU's monitor")  # type: ignore[type-abstract]


def picture(record: Record, number: int = 0) -> Picture:
    """What the display ``number`` shows.

    :raises OvError: the VM does not run, has no such display, or its backend cannot show it.
    """
    screens = _able(record, Screens, "show the screen")  # type: ignore[type-abstract]
    try:
        data = screens.screen(record.handle, number)
    except OvError as e:
        hint = e.hint or "a VM has a screen with libvirt.devices.video in vms.yml"
        raise OvError(e.message, hint=hint) from e
    return read_picture(data)


def press(record: Record, chords: Sequence[Sequence[KeyCode]], hold: int = HOLD) -> None:
    """Press the keys of each chord together, one chord after another.

    :raises OvError: the VM does not run, or its backend has no keys.
    """
    keys = _able(record, Keys, "press keys")  # type: ignore[type-abstract]
    for chord in chords:
        keys.press(record.handle, chord, hold)
        time.sleep(hold / 1000)  # a key that is pressed again at once would look held


def ask_agent(record: Record, command: str, seconds: float = 5.0, arguments: Mapping[str, Json] | None = None) -> Json:
    """The answer of the guest agent to one command, within ``seconds``.

    :raises OvError: the VM does not run, no agent answers, or it refuses the command.
    """
    agent = _able(record, Agent, "reach the guest agent")  # type: ignore[type-abstract]
    with waiting_for(f"the guest agent of {record.words}"):
        return agent.ask_agent(record.handle, command, arguments or {}, seconds)


def cpu_seconds(pid: int | None) -> float | None:
    """Seconds of processor time that QEMU has had (proc(5): utime and stime); None if it is not here."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        fields = text.rpartition(")")[2].split()
        return round((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), 2)
    except (OSError, ValueError, IndexError):
        return None


def domain_xml(record: Record, *, config: bool) -> str:
    """The domain as libvirt has it: as it runs, with ``config`` as it will start next.

    :raises OvError: the backend has no domains.
    """
    found = backend(record.backend)
    if not isinstance(found, LiveXml):
        raise UnableError(f"the backend {record.backend} has no domain XML", hint=f"ov vm argv {record.words}")
    return found.domain_xml(record.handle, config=config)
