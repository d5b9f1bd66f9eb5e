"""Keeps states of an instance's disk, and goes back to one of them.

A state is a file ``disk.<n>.qcow2`` beside the disk, which nobody writes to any more: the disk is an overlay above the
newest one. The disk's name never changes, so neither does the VM's definition.

A running QEMU opens a file again by the name by which it knows it, when it stops writing to it. So it learns of a new
overlay as ``live.<n>.qcow2``, and only when it writes there does the overlay become the disk, too. A kill in between
loses nothing: an overlay that is not yet the disk shows what the VM's disk has, whether the VM has changed to it or
not, and :func:`settle` puts it in place. Only what stands in ``overlays.json`` is a state to go back to.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ovtasks.backends.contract import Overlays, backend
from ovtasks.errors import OvError, RefusedError
from ovtasks.host.files import fsync_directory, part_name, write_atomic
from ovtasks.host.oserrors import explaining
from ovtasks.host.run import run
from ovtasks.host.state import try_load_state
from ovtasks.instance.firmware_state import drop_states
from ovtasks.instance.folder import Folder
from ovtasks.instance.live_chain import LIVE_NAME, backing_name, finish_jobs, live_chain, merge_live, writes_to
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
    active = settle(record)
    number = max((number for number, _ in (*_files(folder), *_lives(folder))), default=0) + 1
    held = folder.path / f"disk.{number}.qcow2"
    part = _overlay(folder, held.name, disk_size(folder.disk))
    os.link(folder.disk, held)
    if not active:
        part.replace(folder.disk)
        fsync_directory(folder.path)
        return held
    held.chmod(0o400)  # if we are killed, nobody but `ov` starts the VM with this file as its disk
    part.replace(folder.path / f"live.{number}.qcow2")
    fsync_directory(folder.path)
    settle(record)
    return held


def settle(record: Record) -> bool:
    """Put an overlay in place that is not yet the disk. The caller holds the lock. Returns whether the VM is active.

    :raises OvError: the VM cannot change to it. The VM goes on, and the overlay is taken back if it has not changed.
    """
    folder = record.folder
    active = known(record).active
    for _, live in _lives(folder):
        if not any(live.samefile(one) for one in (folder.disk, *(path for _, path in _files(folder))) if one.exists()):
            if active:
                _change(record, live)
            _put(folder, live)
        if not active:
            live.unlink()
    return active


def _change(record: Record, live: Path) -> None:
    """Let the running VM write to ``live``, unless it does so already."""
    driver = backend(record.backend)
    assert isinstance(driver, Overlays)
    if writes_to(record, live):
        return
    try:
        driver.write_to(record.handle, live)
    except OvError:
        if not writes_to(record, live):  # else only the answer was lost
            record.folder.disk.chmod(0o600)
            live.unlink()
        raise


def _put(folder: Folder, live: Path) -> None:
    """Make ``live`` the disk; it keeps its name."""
    part = folder.disk.with_name(part_name(folder.disk.name))
    part.unlink(missing_ok=True)
    os.link(live, part)
    held = folder.path / (backing_name(live) or "")
    part.replace(folder.disk)
    fsync_directory(folder.path)
    held.chmod(0o600)


def go_back(record: Record, state: KeptState) -> None:
    """Make the disk what it was at ``state``. Later states are removed. The VM must be off.

    :raises RefusedError: the VM runs. :raises OvError: the disk is full, or a file is missing.
    """
    folder = record.folder
    with explaining(f"cannot go back to {state.label} with {record.words}", folder.path), folder.lock():
        if known(record).active:
            raise RefusedError(f"{record.words} is running", hint=f"ov vm stop {record.words}")
        settle(record)
        states = kept_states(record)
        if state not in states:
            raise OvError(f"{record.words} has no state {state.label} any more", hint=f"ov update {record.words}")
        part = _overlay(folder, state.file, disk_size(folder.path / state.file))
        _write(record, states[: states.index(state) + 1])
        part.replace(folder.disk)
        fsync_directory(folder.path)
        _drop_unused(record)


def stand_on(record: Record, file: str) -> None:
    """Make the disk an empty overlay above the held ``file``. The VM is off, and the caller holds the lock.

    :raises OvError: the disk is full, or the file is missing.
    """
    folder = record.folder
    settle(record)
    _overlay(folder, file, disk_size(folder.path / file)).replace(folder.disk)
    fsync_directory(folder.path)


def tidy(record: Record) -> bool:
    """Remove held files that nothing needs, and merge those that one file alone needs into that one.

    The caller holds the lock. A merge copies first and lets go of the file below last, so the disk shows the same at
    any moment. While the VM runs QEMU merges what it has open. Returns whether all is merged: some of it has to wait
    until the VM is off.

    :raises OvError: the disk is full.
    """
    folder = record.folder
    active = settle(record)
    if active:
        finish_jobs(record)
    drop_states(folder, {one.file for one in snapshots_of(folder)})
    _drop_unused(record)
    waiting = 0
    for path in to_tidy(record):
        (above,) = _above(folder, path)
        if not active:
            _merge(folder, path, above)
        elif (chain := live_chain(record)) is None or not chain.can_merge(path, above):
            waiting += 1
        elif path in chain.nodes:
            merge_live(record, chain, path, above)
            _remove(folder, path)
        else:
            _merge(folder, path, above)
    return not waiting


def _merge(folder: Folder, path: Path, above: Path) -> None:
    """Merge ``path`` into ``above``, which QEMU does not have open."""
    info = json.loads(run(["qemu-img", "info", "-U", "--output=json", path]).stdout)
    words = ["-b", info["backing-filename"], "-F", info["backing-filename-format"]]
    run(["qemu-img", "rebase", "-q", "-f", "qcow2", *words, above.name], cwd=folder.path)
    _remove(folder, path)


def _remove(folder: Folder, path: Path) -> None:
    """Remove a held file, and the name by which a running QEMU knows it."""
    for _, live in _lives(folder):
        if live.samefile(path):
            live.unlink()
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
    return [one for one in (*disks, *(file for _, file in _files(folder))) if backing_name(one) == path.name]


def _wanted(record: Record) -> set[str]:
    """The held files that somebody may go back to."""
    return {one.file for one in kept_states(record)} | {one.file for one in snapshots_of(record.folder)}


def _drop_unused(record: Record) -> None:
    """Remove the held files on which neither the disk nor anything that somebody may go back to stands."""
    folder = record.folder
    used = _wanted(record)
    for name in (folder.disk.name, *sorted(used)):
        below = name
        while _NAME.fullmatch(below := backing_name(folder.path / below) or ""):
            used.add(below)
    for _, path in reversed(_files(folder)):
        if path.name not in used:
            _remove(folder, path)


def forget_states(folder: Folder) -> None:
    """Remove all states. The disk no longer stands on them, or is gone."""
    (folder.path / FILE).unlink(missing_ok=True)
    for _, path in (*_lives(folder), *_files(folder)):
        path.unlink()


def _files(folder: Folder, name: re.Pattern[str] = _NAME) -> list[tuple[int, Path]]:
    """The held files by their numbers."""
    found = ((name.fullmatch(path.name), path) for path in folder.path.iterdir())
    return sorted((int(match[1]), path) for match, path in found if match is not None)


def _lives(folder: Folder) -> list[tuple[int, Path]]:
    """The names by which a running QEMU knows overlays, by their numbers."""
    return _files(folder, LIVE_NAME)


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


def disk_size(disk: Path) -> int:
    """The size that the guest sees, in bytes."""
    return int(json.loads(run(["qemu-img", "info", "-U", "--output=json", disk]).stdout)["virtual-size"])


def _write(record: Record, states: Sequence[KeptState]) -> None:
    text = state_text(plain(_Kept(str(record.instance_id), tuple(states))), lines=True)
    write_atomic(record.folder.path / FILE, text, mode=0o600)
