"""What ``ov vm status`` says of the machine: processors, memory, disk, accelerator, and what a restart would change."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ovtasks.cli.common import note
from ovtasks.errors import OvError
from ovtasks.values.sizes import format_size

if TYPE_CHECKING:
    from ovtasks.instance.record import Record
    from ovtasks.instance.restart import RestartChange

_SHOWN_LINES = 8


def machine_facts(record: Record) -> dict[str, object]:
    """The machine as it is defined, as JSON data. ``ram`` and the sizes are in bytes; None: not defined, no disk.

    ``disk.used`` is what the disk takes on this host, without what it shares with the build; ``disk.folder`` the same
    for the whole folder.
    """
    from ovtasks.host.folders import allocated
    from ovtasks.instance.saved_machine import load_machine

    try:
        machine = load_machine(record.folder.machine)
    except OvError:  # damaged; create writes it anew
        machine = None
    found: dict[str, object] = {"cpus": None, "ram": None, "accelerator": None, "arch": None, "firmware": None}
    if machine is not None:
        found |= {"cpus": machine.cpus, "ram": machine.ram, "accelerator": machine.accel, "arch": machine.arch}
        found["firmware"] = machine.boot.firmware.value
    disk = record.folder.disk
    found["disk"] = None
    if disk.exists():
        used = disk.stat().st_blocks * 512
        found["disk"] = {"size": _size(record), "used": used, "folder": allocated(record.folder.path, set())}
    return found


def _size(record: Record) -> int | None:
    """The size that the guest sees; None: nobody can tell."""
    from ovtasks.instance.overlays import disk_size

    try:
        return disk_size(record.folder.disk)
    except (OvError, ValueError, KeyError):
        return None


def machine_lines(machine: Mapping[str, object], restart: RestartChange | None) -> dict[str, str | None]:
    """The same for people: a label and a line each."""
    from ovtasks.host.accel import EMULATED

    ram, disk, accelerator = machine["ram"], machine["disk"], machine["accelerator"]
    size = disk["size"] if isinstance(disk, dict) else None
    shown = None
    if isinstance(disk, dict):
        of = f" of {format_size(size)}" if size else ""
        shown = f"{format_rounded(disk['used'])}{of} used; its folder takes {format_rounded(disk['folder'])}"
    return {
        "cpus": str(machine["cpus"]) if machine["cpus"] else None,
        "ram": format_size(ram) if isinstance(ram, int) else None,
        "disk": shown,
        "accelerator": {"kvm": "KVM", "tcg": EMULATED}.get(str(accelerator)),
        "firmware": str(machine["firmware"]) if machine["firmware"] else None,
        "restart": _restart(restart),
    }


def _restart(change: RestartChange | None) -> str | None:
    """What a restart would change, the lines of the definition below."""
    if change is None:
        return None
    if not change.what:
        return "would change nothing"
    lines = [line for line in change.diff.splitlines()[2:] if line[:1] in {"+", "-"}]
    more = [f"… {len(lines) - _SHOWN_LINES} lines more"] if len(lines) > _SHOWN_LINES else []
    shown = "".join(f"\n{'':<13}{line}" for line in (*lines[:_SHOWN_LINES], *more))
    return f"would change its {' and its '.join(change.what)}{shown}"


def format_rounded(size: int) -> str:
    """A size for people, to whole mebibytes, or tenths of gibibytes."""
    mebibytes = size / (1 << 20)
    if mebibytes >= 1024:
        return f"{mebibytes / 1024:.1f} GiB"
    return f"{mebibytes:.0f} MiB" if mebibytes >= 1 else format_size(size)


def say_emulated(args: argparse.Namespace, records: Sequence[Record]) -> None:
    """Say once which of the running VMs are emulated."""
    from ovtasks.host.accel import EMULATED
    from ovtasks.instance.status import emulated

    slow = [record.words for record in records if emulated(record) is not None]
    if slow:
        what = "all of them are" if len(slow) > 1 and len(slow) == len(records) else f"{', '.join(slow)}:"
        note(args).note(f"{what} {EMULATED}")
