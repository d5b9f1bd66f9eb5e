"""Renders the definition that an instance would get now. Starts nothing and writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ovtasks.backends.contract import backend
from ovtasks.errors import InputError
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


def preview(vm: VmSpec, instance: str | None, project: Path, *, kind: str | None = None) -> Preview:
    """The definition for the instance's backend, or for backend ``kind``.

    :raises OvError: the backend cannot be asked, or the spec asks for what it or this host lacks.
    """
    record = find_or_none(vm.name, instance)
    running = record is not None and status(record).active
    mac = written_mac(vm, instance)
    notes: list[str] = []
    if record is None:
        if kind is None or vm.backend not in {"auto", kind}:
            chosen = choose(vm).backend
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
        machine = assemble(vm, record, driver, forwards, keys.keys)
        text = driver.render(machine, record.uri)
        notes += driver.notes(machine)
    return Preview(record, machine, record.backend, text, tuple(notes))


def saved_preview(record: Record, *, kind: str | None = None) -> Preview:
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
    text = backend(record.backend).render(machine, record.uri)
    return Preview(record, machine, record.backend, text, tuple(notes))
