"""The memory of a VM, kept beside a snapshot of its disk, and the VM going on from there."""

from __future__ import annotations

from dataclasses import replace

from ovtasks.backends.contract import Memory, backend
from ovtasks.errors import InputError, OvError
from ovtasks.host.patience import waiting_for
from ovtasks.host.progress import Progress
from ovtasks.instance.firmware_state import state_folder
from ovtasks.instance.power import start_machine
from ovtasks.instance.record import Record
from ovtasks.instance.saved_machine import load_machine, save_machine

MEMORY, MACHINE = "memory", "machine.json"


def keep_memory(record: Record, file: str) -> None:
    """Save the memory of the paused VM to the folder that belongs to the held ``file``, with the machine's definition.

    :raises OvError: a device of the VM cannot be saved, or the disk is full.
    """
    driver, machine = backend(record.backend), load_machine(record.folder.machine)
    if machine is None:
        raise InputError(f"{record.words} is not defined", hint=f"ov vm create {record.words}")
    assert isinstance(driver, Memory)
    kept = state_folder(record.folder, file)
    kept.mkdir(mode=0o700, exist_ok=True)
    save_machine(kept / MACHINE, machine)
    with waiting_for(f"the memory of {record.words} to be saved"):
        driver.save_memory(record.handle, kept / MEMORY)


def go_on_from(record: Record, file: str, progress: Progress) -> None:
    """Start the VM, whose disk is that of ``file``, from its memory, as the machine that it was then.

    The caller holds the lock. The ports and sockets are today's.

    :raises OvError: the VM is not defined, or cannot start.
    """
    kept = state_folder(record.folder, file)
    then, now = load_machine(kept / MACHINE), load_machine(record.folder.machine)
    if then is None or not (kept / MEMORY).exists():
        raise OvError(f"{kept / MEMORY} is missing", hint=f"ov vm start {record.words} boots from the disk alone")
    if now is None:
        raise InputError(f"{record.words} is not defined", hint=f"ov vm create --no-start {record.words}, then again")
    forwards = now.nic.forwards if len(now.nic.forwards) == len(then.nic.forwards) else then.nic.forwards
    machine = replace(then, nic=replace(then.nic, forwards=forwards), sockets=now.sockets, cid=now.cid)
    save_machine(record.folder.machine, machine)
    start_machine(record, machine, progress, kept / MEMORY)
