"""Keeps states of an instance's disk, and goes back to one of them.

A state is a file ``disk.<n>.qcow2`` beside the disk, which nobody writes to any more: the disk is an overlay above the
newest one. The disk's name never changes, so neither does the VM's definition.

Keeping a state of a running VM gives the file that it writes to a second name, puts a new overlay in the place of the
first one, and lets the VM write there. A kill in between loses nothing: the VM goes on writing to the file below the
overlay, and from its next start on to the overlay. Only what stands in ``overlays.json`` is a state to go back to.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ovtasks.backends.contract import Overlays, backend
from ovtasks.errors import OvError, RefusedError
from ovtasks.host.files import fsync_directory, part_name, write_atomic
from ovtasks.host.oserrors import explaining
from ovtasks.host.run import run
from ovtasks.host.state import try_load_state
from ovtasks.instance.folder import Folder
from ovtasks.instance.record import Record
from ovtasks.instance.snapshot_list import snapshots_of
from ovtasks.instance.status import known
from ovtasks.values.jsonvalue import plain, restore, state_text

FILE = "overlays.json"
VERSION = 1
_NAME = re.compile(r"disk\.([0-9]+)\.qcow2")


@dataclass(frozen=True)
class KeptState:
    """A state of the disk. ``label`` is for people; ``content`` says to who kept it what is on the disk."""

    file: str
    label: str
    content: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Kept:
    instance_id: str
    states: tuple[KeptState, ...] = ()
    version: int = VERSION


def kept_states(record: Record) -> tuple[KeptState, ...]:
    """The states that there are, the oldest first. A damaged list means none."""
    with contextlib.suppress(ValueError, TypeError):
        data = try_load_state(record.folder.path / FILE)
        found = restore(_Kept, data) if data is not None else None
        if found is not None and (found.instance_id, found.version) == (record.instance_id, VERSION):
            return tuple(one for one in found.states if (record.folder.path / one.file).is_file())
    return ()


def keep_state(record: Record, label: str, content: Sequence[tuple[str, str]]) -> KeptState:
    """Keep the disk as it is now. The VM may run; what its guest has not yet written to its disk is not part of it.

    :raises RefusedError: the instance's backend cannot do that.
    :raises OvError: as :func:`hold`.
    """
    with explaining(f"cannot keep the disk of {record.words}", record.folder.path), record.folder.lock():
        state = KeptState(hold(record).name, label, tuple(content))
        _write(record, (*kept_states(record), state))
    return state


def hold(record: Record) -> Path:
    """Put a new overlay above the disk; returns the file that has what the disk had. The caller holds the lock.

    :raises RefusedError: the instance's backend cannot do that.
    :raises OvError: the VM cannot change to the new overlay, or the disk is full. The disk shows what it had, and the
        VM goes on.
    """
    driver = backend(record.backend)
    if not isinstance(driver, Overlays):
        raise RefusedError(f"the backend {record.backend} keeps no states of a disk", hint="backend: libvirt or qemu")
    folder = record.folder
    number = max((number for number, _ in _files(folder)), default=0) + 1
    held = folder.path / f"disk.{number}.qcow2"
    part = _overlay(folder, held.name, _size(folder.disk))
    os.link(folder.disk, held)
    # From here on nothing is taken back: a backend that fails may have changed to the overlay all the same, and the
    # disk shows what it had in either case.
    part.replace(folder.disk)
    fsync_directory(folder.path)
    if known(record).active:
        driver.write_to(record.handle, folder.disk)
    return held


def go_back(record: Record, state: KeptState) -> None:
    """Make the disk what it was at ``state``. Later states are removed. The VM must be off.

    :raises RefusedError: the VM runs. :raises OvError: the disk is full, or a file is missing.
    """
    folder = record.folder
    with explaining(f"cannot go back to {state.label} with {record.words}", folder.path), folder.lock():
        if known(record).active:
            raise RefusedError(f"{record.words} is running", hint=f"ov vm stop {record.words}")
        states = kept_states(record)
        if state not in states:
            raise OvError(f"{record.words} has no state {state.label} any more", hint=f"ov update {record.words}")
        part = _overlay(folder, state.file, _size(folder.path / state.file))
        _write(record, states[: states.index(state) + 1])
        part.replace(folder.disk)
        fsync_directory(folder.path)
        _drop_unused(record)


def stand_on(record: Record, file: str) -> None:
    """Make the disk an empty overlay above the held ``file``. The VM is off, and the caller holds the lock.

    :raises OvError: the disk is full, or the file is missing.
    """
    folder = record.folder
    _overlay(folder, file, _size(folder.path / file)).replace(folder.disk)
    fsync_directory(folder.path)


def tidy(record: Record) -> None:
    """Remove held files that nothing needs, and merge those that one file alone needs into that one.

    The VM is off, and the caller holds the lock. A merge copies first and lets go of the file below last, so the disk
    shows the same at any moment.

    :raises OvError: the disk is full.
    """
    folder = record.folder
    _drop_unused(record)
    wanted = _wanted(record)
    for _, path in _files(folder):
        above = _above(folder, path)
        if path.name not in wanted and len(above) == 1:
            info = json.loads(run(["qemu-img", "info", "--output=json", path]).stdout)
            words = ["-b", info["backing-filename"], "-F", info["backing-filename-format"]]
            run(["qemu-img", "rebase", "-q", "-f", "qcow2", *words, above[0].name], cwd=folder.path)
            path.unlink()


def to_tidy(record: Record) -> list[Path]:
    """The held files that :func:`tidy` would remove or merge.

    :raises OvError: the list of snapshots is damaged.
    """
    wanted = _wanted(record)
    return [
        path for _, path in _files(record.folder) if path.name not in wanted and len(_above(record.folder, path)) < 2
    ]


def _above(folder: Folder, path: Path) -> list[Path]:
    """The disk and the held files that stand on ``path``."""
    disks = [folder.disk] if folder.disk.exists() else []
    return [one for one in (*disks, *(file for _, file in _files(folder))) if _below(one) == path.name]


def _wanted(record: Record) -> set[str]:
    """The held files that somebody may go back to."""
    return {one.file for one in kept_states(record)} | {one.file for one in snapshots_of(record.folder)}


def _drop_unused(record: Record) -> None:
    """Remove the held files on which neither the disk nor anything that somebody may go back to stands."""
    folder = record.folder
    used = _wanted(record)
    for name in (folder.disk.name, *sorted(used)):
        below = name
        while _NAME.fullmatch(below := _below(folder.path / below) or ""):
            used.add(below)
    for _, path in reversed(_files(folder)):
        if path.name not in used:
            path.unlink()


def _below(disk: Path) -> str | None:
    """The name of the file on which this qcow2 image stands, as its header has it; None if it stands alone."""
    with disk.open("rb") as file:
        offset, size = struct.unpack(">8xQI", file.read(20))
        file.seek(offset)
        return os.fsdecode(file.read(size)) if offset else None


def forget_states(folder: Folder) -> None:
    """Remove all states. The disk no longer stands on them, or is gone."""
    (folder.path / FILE).unlink(missing_ok=True)
    for _, path in _files(folder):
        path.unlink()


def _files(folder: Folder) -> list[tuple[int, Path]]:
    found = ((_NAME.fullmatch(path.name), path) for path in folder.path.iterdir())
    return sorted((int(match[1]), path) for match, path in found if match is not None)


def _overlay(folder: Folder, below: str, size: int) -> Path:
    """An empty overlay above the file ``below``, which need not be there yet."""
    part = folder.disk.with_name(part_name(folder.disk.name))
    run(
        ["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b", below, part.name, str(size)],
        cwd=folder.path,
    )
    part.chmod(0o600)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    return part


def _size(disk: Path) -> int:
    """The size that the guest sees, in bytes."""
    return int(json.loads(run(["qemu-img", "info", "-U", "--output=json", disk]).stdout)["virtual-size"])


def _write(record: Record, states: Sequence[KeptState]) -> None:
    text = state_text(plain(_Kept(str(record.instance_id), tuple(states))), lines=True)
    write_atomic(record.folder.path / FILE, text, mode=0o600)
