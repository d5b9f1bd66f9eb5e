"""Keeps an instance aside while a new one takes its place, and puts it back if nothing comes of the new one.

First a note in the instance's folder says whether it ran. Then its folder gets another name, and a new folder with the
same identity (UUID, MAC address, ports, keys to log in with) takes its place. Whoever does this holds the lock of
deployments. A kill leaves the note, or the folder kept aside, and no holder of the lock: :func:`settle` then puts back
what was there before.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.errors import OvError
from ovtasks.host.oserrors import explaining
from ovtasks.host.paths import data_home, instance_directory
from ovtasks.instance.folder import ASIDE, Folder, aside, removed

if TYPE_CHECKING:
    from ovtasks.host.progress import Progress
    from ovtasks.instance.record import Record

NOTE = "replaced.json"
_KEY = "id_ed25519"
_LOGS = {"serial.log": "serial.failed.log", "deploy.log": "deploy.log"}
"""Logs of a new instance that came to nothing, and their names in the folder of the old one."""


def deploy_lock(domain: str) -> Path:
    """The file that is locked by whoever puts layers into an instance, or replaces it."""
    return data_home() / "locks" / f"{domain}.deploy"


def is_unfinished(domain: str) -> bool:
    """Whether the instance is being replaced, or a replacement was killed."""
    path = instance_directory(domain)
    return os.path.lexists(aside(path)) or os.path.lexists(path / NOTE)


def unfinished() -> list[str]:
    """The domains of all instances that are being replaced, or whose replacement was killed."""
    try:
        names = {path.name for path in (data_home() / "vm").iterdir()}
    except (FileNotFoundError, NotADirectoryError):
        return []
    hidden = {name.removeprefix(".").removesuffix(ASIDE) for name in names if name.endswith(ASIDE)}
    return sorted(name for name in hidden | names if not name.startswith(".") and is_unfinished(name))


def set_aside(
    record: Record, progress: Progress, *, keep: Collection[str] = (), timeout: float | None = None
) -> Record:
    """Stop the instance, and make room for a new one, whose record is returned. The caller holds the deploy lock.

    ``keep``: further files that the new one gets. ``timeout``: seconds until the plug is pulled, as for ``stop``.

    :raises OvError: it cannot be stopped, or a file not be written.
    """
    from ovtasks.backends.contract import backend
    from ovtasks.host.files import fsync_directory, write_atomic
    from ovtasks.instance.destroy import finish_removal
    from ovtasks.instance.power import reread, stop
    from ovtasks.instance.status import known
    from ovtasks.values.jsonvalue import state_text

    folder = record.folder
    with explaining(f"cannot keep {record.words} aside", folder.path):
        write_atomic(folder.path / NOTE, state_text({"running": known(record).active}), mode=0o600)
        stop(record, progress, timeout=timeout)
        with folder.lock(waiting=lambda who: progress.note(f"waiting for {who}")):
            record = reread(record)
            if known(record).active:
                raise OvError(f"{record.words} was started meanwhile", hint=f"ov vm stop {record.words}")
            finish_removal(folder.path)
            folder.path.rename(aside(folder.path))
            fsync_directory(folder.path.parent)
            backend(record.backend).undefine(record.handle)
            return _successor(record, keep)


def _successor(record: Record, keep: Collection[str]) -> Record:
    """A new instance that is nothing but the identity of the old one. A build may have baked the keys into the disk."""
    from datetime import UTC, datetime

    from ovtasks.host.files import write_atomic
    from ovtasks.instance.ports import FILE as PORTS
    from ovtasks.instance.record import HostKey

    folder = record.folder
    folder.make()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    made = replace(record, created=now, instance_id=None, built=None, host_key=HostKey.EXPECTED)
    made = replace(made, accepted=(), log_start=0, expires=None)
    made.save()
    for old in sorted(aside(folder.path).iterdir()):
        if (old.name in {PORTS, *keep} or old.name.removeprefix(".").startswith(_KEY)) and old.is_file():
            write_atomic(folder.path / old.name, old.read_bytes(), mode=stat.S_IMODE(old.stat().st_mode))
    return made


def drop_aside(record: Record) -> None:
    """Remove what was kept aside: the new instance counts from now on. The caller holds the deploy lock.

    :raises OvError: it cannot be removed.
    """
    from ovtasks.instance.destroy import finish_removal

    path = record.folder.path
    with explaining(f"cannot remove {aside(path)}", path), record.folder.lock():
        finish_removal(path)
        if os.path.lexists(aside(path)):
            aside(path).rename(removed(path))
            finish_removal(path)


def put_back(domain: str, progress: Progress) -> None:
    """Remove the new instance, and put the old one back as it was: defined, and running if it ran.

    The caller holds the deploy lock. It is safe to repeat after a kill.

    :raises OvError: a backend cannot be asked, or a file not be moved; or the old one does not start.
    """
    from ovtasks.host.files import fsync_directory
    from ovtasks.host.state import try_load_state
    from ovtasks.instance.destroy import finish_removal
    from ovtasks.instance.existing import existing

    folder = Folder(instance_directory(domain))
    kept = aside(folder.path)
    failing = explaining(f"cannot put {domain} back", folder.path)
    with failing, folder.lock(waiting=lambda who: progress.note(f"waiting for {who}")):
        finish_removal(folder.path)
        if os.path.lexists(kept):
            _remove_successor(folder)
            kept.rename(folder.path)
            fsync_directory(folder.path.parent)
        note = try_load_state(folder.path / NOTE) or {}
        found = existing(folder)
        try:
            if found is not None:
                _restore(found.record, running=bool(note.get("running", True)), progress=progress)
        except OvError as e:
            (folder.path / NOTE).unlink(missing_ok=True)
            assert found is not None
            hint = e.hint or f"ov vm start {found.record.words}"
            raise OvError(f"{found.record.words} is back, but does not start: {e.message}", hint=hint) from e
        (folder.path / NOTE).unlink(missing_ok=True)


def _remove_successor(folder: Folder) -> None:
    """Remove the new instance; its logs stay, with the old one."""
    from ovtasks.instance.destroy import remove_folder, undefine
    from ovtasks.instance.existing import existing
    from ovtasks.instance.record import DamagedRecordError, load

    record: Record | None = None
    if (found := existing(folder)) is not None:
        record = found.record
    else:
        with contextlib.suppress(DamagedRecordError):
            record = load(folder)
    if record is not None:
        undefine(record)
    for name, new in _LOGS.items():
        if (folder.path / name).is_file():
            (folder.path / name).replace(aside(folder.path) / new)
    remove_folder(folder.path)


def _restore(record: Record, *, running: bool, progress: Progress) -> None:
    from ovtasks.backends.contract import backend
    from ovtasks.instance.power import start_machine
    from ovtasks.instance.saved_machine import load_machine
    from ovtasks.instance.status import known

    machine = load_machine(record.folder.machine)
    if machine is None:
        return  # it was not defined
    driver = backend(record.backend)
    driver.probe(record.uri, start=True)
    if known(record).active:
        return
    if running:
        start_machine(record, machine, progress)
    elif driver.defined(record.handle) != driver.render(machine, record.uri):
        driver.define(record.handle, machine)


def settle(domain: str, progress: Progress) -> bool:
    """Put back what a killed replacement has kept aside; returns whether there was anything.

    Nothing is done while somebody still works on it.

    :raises OvError: as :func:`put_back`.
    """
    if not is_unfinished(domain):
        return False
    with _free(domain) as free:
        if not free or not is_unfinished(domain):
            return False
        settle_locked(domain, progress)
    return True


def settle_locked(domain: str, progress: Progress) -> None:
    """Like :func:`settle`, for who holds the deploy lock.

    :raises OvError: as :func:`put_back`.
    """
    if is_unfinished(domain):
        progress.note(f"{domain}: an update of it was killed; the VM is put back as it was before")
        put_back(domain, progress)


@contextlib.contextmanager
def deploying(domain: str, progress: Progress) -> Iterator[None]:
    """Hold the lock of deployments to one instance: one at a time, and nobody destroys it meanwhile.

    An update that was killed is settled first.

    :raises OvError: the lock file cannot be made, or the VM from before the update cannot be put back.
    """
    from ovtasks.host.files import flock

    lock = deploy_lock(domain)
    with contextlib.ExitStack() as held:
        with explaining(f"cannot lock the deployments to {domain}", lock):
            lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            said = f"waiting for another deployment to {domain}: "
            held.enter_context(flock(lock, waiting=lambda who: progress.note(f"{said}{who}")))
        settle_locked(domain, progress)
        yield


def destroy_alone(record: Record, progress: Progress, *, disk: bool = False) -> None:
    """Destroy an instance once no deployment works on it. A killed update is settled first.

    :raises OvError: as :func:`ovtasks.instance.destroy.destroy`, or the lock of deployments cannot be made.
    """
    from ovtasks.instance.destroy import destroy

    with deploying(record.domain, progress):
        destroy(record, progress, disk=disk)


@contextlib.contextmanager
def _free(domain: str) -> Iterator[bool]:
    from ovtasks.images.gc import try_locks

    with contextlib.ExitStack() as held:
        with explaining(f"cannot lock {domain}", data_home() / "locks"):
            free = held.enter_context(try_locks([deploy_lock(domain)]))
        yield free
