"""Rebuilds the lost or damaged record of an instance, from the files beside it and from what its backend knows.

Nothing is written here. A caller that holds the instance's lock may save the record.
"""

from __future__ import annotations

import contextlib
import re
import uuid
from dataclasses import replace
from pathlib import Path

from ovtasks import registry
from ovtasks.backends.contract import Recalled, Recalls, backend
from ovtasks.errors import OvError
from ovtasks.host.state import StateError, open_log, read_text
from ovtasks.instance.folder import Folder
from ovtasks.instance.owner import read_owner
from ovtasks.instance.ports import registered
from ovtasks.instance.record import HostKey, Overrides, Record, new_record
from ovtasks.instance.saved_machine import load_machine
from ovtasks.machine.machine import Machine
from ovtasks.values.jsonvalue import restore
from ovtasks.values.ports import PortForward

FIRST = ("qemu", "libvirt")
"""The backends that are asked first whether they know the instance, in this order. Plugins follow."""
SSH = 22
NO_PROJECT = "project-unknown"
_INSTANCE_ID = re.compile(rb"instance-id: *[\"']?(ov-[0-9a-f-]{36})")
_SEED_BYTES = 4 << 20


def rebuild(folder: Folder, vm: str | None, instance: str | None, project: Path | None) -> Record:
    """The record of the instance in ``folder``. The other arguments are used where no file tells.

    :raises OvError: a backend that may have the VM cannot be asked.
    """
    machine = _machine(folder)
    said = _said(folder, machine, vm, instance)
    kind, recalled = _recall(folder, said.get("backend"), said.get("uri"))
    place = Path(said.get("project") or project or folder.path / NO_PROJECT)
    record = new_record(said["vm"], said.get("instance"), place, kind, said.get("uri"), said.get("mac"))
    record = replace(
        record,
        uuid=said.get("uuid", record.uuid),
        created=said.get("created", record.created),
        sockets=Path(said["sockets"]) if "sockets" in said else record.sockets,
        instance_id=said.get("instance_id") or _instance_id(folder),
        built=said.get("built"),
        expires=said.get("expires"),
        overrides=_overrides(folder),
    )
    if machine is not None:
        record = replace(record, uuid=machine.uuid, mac=machine.nic.mac, sockets=machine.sockets, cid=machine.cid)
    if recalled is not None:
        record = replace(
            record,
            uuid=recalled.uuid,
            mac=recalled.mac or record.mac,
            sockets=recalled.sockets or record.sockets,
            uri=recalled.uri,
        )
    forwards = machine.nic.forwards if machine is not None else _forwards(record.domain)
    forwards = forwards or (recalled.forwards if recalled is not None else ())
    port = forwards[0].host if forwards and forwards[0].guest == SSH else None
    return _host_key(replace(record, forwards=forwards, ssh_port=port))


def _said(folder: Folder, machine: Machine | None, vm: str | None, instance: str | None) -> dict[str, str]:
    """The facts in ``owner.json``, else those of the saved machine, else the caller's. ``vm`` is always among them."""
    with contextlib.suppress(OvError):
        if owner := read_owner(folder.path):
            return {key: value for key, value in owner.items() if isinstance(value, str)}
    found = {"vm": vm, "instance": instance} if vm else {}
    if machine is not None:
        found = {"vm": machine.vm, "instance": machine.instance, "project": str(machine.project)}
    return {"vm": folder.path.name.removeprefix("ov-"), **{key: value for key, value in found.items() if value}}


def _overrides(folder: Folder) -> Overrides:
    with contextlib.suppress(OvError, ValueError, TypeError):
        return restore(Overrides, (read_owner(folder.path) or {}).get("overrides") or {})
    return Overrides()


def _machine(folder: Folder) -> Machine | None:
    with contextlib.suppress(OvError):
        return load_machine(folder.machine)
    return None


def _recall(folder: Folder, kind: str | None, uri: str | None) -> tuple[str, Recalled | None]:
    """The backend of the instance, and what that backend knows about it.

    If no backend knows it, it is not defined. Then the result is ``kind``, or else the first backend, and None.

    :raises OvError: a backend that may have it cannot be asked.
    """
    for name in dict.fromkeys([*([kind] if kind else []), *FIRST, *registry.names(registry.BACKENDS)]):
        driver = backend(name)
        if isinstance(driver, Recalls) and (found := driver.recall(folder.path.name, folder.path, uri)):
            return name, found
    return kind or FIRST[0], None


def _instance_id(folder: Folder) -> str:
    """The instance ID in the seed, else a new one. For cloud-init, another ID means another machine."""
    with contextlib.suppress(OSError, StateError), open_log(folder.seed) as file:
        if found := _INSTANCE_ID.search(file.read(_SEED_BYTES)):
            return found[1].decode("ascii")
    return f"ov-{uuid.uuid4()}"


def _forwards(domain: str) -> tuple[PortForward, ...]:
    with contextlib.suppress(OvError):
        return registered(domain)
    return ()


def _host_key(record: Record) -> Record:
    """The record with accepted host keys: keys in ``known_hosts`` that we did not prepare were accepted by the user."""
    with contextlib.suppress(StateError):
        known = [line.split()[1:3] for line in (read_text(record.folder.known_hosts) or "").splitlines()]
        ours = (read_text(record.folder.host_key.with_suffix(".pub")) or "").split()[:2]
        keys = tuple(" ".join(words) for words in known if len(words) == 2 and words != ours)
        if keys and ours:
            return replace(record, host_key=HostKey.ACCEPTED, accepted=keys)
    return record
