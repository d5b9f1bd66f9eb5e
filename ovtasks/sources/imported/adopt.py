"""``ov vm import``: an entry of ``vms.yml`` for a libvirt domain, and its disk by copy or by reference.

The domain is only looked at. A copy gets its name when it is whole, and the entry is written last. So what a killed run
leaves is taken up by the next.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ovtasks.backends.libvirt.foreign import ForeignDomain, look_at
from ovtasks.errors import InputError, OvError, RefusedError
from ovtasks.host.accel import host_arch
from ovtasks.host.oserrors import explained, explaining
from ovtasks.host.progress import Progress
from ovtasks.host.run import run
from ovtasks.host.users import user_name
from ovtasks.project.model import ImportedSource, Project
from ovtasks.sources.imported.copies import Copies
from ovtasks.sources.imported.definition import Adoption, DomainDisk, adoption_of
from ovtasks.sources.new_entry import check_entry, entry_text, write_entry


@dataclass(frozen=True)
class Wish:
    """What is to be imported: the domain ``domain`` as the VM ``name``; ``reference``: its disk stays where it is."""

    domain: str
    name: str
    reference: bool


def import_domain(wish: Wish, project: Project, progress: Progress) -> bool:
    """Import a domain; returns False if that was done before.

    The caller holds the project's lock.

    :raises InputError: there is no such domain, the name is taken or no VM's name, or the domain has no disk to adopt.
    :raises RefusedError: the domain runs, or its disk cannot be referred to.
    :raises OvError: the disk cannot be read or copied, or ``vms.yml`` cannot be written.
    """
    if _is_done(wish, project):
        Copies(project.root, wish.name).done()
        return False
    domain = look_at(wish.domain)
    _refuse_running(domain)
    found = adoption_of(domain.xml, wish.name)
    if found.arch != host_arch():
        hint = f"import it on a host of its own architecture ({found.arch})"
        raise InputError(f"{domain.name} is a machine of {found.arch}, this host is {host_arch()}", hint=hint)
    copies = Copies(project.root, wish.name)
    if domain.snapshots:
        found.notes.append(f"not taken: its snapshots ({domain.snapshots}); the VM has the disk as it is now")
    nvram = _variables(found)
    disk = _referred(found.disk, domain.name) if wish.reference else DomainDisk(copies.free(copies.disk), "qcow2")
    text = _entry(wish, found, disk, None if nvram is None else copies.free(copies.nvram))
    check_entry(project, text, f"ov vm import {shlex.quote(wish.domain)} --name NAME")
    if not wish.reference:
        _check_chain(found.disk)
    if nvram is not None or not wish.reference:
        copies.prepare()
    if nvram is not None:
        copies.write_nvram(nvram)
    if not wish.reference:
        copies.write_disk(found.disk, progress)
    write_entry(project.root, text)
    copies.done()
    for one in found.notes:
        progress.note(f"{wish.name}: {one}")
    return True


def _is_done(wish: Wish, project: Project) -> bool:
    """:raises InputError: another VM has the name."""
    known = project.vms.get(wish.name)
    if known is None:
        return False
    source = known.source
    if isinstance(source, ImportedSource) and source.libvirt_name == wish.domain:
        return True
    hint = f"ov vm import {shlex.quote(wish.domain)} --name NAME"
    raise InputError(f"there is a VM '{wish.name}' already", hint=hint, where=known.where)


def _refuse_running(domain: ForeignDomain) -> None:
    if domain.active:
        hint = f"virsh shutdown {shlex.quote(domain.name)}; then again"
        raise RefusedError(f"{domain.name} runs, and writes to its disk while that is read", hint=hint)
    if domain.saved:
        again = f"virsh start {shlex.quote(domain.name)}"
        hint = f"start it and shut it down, so that all of its memory is written to disk: {again}"
        raise RefusedError(f"the memory of {domain.name} is saved, so its disk is unfinished", hint=hint)


def _info(disk: DomainDisk) -> dict[str, Any]:
    """What qemu-img says of the disk, taken for what libvirt takes it for: a guest may write any header into a raw one.

    It fails while a machine writes to the disk."""
    _readable(disk.path, "the domain's disk")
    with explaining(f"cannot read {disk.path}", disk.path):
        said = run(["qemu-img", "info", "-f", disk.format, "--output=json", disk.path]).stdout
        found: dict[str, Any] = json.loads(said)
        return found


def _check_chain(disk: DomainDisk) -> None:
    """All files that the disk stands on can be read."""
    info, seen = _info(disk), {str(disk.path)}
    while (below := info.get("full-backing-filename", "")).startswith("/") and below not in seen:
        seen.add(below)
        _readable(Path(below), f"what {disk.path} stands on")
        info = _info(DomainDisk(Path(below), info.get("backing-filename-format", "raw")))


def _readable(path: Path, what: str) -> None:
    """:raises OvError: the file is missing, or not ours to read."""
    try:
        path.open("rb").close()
    except FileNotFoundError:
        hint = "virsh domblklist names a domain's disks, qemu-img info --backing-chain what they stand on"
        raise OvError(f"{what}, {path}, is missing", hint=hint) from None
    except PermissionError:
        hint = f"sudo setfacl -m u:{user_name()}:r {shlex.quote(str(path))} (and :x on the folders above it)"
        raise OvError(f"you may not read {what}, {path}", hint=hint) from None
    except OSError as e:
        raise explained(e, f"cannot read {what}", path) from e


def _variables(found: Adoption) -> bytes | None:
    """The firmware's variables: some guests are started by what stands there alone. None: the domain has none yet."""
    if found.nvram is None:
        return None
    try:
        return found.nvram.read_bytes()
    except FileNotFoundError:
        return None
    except PermissionError:
        _readable(found.nvram, "its firmware's variables")
        raise


def _referred(disk: DomainDisk, domain: str) -> DomainDisk:
    """The disk itself, if it stands alone.

    :raises RefusedError: it does not."""
    info = _info(disk)
    again = f"ov vm import {shlex.quote(domain)} --copy"
    if not disk.path.is_file():
        raise RefusedError(f"{disk.path} is not a file, so it cannot be referred to", hint=again)
    if info.get("backing-filename"):
        raise RefusedError(f"{disk.path} stands on {info['backing-filename']}: it cannot be referred to", hint=again)
    if disk.format not in {"qcow2", "raw"}:
        raise RefusedError(f"{disk.path} is {disk.format}: only qcow2 and raw can be referred to", hint=again)
    return disk


def _entry(wish: Wish, found: Adoption, disk: DomainDisk, nvram: Path | None) -> str:
    """The lines of the entry."""
    from ruamel.yaml.scalarstring import LiteralScalarString

    source = {
        "kind": "imported",
        "libvirt_name": wish.domain,
        "disk_path": str(disk.path),
        "disk_format": disk.format,
        **({} if nvram is None else {"nvram_path": str(nvram)}),
        "adopted_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
    entry = {"source": source, **found.entry}
    if (snippets := entry.get("libvirt", {}).get("snippets")) is not None:
        entry["libvirt"] = {**entry["libvirt"], "snippets": [LiteralScalarString(f"{one}\n") for one in snippets]}
    return entry_text(wish.name, entry)
