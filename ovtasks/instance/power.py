"""Starts and stops instances."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.backends.contract import Memory, Resets, VmState, backend
from ovtasks.errors import InputError, OvError
from ovtasks.host.oserrors import explaining
from ovtasks.host.patience import waiting_for
from ovtasks.host.progress import Progress
from ovtasks.instance.existing import existing
from ovtasks.instance.record import Record
from ovtasks.instance.status import known, slowness

if TYPE_CHECKING:
    from ovtasks.machine.machine import Machine


class Control(StrEnum):
    """What can be done to a VM that runs and goes on to run."""

    SUSPEND = "suspend"
    RESUME = "resume"
    RESET = "reset"


STOP_SECONDS = 60.0
ASK_AGAIN = 10.0
"""Seconds until the guest is asked again to power off; a booting guest misses the first request."""
_START_AGAIN = "start-again"
"""The file that says that the VM ran when its plug was pulled, until it runs again."""


def start(record: Record, progress: Progress) -> bool:
    """Start a stopped instance; returns whether it was stopped.

    :raises InputError: it is not defined.
    :raises OvError: the disk or the seed is missing, a port is taken, and so on.
    """
    from ovtasks.instance.saved_machine import load_machine
    from ovtasks.instance.sshfs import serve

    failing = explaining(f"cannot start {record.words}", record.folder.path, record.sockets)
    with failing, record.folder.lock(waiting=lambda who: progress.note(f"waiting for {who}")):
        record = reread(record)
        driver = backend(record.backend)
        driver.probe(record.uri, start=True)
        machine = load_machine(record.folder.machine)
        if machine is None:
            raise InputError(f"{record.words} is not defined", hint=f"ov vm create {record.words}")
        if known(record).active:
            serve(record, machine, anew=False)  # whoever did may have been killed
            return False
        start_machine(record, machine, progress)
        return True


def reread(record: Record) -> Record:
    """The record, read again under the lock.

    :raises InputError: the instance was destroyed meanwhile.
    """
    found = existing(record.folder, record.vm, record.instance)
    if found is None:
        raise InputError(f"{record.words} does not exist any more", hint=f"ov vm create {record.words}")
    return found.record


def start_machine(record: Record, machine: Machine, progress: Progress, memory: Path | None = None) -> Record:
    """Start ``machine``, which is defined; the caller holds the lock. Returns the record, updated.

    The guest goes on from ``memory``, a file of the backend's :class:`ovtasks.backends.contract.Memory`.

    A leased port or a CID that somebody took meanwhile is replaced.

    :raises OvError: the disk or the seed is missing, a port is taken, or the backend cannot start the VM.
    """
    from ovtasks.host.firmware import make_nvram
    from ovtasks.instance.disk import check_disk
    from ovtasks.instance.folder import sockets_folder

    _settle(record)
    check_disk(record.folder, record.words)
    if machine.seed is not None and not machine.seed.exists():
        raise OvError(f"the seed of {record.words} is missing: {machine.seed}", hint=f"ov vm create {record.words}")
    boot = machine.boot
    if boot.template is not None and boot.nvram is not None:
        make_nvram(boot.template, boot.nvram)
    with sockets_folder(record.sockets):
        return _power_on(record, machine, progress, memory)


def _power_on(record: Record, machine: Machine, progress: Progress, memory: Path | None) -> Record:
    from ovtasks.instance import ports
    from ovtasks.instance.access import write_access
    from ovtasks.instance.cid import choose_cid
    from ovtasks.instance.restart import note_start
    from ovtasks.instance.saved_machine import save_machine
    from ovtasks.instance.sshfs import serve

    driver = backend(record.backend)
    known = machine.nic.forwards
    forwards = ports.recheck(record.domain, known=known, project=record.project, say=progress.note)[: len(known)]
    cid = choose_cid(record, machine.libvirt) if machine.cid is not None else None
    if (forwards, cid) != (known, machine.cid):
        machine = replace(machine, nic=replace(machine.nic, forwards=forwards), cid=cid)
        record = replace(record, forwards=forwards, ssh_port=forwards[0].host if forwards else None, cid=cid)
        record.save()
        write_access(record)
        save_machine(record.folder.machine, machine)
    if driver.defined(record.handle) != driver.render(machine, record.uri):
        driver.define(record.handle, machine)
    log = record.folder.serial_log
    record = replace(record, log_start=log.stat().st_size if log.exists() else 0)
    record.save()
    with waiting_for(f"{record.words} to start"):
        if memory is None:
            driver.start(record.handle, machine)
        else:
            assert isinstance(driver, Memory)
            driver.start_from(record.handle, machine, memory)
    note_start(record)
    serve(record, machine, anew=True)
    (record.folder.path / _START_AGAIN).unlink(missing_ok=True)
    record.folder.standstill.unlink(missing_ok=True)
    return record


def control(record: Record, what: Control, progress: Progress) -> bool:
    """Suspend, resume or reset a VM that runs; returns whether that changed anything.

    :raises OvError: it does not run, or its backend cannot do that.
    """
    failing = explaining(f"cannot {what} {record.words}", record.folder.path)
    with failing, record.folder.lock(waiting=lambda who: progress.note(f"waiting for {who}")):
        record = reread(record)
        driver = backend(record.backend)
        now = known(record)
        if not now.active:
            raise OvError(f"{record.words} is not running", hint=f"ov vm start {record.words}")
        if what is not Control.RESET and (now.state is VmState.PAUSED) == (what is Control.SUSPEND):
            return False
        if what is Control.RESET and isinstance(driver, Resets):
            driver.reset(record.handle)
        elif what is Control.SUSPEND and isinstance(driver, Memory):
            driver.pause(record.handle)
        elif what is Control.RESUME and isinstance(driver, Memory):
            driver.resume(record.handle)
        else:
            raise OvError(f"the backend {record.backend} cannot {what} a VM", hint="libvirt and qemu can")
        return True


@contextmanager
def powered_off(record: Record, progress: Progress) -> Iterator[None]:
    """The VM is off inside the block. Behind it the VM runs again if it ran before.

    The plug is pulled. When the block fails or is killed the VM stays off, and the next such block starts it.

    :raises OvError: the backend cannot be asked, or the VM cannot start.
    """
    again = record.folder.path / _START_AGAIN
    if known(record).active:
        again.touch(mode=0o600)
        stop(record, progress, force=True)
    yield
    if again.exists():
        start(record, progress)


def stop(record: Record, progress: Progress, *, force: bool = False, timeout: float | None = None) -> str:
    """Power the guest off and wait until it is off; returns ``stopped``, ``forced`` or ``was stopped``.

    After ``timeout`` seconds the plug is pulled. The default is 60, and ten times that under plain emulation.

    :raises OvError: the backend cannot be asked.
    :raises InputError: the instance was destroyed meanwhile.
    """
    failing = explaining(f"cannot stop {record.words}", record.folder.path)
    with failing, record.folder.lock(waiting=lambda who: progress.note(f"waiting for {who}")):
        record = reread(record)
        kept = record.folder.keeper.exists()
        how = _power_off(record, force=force, timeout=timeout)
        if kept:
            from ovtasks.instance.sshfs import end

            end(record.folder)
        _settle(record)
        return how


def _settle(record: Record) -> None:
    """Put an overlay in place that a killed snapshot left."""
    if any(record.folder.path.glob("live.*.qcow2")):
        from ovtasks.instance.overlays import settle

        settle(record)


def _power_off(record: Record, *, force: bool, timeout: float | None) -> str:
    driver = backend(record.backend)
    found = known(record)
    if not found.active:
        if found.state is VmState.STOPPED:
            driver.power_off(record.handle)  # ends the processes that a killed start left
        return "was stopped"
    if force:
        with waiting_for(f"{record.words} to end"):
            driver.power_off(record.handle)
        return "forced"
    from ovtasks.values.durations import format_taken

    seconds = STOP_SECONDS * slowness(record) if timeout is None else timeout
    with waiting_for(f"{record.words} to shut down (after {format_taken(seconds)} its power is cut)"):
        if _shut_down(record, seconds):
            return "stopped"
    driver.power_off(record.handle)
    return "forced"


def _shut_down(record: Record, seconds: float) -> bool:
    """Ask the guest to power off until it is off; returns False if ``seconds`` pass before that."""
    driver = backend(record.backend)
    end = time.monotonic() + seconds
    ask = 0.0
    pause = 0.05
    while True:
        now = time.monotonic()
        if not known(record).active:
            return True
        if now >= end:
            return False
        if now >= ask:
            driver.shutdown(record.handle)
            ask = now + ASK_AGAIN
        time.sleep(min(pause, max(0.0, end - now)))
        pause = min(pause * 1.5, 1.0)
