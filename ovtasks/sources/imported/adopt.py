"""``ov vm import``: an entry of ``vms.yml`` for a libvirt domain, and its disk by copy or by reference.

The domain is only looked at. A copy gets its name when it is whole, and the entry is written last. So what a killed run
leaves is taken up by the next.
"""

from __future__ import annotations

import io
import json
import os
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ovtasks.backends.libvirt.foreign import ForeignDomain, look_at
from ovtasks.errors import InputError, InputErrors, OvError, RefusedError
from ovtasks.host.accel import host_arch
from ovtasks.host.files import discard, fsync_directory, part_name, write_atomic
from ovtasks.host.oserrors import explaining
from ovtasks.host.progress import Progress
from ovtasks.host.run import run
from ovtasks.project.model import ImportedSource, Project
from ovtasks.sources.disk import convert
from ovtasks.sources.imported.definition import Adoption, DomainDisk, adoption_of

FOLDER = "imported"
"""The folder of a project with the copies of adopted disks."""
FILE = "vms.yml"
_HEADER = "# VMs of this project; ov validate checks them"


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
        _marker(project.root, wish.name).unlink(missing_ok=True)
        return False
    domain = look_at(wish.domain)
    _refuse_running(domain)
    found = adoption_of(domain.xml, wish.name)
    if found.arch != host_arch():
        hint = f"import it on a host of its own architecture ({found.arch})"
        raise InputError(f"{domain.name} is a machine of {found.arch}, this host is {host_arch()}", hint=hint)
    disk = _referred(found.disk, domain.name) if wish.reference else _copy_of(project.root, wish.name)
    text = _entry(wish, found, disk)
    _check(project, text, wish)
    if not wish.reference:
        _copy(found.disk, disk.path, _marker(project.root, wish.name), progress)
    _write(project.root, text)
    _marker(project.root, wish.name).unlink(missing_ok=True)
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
    hint = f"ov vm import {wish.domain} --name NAME"
    raise InputError(f"there is a VM '{wish.name}' already", hint=hint, where=known.where)


def _refuse_running(domain: ForeignDomain) -> None:
    if domain.active:
        hint = f"virsh shutdown {domain.name}; then again"
        raise RefusedError(f"{domain.name} runs, and writes to its disk while that is read", hint=hint)
    if domain.saved:
        hint = f"start it and shut it down, so that all of its memory is on its disk: virsh start {domain.name}"
        raise RefusedError(f"the memory of {domain.name} is saved, so its disk is unfinished", hint=hint)


def _info(disk: DomainDisk) -> dict[str, Any]:
    """What qemu-img says of the disk, taken for what libvirt takes it for: a guest may write any header into a raw one.

    It fails while a machine writes to the disk."""
    path = disk.path
    if not path.exists():
        raise OvError(f"the domain's disk {path} is missing", hint="virsh domblklist names a domain's disks")
    with explaining(f"cannot read {path}", path):
        found: dict[str, Any] = json.loads(run(["qemu-img", "info", "-f", disk.format, "--output=json", path]).stdout)
        return found


def _referred(disk: DomainDisk, domain: str) -> DomainDisk:
    """The disk itself, if it stands alone.

    :raises RefusedError: it does not."""
    info = _info(disk)
    again = f"ov vm import {domain} --copy"
    if not disk.path.is_file():
        raise RefusedError(f"{disk.path} is no file, so it cannot be referred to", hint=again)
    if info.get("backing-filename"):
        raise RefusedError(f"{disk.path} stands on {info['backing-filename']}: it cannot be referred to", hint=again)
    if disk.format not in {"qcow2", "raw"}:
        raise RefusedError(f"{disk.path} is {disk.format}: only qcow2 and raw can be referred to", hint=again)
    return disk


def _copy_of(root: Path, name: str) -> DomainDisk:
    """Where the copy is to be.

    :raises InputError: something else has the name.
    """
    path = root / FOLDER / f"{name}.qcow2"
    if os.path.lexists(path) and not _marker(root, name).exists():
        hint = "move it away, or choose another --name"
        raise InputError(f"there is a disk {path} already, which no VM of the project has", hint=hint)
    return DomainDisk(path, "qcow2")


def _marker(root: Path, name: str) -> Path:
    """The file that is there while a copy without an entry is ours."""
    return root / FOLDER / f".{name}.importing"


def _copy(disk: DomainDisk, target: Path, marker: Path, progress: Progress) -> None:
    """Copy the whole disk, without backing files, and make the copy read-only."""
    _info(disk)
    with explaining(f"cannot write {target}", target.parent):
        target.parent.mkdir(mode=0o700, exist_ok=True)
        if not (target.parent / ".gitignore").exists():
            write_atomic(target.parent / ".gitignore", "*\n")
        write_atomic(marker, "")
        part = target.with_name(part_name(target.name))
        discard(part)
        discard(target)
        convert(disk.path, disk.format, part, "qcow2", progress)
        part.chmod(0o400)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)
        fsync_directory(target.parent)


def _entry(wish: Wish, found: Adoption, disk: DomainDisk) -> str:
    """The lines of the entry."""
    from ruamel.yaml import YAML
    from ruamel.yaml.scalarstring import LiteralScalarString

    source = {
        "kind": "imported",
        "libvirt_name": wish.domain,
        "disk_path": str(disk.path),
        "disk_format": disk.format,
        "adopted_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
    entry = {"source": source, **found.entry}
    if (snippets := entry.get("libvirt", {}).get("snippets")) is not None:
        entry["libvirt"] = {**entry["libvirt"], "snippets": [LiteralScalarString(f"{one}\n") for one in snippets]}
    yaml = YAML()
    yaml.width = 1 << 16
    yaml.indent(mapping=2, sequence=4, offset=2)
    written = io.StringIO()
    yaml.dump({wish.name: entry}, written)
    return written.getvalue()


def _check(project: Project, text: str, wish: Wish) -> None:
    """Check the entry as if it stood in a file of its own.

    :raises InputError: the name is no VM's, or a value is none of ours.
    """
    from ovtasks.graph import plugins
    from ovtasks.project.load import check

    file = project.state / "import.yml"
    write_atomic(file, "vms:\n" + "".join(f"  {line}\n" if line else "\n" for line in text.splitlines()))
    try:
        errors = check((file,), kinds=plugins.schema).errors
    finally:
        file.unlink()
    if errors:
        again = f"ov vm import {shlex.quote(wish.domain)} --name NAME"
        told = [InputError(one.message, hint=one.hint or again) for one in errors]  # the file of its own is gone
        raise told[0] if len(told) == 1 else InputErrors(told)


def _write(root: Path, text: str) -> None:
    """Put the entry at the end of ``vms:``; the rest of the file stays."""
    from ovtasks.migrate.append import append_entry
    from ovtasks.migrate.files import read_texts

    texts = read_texts(root)
    try:
        append_entry(texts, root / FILE, "vms", text.splitlines(), _HEADER)
    except InputError:
        raise
    except OvError as e:
        hint = "write its entries on lines of their own"
        raise OvError("the file is laid out in a way that a new entry would damage", hint=hint, where=e.where) from None
    for path, content in texts.changed().items():
        with explaining(f"cannot write {path}", path.parent):
            real = Path(os.path.realpath(path))
            write_atomic(real, content, mode=real.stat().st_mode & 0o777 if real.exists() else 0o644)
