"""Finds and removes what killed creates and destroys left of instances, for ``ov gc``."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from ovtasks.backends.contract import VmState
from ovtasks.backends.qemu import helpers, process
from ovtasks.errors import OvError
from ovtasks.host.beneath import check
from ovtasks.host.files import is_locked, is_part
from ovtasks.host.oserrors import explaining
from ovtasks.host.paths import data_home
from ovtasks.host.progress import SilentProgress
from ovtasks.images.gc import Item
from ovtasks.instance.aside import deploy_lock, settle, unfinished
from ovtasks.instance.destroy import finish_removal, remove_folder
from ovtasks.instance.existing import existing
from ovtasks.instance.find import every
from ovtasks.instance.folder import Folder, is_leftover, socket_places, unkept
from ovtasks.instance.overlays import tidy, to_tidy
from ovtasks.instance.record import Record
from ovtasks.instance.status import status

REMOVED = "rest of a VM whose removal was killed"
NEVER_MADE = "rest of a VM whose creation was killed"
HALF = "half-written file of a VM"
SOCKETS = "sockets of a VM that is gone"
ASIDE = "rest of an update that was killed; the VM is put back as it was before"
DELETED = "file of a snapshot that is deleted, to be merged"
HELPER = "process beside a VM that does not run"


def survey() -> list[Item]:
    """All leftovers of instances.

    These are folders without a VM, half-written files, sockets of VMs that are gone, and helper processes whose VM
    does not run.
    """
    place = data_home() / "vm"
    lines = list(process.lines())
    found = [Item(place / name, 0, ASIDE, _replacing(name)) for name in unfinished()]
    for path in _entries(place):
        if path.name.startswith(".") and path.name.endswith(".removed"):
            name = path.name.removeprefix(".").removesuffix(".removed")
            found.append(Item(path, _allocated(path), REMOVED, _busy(place / name)))
        elif is_leftover(path):
            found.append(Item(path, _allocated(path), NEVER_MADE, _busy(path)))
        elif not path.name.startswith(".") and path.is_dir():
            halves = [one for one in _entries(path) if is_part(one.name)]
            found += [Item(one, _allocated(one), HALF, _busy(path)) for one in halves]
            found += [Item(one, 0, HELPER, _busy(path)) for one in _helpers(path, lines)]
    found += _deleted_snapshots()
    known = {Folder(path).sockets_name for path in _entries(place)}
    found += [
        Item(path, 0, SOCKETS)
        for above in socket_places()
        for path in _entries(above)
        if path.name not in known and _is_unused(path)
    ]
    return found


def remove(items: list[Item]) -> list[Item]:
    """Remove those that are still leftovers, each under its VM's lock; returns what was removed.

    :raises OvError: one cannot be removed.
    """
    gone = []
    for item in items:
        with explaining(f"cannot remove {item.path}", item.path):
            if _remove(item):
                gone.append(item)
    return gone


def _remove(item: Item) -> bool:
    path = item.path
    if item.what == ASIDE:
        return settle(path.name, SilentProgress())
    if item.what == SOCKETS:
        with unkept(path) as free:
            if free and _is_silent(path):
                shutil.rmtree(path, ignore_errors=True)
        return not path.exists()
    if item.what == REMOVED:
        path = path.with_name(path.name.removeprefix(".").removesuffix(".removed"))
    if item.what == HELPER:
        return _end_helpers(path)
    if item.what == DELETED:
        return _finish_delete(path)
    with Folder(path.parent if item.what == HALF else path).lock():
        if item.what == HALF:
            path.unlink(missing_ok=True)
        elif item.what == REMOVED:
            finish_removal(path)
        elif is_leftover(path):
            remove_folder(path)
        else:
            return False
    return True


def _deleted_snapshots() -> Iterator[Item]:
    """What deletes of snapshots left that were killed, or whose VM had to be off for it."""
    for record in every():
        with contextlib.suppress(OvError):  # who works with this VM is told of its damaged list
            for path in to_tidy(record):
                held = (f"{record.words}, which cannot be asked whether it runs",) if _unknown(record) else ()
                folder = record.folder.path
                yield Item(path, 0, DELETED, (*held, *_busy(folder), *_replacing(record.domain)))


def _finish_delete(path: Path) -> bool:
    folder = Folder(path.parent)
    with folder.lock():
        found = existing(folder)
        if found is None or found.problem is not None or _unknown(found.record):
            return False
        if folder.disk.exists() and path in to_tidy(found.record):
            tidy(found.record)
    return not path.exists()


def _unknown(record: Record) -> bool:
    return status(record).state is VmState.UNKNOWN


def _helpers(folder: Path, lines: Iterable[list[str]] | None = None) -> list[Path]:
    """The PID files of helper processes whose VM does not run: it was never started, or they did not see its end."""
    found = helpers.living(folder, _places(folder), lines)
    if found and process.find_anywhere(folder / process.PID_FILE) is not None:
        return []
    keeper = Folder(folder).keeper  # it serves a VM of libvirt's, too
    return [one for one in found if one != keeper] if keeper in found and _may_run(folder) else found


def _may_run(folder: Path) -> bool:
    with contextlib.suppress(OvError):
        found = existing(Folder(folder))
        now = status(found.record) if found is not None else None
        return now is not None and (now.active or now.state is VmState.UNKNOWN)
    return True


def _end_helpers(pid_file: Path) -> bool:
    place = data_home() / "vm"
    folder = next((path for path in _entries(place) if pid_file.parent in (path, *_places(path))), None)
    if folder is None:
        return False
    with Folder(folder).lock():
        if pid_file not in _helpers(folder):
            return False
        helpers.end_in(folder, _places(folder), grace=0.0)
    return True


def _places(folder: Path) -> list[Path]:
    """The folders in which this VM's sockets may be."""
    name = Folder(folder).sockets_name
    return [folder / "run", *(above / name for above in socket_places())]


def _busy(path: Path) -> tuple[str, ...]:
    locked = is_locked(data_home() / "locks" / path.name)
    return (f"a command that works on {path.name}",) if locked else ()


def _replacing(domain: str) -> tuple[str, ...]:
    return (f"an update of {domain}",) if is_locked(deploy_lock(domain)) else ()


def _is_unused(path: Path) -> bool:
    with unkept(path) as free:
        return free and _is_silent(path)


def _is_silent(path: Path) -> bool:
    """Whether it is our folder for sockets, and nobody listens. A VM of another ``$XDG_DATA_HOME`` may listen in it."""
    with contextlib.suppress(OSError):
        listening = Path("/proc/net/unix").read_bytes()
        ours = path.is_dir() and not path.is_symlink() and path.lstat().st_uid == os.geteuid()
        return ours and len(path.name) == 16 and os.fsencode(f"{path}/") not in listening
    return False


def _entries(folder: Path) -> list[Path]:
    """The entries of a folder, sorted; empty if it cannot be read.

    :raises UnsafeError: a link leads there, and only our own files may be removed.
    """
    check(folder)
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _allocated(path: Path) -> int:
    """The bytes that its removal frees. Files that are also linked elsewhere count as 0."""
    return sum(_blocks(one) for one in (path, *path.rglob("*")))


def _blocks(path: Path) -> int:
    with contextlib.suppress(OSError):
        status = path.lstat()
        return status.st_blocks * 512 if status.st_nlink == 1 or path.is_dir() else 0
    return 0


def files(items: list[Item]) -> Iterator[Path]:
    """All files that are about to be removed, so that their links no longer count as uses of an image."""
    for item in items:
        if item.removable:
            yield from (item.path, *item.path.rglob("*"))
