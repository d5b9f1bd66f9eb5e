"""What ``ov vm status`` says of the machine: processors, memory, disk, mounts, and what a restart would change."""

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
    from ovtasks.machine.machine import Machine

_SHOWN_LINES = 8


def machine_facts(record: Record) -> dict[str, object]:
    """The machine as it is defined, as JSON data. ``ram`` and the sizes are in bytes; None: not defined, no disk.

    ``disk.used`` is what the disk takes on this host, without what it shares with the build; ``disk.folder`` the same
    for the whole folder.
    """
    from ovtasks.host.folders import allocated
    from ovtasks.instance.saved_machine import saved_or_none

    machine = saved_or_none(record.folder.machine)
    found: dict[str, object] = {"cpus": None, "ram": None, "accelerator": None, "arch": None, "firmware": None}
    if machine is not None:
        found |= {"cpus": machine.cpus, "ram": machine.ram, "accelerator": machine.accel, "arch": machine.arch}
        found["firmware"] = machine.boot.firmware.value
    found["mounts"] = _mounts(record, machine)
    disk = record.folder.disk
    found["disk"] = None
    if disk.exists():
        used = disk.stat().st_blocks * 512
        found["disk"] = {"size": _size(record), "used": used, "folder": allocated(record.folder.path, set())}
    return found


def _mounts(record: Record, machine: Machine | None) -> list[dict[str, object]]:
    """The folders of the host. ``mounted`` is None where the guest alone knows; ``why`` it is not mounted."""
    if machine is None or not machine.shares:
        return []
    from ovtasks.instance.sshfs import state_of
    from ovtasks.values.mount import SSHFS

    found: list[dict[str, object]] = []
    for one in machine.shares:
        of = {"source": str(one.source), "target": one.target, "read_only": one.read_only, "transport": one.transport}
        state = state_of(record, one.tag) if one.transport == SSHFS else None
        found.append({**of, "mounted": state and state.mounted, "why": state and state.why})
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
    mounts = machine["mounts"] or None
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
        "mounts": "; ".join(_mount(one) for one in mounts) if isinstance(mounts, list) else None,
        "restart": _restart(restart),
    }


def _mount(one: Mapping[str, object]) -> str:
    text = f"{one['source']} at {one['target']} by {one['transport']}{', read-only' if one['read_only'] else ''}"
    return f"{text}, not mounted: {one['why']}" if one["mounted"] is False else text


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
