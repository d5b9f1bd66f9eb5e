"""Destroys instances, and finishes a destroy that was killed."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from ovtasks.backends.contract import backend
from ovtasks.errors import RefusedError
from ovtasks.host.oserrors import explaining
from ovtasks.host.paths import instance_directory
from ovtasks.host.patience import waiting_for
from ovtasks.host.progress import Progress
from ovtasks.instance import ports
from ovtasks.instance.existing import existing
from ovtasks.instance.folder import Folder, is_instance, removed
from ovtasks.instance.owner import read_owner
from ovtasks.instance.record import Record, domain_of
from ovtasks.instance.sshfs import end
from ovtasks.instance.status import known


def destroy(record: Record, progress: Progress, *, disk: bool = False) -> None:
    """Power off and remove the definition; with ``disk`` remove everything of the instance.

    Without ``disk`` the folder stays (disk, keys, identity), and ``create`` defines the instance again. It is safe to
    repeat after a destroy that was killed.

    :raises OvError: the backend does not tell the VM's state, or a file cannot be removed.
    """
    folder = record.folder
    with (
        explaining(f"cannot destroy {record.words}", folder.path),
        folder.lock(waiting=lambda who: progress.note(f"waiting for {who}")),
    ):
        finish_removal(folder.path)
        found = existing(folder, record.vm, record.instance)
        if found is not None:
            undefine(found.record)
            if not disk:
                replace(found.record, forwards=(), ssh_port=None).save()
        if disk:
            remove_folder(folder.path)


def undefine(record: Record) -> None:
    """Power off the instance and remove its definition and sockets. The caller holds the lock.

    The backend is asked even without ``machine.json``, because a create that was killed may have defined the VM
    before it wrote that file.

    :raises OvError: the backend cannot be asked.
    """
    driver = backend(record.backend)
    with waiting_for(f"{record.words} to end"):
        if known(record).active:
            driver.power_off(record.handle)
        end(record.folder)
        driver.undefine(record.handle)
    record.folder.machine.unlink(missing_ok=True)
    ports.release(record.domain)
    if record.folder.has_sockets(record.sockets):
        shutil.rmtree(record.sockets, ignore_errors=True)


def leftovers_of(vm: str, instance: str | None) -> Path | None:
    """The folder that is left of an instance that does not exist; None if there is none or it belongs to another."""
    path = instance_directory(domain_of(vm, instance))
    if removed(path).exists():
        return path
    if not path.is_dir() or is_instance(path):
        return None
    owner = read_owner(path)
    return path if owner is None or (owner.get("vm"), owner.get("instance")) == (vm, instance) else None


def remove_leftovers(vm: str, instance: str | None) -> Path | None:
    """Remove what is left of an instance that does not exist; returns its folder, or None if nothing was left.

    :raises OvError: a file cannot be removed.
    """
    if (path := leftovers_of(vm, instance)) is None:
        return None
    with explaining(f"cannot remove {path}", path), Folder(path).lock():
        finish_removal(path)
        if leftovers_of(vm, instance) is not None:
            remove_folder(path)
    return path


def remove_folder(path: Path) -> None:
    """Remove an instance's folder. It is renamed first, so that a kill in the middle leaves no half of an instance.

    :raises RefusedError: it is a symbolic link, whose target belongs to the user.
    """
    if path.is_symlink():
        hint = f"rm -r {os.path.realpath(path)}; rm {path}"
        raise RefusedError(f"{path} is a symbolic link, and what it leads to is not removed", hint=hint)
    finish_removal(path)
    if path.exists():
        path.replace(removed(path))
        finish_removal(path)


def finish_removal(path: Path) -> None:
    """Finish the removal of an instance's folder, if one was killed."""
    gone = removed(path)
    if gone.is_symlink():
        gone.unlink()
    elif gone.exists():
        shutil.rmtree(gone)
