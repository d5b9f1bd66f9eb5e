"""Renders the definition that an instance would get now. Starts nothing and writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ovtasks.backends.contract import Backend, RendersAnywhere, backend
from ovtasks.errors import InputError, OvError
from ovtasks.host import settings
from ovtasks.instance import ports
from ovtasks.instance.assemble import assemble, wanted_ports
from ovtasks.instance.choice import choose
from ovtasks.instance.cid import choose_cid
from ovtasks.instance.create import key_choice, written_mac
from ovtasks.instance.find import find_or_none
from ovtasks.instance.pending import satisfied
from ovtasks.instance.record import Record, new_record
from ovtasks.instance.saved_machine import load_machine
from ovtasks.instance.status import status
from ovtasks.machine.machine import Machine
from ovtasks.project.locate import located
from ovtasks.project.model import VmSpec


@dataclass(frozen=True)
class Preview:
    """The definition that a VM would get.

    ``record`` is made up if the VM is not created yet. ``text`` is the definition for ``backend``. ``notes`` say where
    the text will still change, and what was added because something else needs it.
    """

    record: Record
    machine: Machine
    backend: str
    text: str
    notes: tuple[str, ...] = ()


def preview(
    vm: VmSpec, instance: str | None, project: Path, *, kind: str | None = None, for_host: bool = True
) -> Preview:
    """The definition for the instance's backend, or for backend ``kind``.

    Without ``for_host`` a note says what this host lacks, and the definition is one for a host that has it.

    :raises OvError: the spec asks for what the backend lacks; with ``for_host``: or this host, or the backend cannot be
        asked.
    """
    record = find_or_none(vm.name, instance)
    running = record is not None and status(record).active
    mac = written_mac(vm, instance)
    notes: list[str] = []
    if record is None:
        if kind is None or vm.backend not in {"auto", kind}:
            chosen = _chosen(vm, kind, notes, for_host=for_host)
            record = new_record(vm.name, instance, project, chosen.kind, chosen.place(), mac)
        else:
            record = new_record(vm.name, instance, project, kind, backend(kind).place(), mac)
        notes.append(f"{record.words} is not created yet")
        forwards = ports.preview(record.domain, wanted_ports(vm, instance), project=project)
    else:
        if mac:
            record = replace(record, mac=mac)
        forwards = record.forwards
        if not running and not satisfied(wants := wanted_ports(vm, instance), forwards):
            forwards = ports.preview(record.domain, wants, project=record.project)
    if not running:
        record = replace(record, cid=choose_cid(record, vm.libvirt))
    if kind is not None and kind != record.backend:
        notes.append(f"{record.words} runs by {record.backend}; this is what {kind} would run")
        record = replace(record, backend=kind, uri=backend(kind).place())
    keys = key_choice(vm, record)
    if keys.generated and not keys.keys:
        notes.append("its SSH key is made by create, and not in here")
    driver = backend(record.backend)
    with located(vm):
        try:
            machine = assemble(vm, record, driver, forwards, keys.keys)
            text = driver.render(machine, record.uri)
            notes += driver.notes(machine)
        except OvError as e:
            if for_host or not isinstance(driver, RendersAnywhere):
                raise
            machine = assemble(vm, record, driver, forwards, keys.keys, driver.anywhere())
            text = driver.render_anywhere(machine)
            notes.append(_lacks(e))
    return Preview(record, machine, record.backend, text, tuple(notes))


def _chosen(vm: VmSpec, kind: str | None, notes: list[str], *, for_host: bool) -> Backend:
    """The backend that ``create`` would choose. Without ``for_host``: or the declared one, though it does not run."""
    try:
        return choose(vm).backend
    except OvError as e:
        if for_host:
            raise
        notes.append(_lacks(e))
        names = (vm.backend, settings.get("vm.backend").value, kind or "qemu")
        return backend(next(name for name in names if name != "auto"))


def _lacks(error: OvError) -> str:
    """What this host lacks, as a note."""
    hint = f" ({error.hint})" if error.hint else ""
    return f"not for this host, where ov vm create refuses: {error.message}{hint}"


def saved_preview(record: Record, *, kind: str | None = None, for_host: bool = True) -> Preview:
    """Like :func:`preview` for an instance whose spec is gone: the last definition.

    :raises InputError: it was never defined.
    """
    machine = load_machine(record.folder.machine)
    if machine is None:
        raise InputError(f"{record.words} is neither declared nor defined", hint=f"ov vm destroy --disk {record.words}")
    notes = [f"{record.words} is no longer declared; this is what it was last"]
    if kind is not None and kind != record.backend:
        notes.append(f"it runs by {record.backend}; this is what {kind} would run")
        record = replace(record, backend=kind, uri=backend(kind).place())
    driver = backend(record.backend)
    try:
        text = driver.render(machine, record.uri)
    except OvError as e:
        if for_host or not isinstance(driver, RendersAnywhere):
            raise
        text = driver.render_anywhere(machine)
        notes.append(_lacks(e))
    return Preview(record, machine, record.backend, text, tuple(notes))
