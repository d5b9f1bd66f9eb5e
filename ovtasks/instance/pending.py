"""Finds out what ``create`` would change, for ``ov plan`` and for doit's "up to date". Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ovtasks.backends.contract import backend
from ovtasks.host.files import has_content
from ovtasks.host.state import StateError, read_text
from ovtasks.instance.assemble import assemble, wanted_ports
from ovtasks.instance.create import key_choice, seed_image, written_mac
from ovtasks.instance.find import find_or_none
from ovtasks.instance.ports import Want
from ovtasks.instance.record import Overrides, Record
from ovtasks.instance.redact import difference
from ovtasks.instance.saved_machine import saved_or_none
from ovtasks.instance.sshfs import folders_of
from ovtasks.instance.status import status
from ovtasks.project.locate import located
from ovtasks.project.model import HostKeyTrust, VmSpec
from ovtasks.values.ports import PortForward


@dataclass(frozen=True)
class Pending:
    """What ``create`` would change.

    ``changes`` are for people; ``later`` are those that it makes only while the VM is off; ``diff`` is the unified diff
    of the definition; ``running``: the VM runs already. ``notes`` say what a changed definition has beyond the spec,
    because the spec needs it.
    """

    changes: tuple[str, ...] = ()
    diff: str = ""
    running: bool = False
    notes: tuple[str, ...] = ()
    later: tuple[str, ...] = ()


def pending(vm: VmSpec, instance: str | None = None, overrides: Overrides | None = None) -> Pending:
    """Compare the instance with the present spec.

    :raises OvError: the backend cannot be asked, or the spec asks for what this host lacks.
    """
    record = find_or_none(vm.name, instance)
    if record is None:
        return Pending(("new instance: disk, seed, definition",))
    if overrides is not None:
        record = replace(record, overrides=overrides.over(record.overrides))
    if mac := written_mac(vm, instance):
        record = replace(record, mac=mac)
    now = status(record)
    changes: list[str] = []
    folder = record.folder
    if not folder.disk.exists():
        return Pending(("disk is missing: a fresh one",), running=now.active)
    keys = key_choice(vm, record)
    if keys.generated and not keys.keys:
        changes.append("key pair is missing")
    host_key = _host_key(record)
    if host_key is None:
        changes.append("host key is missing")
    elif (seed := seed_image(vm, record, keys.keys, host_key)) is not None and not has_content(folder.seed, seed):
        changes.append("seed differs")
    first_use = vm.ssh.host_key is HostKeyTrust.FIRST_USE
    if (record.user, record.identity, record.first_use) != (vm.ssh.user, keys.private, first_use):
        changes.append("who logs in, or which host key may be shown, differs")
    forwards = record.forwards
    later: tuple[str, ...] = ()
    if not satisfied(wanted_ports(vm, instance), forwards):
        if now.active:
            later = ("ports differ",)
        else:
            changes.append("ports differ")
    driver = backend(record.backend)
    machine = assemble(vm, record, driver, forwards, keys.keys)
    with located(vm):
        old, new = driver.defined(record.handle) or "", driver.render(machine, record.uri)
    if old != new:
        changes.append("definition differs" if old else "not defined")
    elif folders_of(saved_or_none(record.folder.machine)) != folders_of(machine):
        changes.append("mounts by sshfs differ")
    notes = driver.notes(machine) if old != new else ()
    return Pending(tuple(changes), difference(record.domain, old, new), now.active, notes, later)


def satisfied(wants: Sequence[Want], forwards: Sequence[PortForward]) -> bool:
    """Whether ``forwards`` are those of ``wants``; a leased port may have any number."""
    return len(wants) == len(forwards) and all(
        (want.guest, want.protocol, want.address) == (have.guest, have.protocol, have.address)
        and want.host in {None, have.host}
        for want, have in zip(wants, forwards, strict=True)
    )


def _host_key(record: Record) -> tuple[str, str] | None:
    try:
        texts = [read_text(path) for path in (record.folder.host_key, record.folder.host_key.with_suffix(".pub"))]
    except StateError:
        return None
    private, public = texts
    return (private, public.rstrip("\n")) if private and public else None
