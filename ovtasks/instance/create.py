"""``create``: turns a built disk into a defined, running instance. It is always safe to repeat."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from ovtasks.backends.contract import Backend, VmState, backend
from ovtasks.errors import OvError, RefusedError
from ovtasks.host import settings
from ovtasks.host.files import write_changed
from ovtasks.host.oserrors import explaining
from ovtasks.host.paths import instance_directory
from ovtasks.host.progress import Progress
from ovtasks.instance import ports
from ovtasks.instance.access import write_access
from ovtasks.instance.assemble import (
    architecture,
    assemble,
    check_firmware,
    further_ports,
    guest_hostname,
    machine_type,
    tmpfiles,
    wanted_ports,
)
from ovtasks.instance.baked import check_baked, choose_keys
from ovtasks.instance.boot_doubt import doubt
from ovtasks.instance.built import Built
from ovtasks.instance.choice import choose
from ovtasks.instance.cid import choose_cid
from ovtasks.instance.destroy import finish_removal, remove_folder
from ovtasks.instance.disk import link_artifact, lost_base, make_disk, stands_on
from ovtasks.instance.existing import existing
from ovtasks.instance.folder import Folder, is_leftover
from ovtasks.instance.host_key import ensure_host_key, new_host_key
from ovtasks.instance.keys import KeyChoice, ensure_key_pair
from ovtasks.instance.mounts import mounted, telling, with_transports
from ovtasks.instance.owner import claim
from ovtasks.instance.power import start_machine
from ovtasks.instance.record import DamagedRecordError, HostKey, Overrides, Record, domain_of, load, new_record
from ovtasks.instance.recover import NO_PROJECT
from ovtasks.instance.saved_machine import save_machine, saved_or_none
from ovtasks.instance.sshfs import folders_of, serve
from ovtasks.instance.status import known
from ovtasks.machine.machine import Machine
from ovtasks.project.locate import located
from ovtasks.project.model import HostKeyTrust, Project, VmSpec
from ovtasks.seed.cloud_init import SeedInput, render
from ovtasks.seed.network_config import static_addresses
from ovtasks.seed.wanted import wants_seed


@dataclass(frozen=True)
class CreateOptions:
    """Options of ``create``. ``reset`` forgets the overrides of earlier runs; ``uri`` is libvirt's connection."""

    overrides: Overrides = field(default_factory=Overrides)
    reset: bool = False
    start: bool = True
    uri: str | None = None


@dataclass(frozen=True)
class Created:
    """The result of ``create``. ``changes`` says in words what was done, in order; empty if everything was right."""

    record: Record
    changes: tuple[str, ...]


def create(
    vm: VmSpec, instance: str | None, project: Project, built: Built, options: CreateOptions, progress: Progress
) -> Created:
    """Make the missing parts of the instance, update what differs, and start it.

    An existing disk is left alone. A running VM keeps running, and changes take effect at its next start.

    :raises RefusedError: the name belongs to another VM, instance or project.
    :raises OvError: there is no backend, firmware or free port, and so on; the hint says what to do.
    """
    check_firmware(vm, built.boot)
    check_baked(vm, instance, built.baked, built.digest, options.overrides, reset=options.reset)
    folder = Folder(instance_directory(domain_of(vm.name, instance)))
    if built.boot is None and not folder.disk.exists() and (said := doubt(vm, built.disk)):
        progress.note(said)
    failing = explaining(f"cannot create {folder.path.name}", folder.path, folder.choose_sockets())
    with failing, folder.lock(waiting=lambda who: progress.note(f"waiting for {who}")), _nothing_left(folder):
        finish_removal(folder.path)
        folder.make()
        claim(folder.path, vm.name, instance, locked=True)
        record = _identity(vm, instance, project, folder, options, progress)
        driver = backend(record.backend)
        driver.probe(record.uri, start=True)
        running = known(record).active
        changes: list[str] = []
        record = _disk(record, built, vm.placement(instance).disk_size, running, changes, progress)
        keys = key_choice(vm, record)
        if keys.generated:
            keys = ensure_key_pair(folder.path, record.domain)
        host_key = ensure_host_key(folder, record.domain)
        _seed(vm, record, keys.keys, host_key, changes)
        _credentials(vm, record, keys.keys, host_key)
        record = _ports(vm, record, running, progress)
        record = replace(record, user=vm.ssh.user, identity=keys.private, addresses=static_addresses(vm))
        record = replace(record, first_use=vm.ssh.host_key is HostKeyTrust.FIRST_USE)
        record = record if running else replace(record, cid=choose_cid(record, vm.libvirt))
        machine = assemble(vm, record, driver, record.forwards, keys.keys)
        record.save()
        write_access(record)
        with located(vm):
            _define(driver, record, machine, running, changes, progress, telling(vm, machine.shares))
        if running:
            serve(record, machine, anew=False)
        if options.start and not running:
            record = start_machine(record, machine, progress)
            changes.append("started")
        return Created(record, tuple(changes))


@contextlib.contextmanager
def _nothing_left(folder: Folder) -> Iterator[None]:
    """Remove the folder if create fails before it holds anything of value, because a folder blocks the name."""
    try:
        yield
    except BaseException:
        if is_leftover(folder.path):
            remove_folder(folder.path)
        raise


def _identity(
    vm: VmSpec, instance: str | None, project: Project, folder: Folder, options: CreateOptions, progress: Progress
) -> Record:
    record = _known(vm, instance, project, folder, progress)
    if warning := settings.warning():
        progress.note(warning)
    if record is None:
        choice = choose(vm, options.uri)
        progress.note(f"backend {choice.backend.kind}: {choice.why}")
        place = choice.backend.place(options.uri)
        record = new_record(vm.name, instance, project.root, choice.backend.kind, place, written_mac(vm, instance))
    else:
        record = _same_project(record, project)
        if vm.backend not in {"auto", record.backend} and _defined(record):
            hint = f"ov vm destroy {record.words}, then create it again: its disk is kept"
            raise RefusedError(f"{record.words} runs on {record.backend}; vms.yml says {vm.backend}", hint=hint)
        if not _defined(record):
            choice = choose(vm, options.uri)
            record = replace(record, backend=choice.backend.kind, uri=choice.backend.place(options.uri))
        if mac := written_mac(vm, instance):
            record = replace(record, mac=mac)
    old = Overrides() if options.reset else record.overrides
    return replace(record, overrides=options.overrides.over(old))


def _known(vm: VmSpec, instance: str | None, project: Project, folder: Folder, progress: Progress) -> Record | None:
    """The record, if there is one, even from a create that was killed.

    A lost record is rebuilt. A damaged one is renamed to ``*.damaged`` and rebuilt.
    """
    found = existing(folder, vm.name, instance, project.root)
    if found is None:
        with contextlib.suppress(DamagedRecordError):
            return load(folder)
        return None
    if found.problem is not None:
        if os.path.lexists(folder.record):
            folder.record.replace(folder.record.with_suffix(".json.damaged"))
        progress.note(f"{found.problem.message}: made again from the rest of {folder.path}")
    return found.record


def written_mac(vm: VmSpec, instance: str | None) -> str | None:
    """The MAC address in the spec. Only the default instance gets it, because instances may share a network."""
    return vm.network.mac if instance is None else None


def _defined(record: Record) -> bool:
    """Whether the backend has a definition of the instance, even if ``machine.json`` was lost."""
    if record.folder.machine.exists():
        return True
    with contextlib.suppress(OvError):  # the backend cannot be used any more, so another may take over
        return known(record).state is not VmState.UNDEFINED
    return False


def _same_project(record: Record, project: Project) -> Record:
    """The record with the project's present place. A project that was moved keeps its instances.

    :raises RefusedError: the instance belongs to another project, which still exists.
    """
    if record.project == project.root:
        return record
    if record.project.is_dir() and record.project != record.folder.path / NO_PROJECT:
        raise RefusedError(
            f"{record.domain} belongs to VM {record.vm} of the project {record.project}",
            hint=f"rename the VM in {project.root}, or there: ov vm destroy --disk {record.words}",
        )
    return replace(record, project=project.root)


def _disk(
    record: Record, built: Built, size: int | None, running: bool, changes: list[str], progress: Progress
) -> Record:
    """Make the disk if there is none. The content of an existing disk is never touched."""
    folder = record.folder
    if folder.disk.exists():
        if not folder.disk.is_file():
            hint = f"move it away: mv {folder.disk} {folder.disk}.old"
            raise OvError(f"{folder.disk} is not a file, where the disk of {record.words} must be", hint=hint)
        if record.built is None and stands_on(folder, built.disk):
            record = replace(record, built=built.digest)
        if not running and record.built == built.digest and lost_base(folder) is not None:
            link_artifact(folder, built.disk)
            changes.append("what its disk stands on linked again")
        if record.built != built.digest:
            hint = f"ov vm destroy --disk {record.words} && ov vm create {record.words}"
            progress.note(f"the disk of {record.words} is older than the build; for a fresh one: {hint}")
        return replace(record, instance_id=record.instance_id or f"ov-{uuid.uuid4()}")
    if folder.disk.is_symlink():
        place = folder.disk.readlink()
        raise RefusedError(
            f"the disk of {record.words} is a symbolic link to {place}, which is missing",
            hint=f"is that file system mounted? for a fresh disk: rm {folder.disk}",
        )
    if running:
        raise OvError(f"{record.words} is running and its disk is gone", hint=f"ov vm stop --force {record.words}")
    record = replace(record, instance_id=f"ov-{uuid.uuid4()}", host_key=HostKey.EXPECTED, accepted=(), built=None)
    record.save()  # saved before the disk exists, so that a kill loses nothing
    new_host_key(folder)
    make_disk(folder, built.disk, size)
    changes.append("disk made")
    record = replace(record, built=built.digest)
    record.save()
    return record


def key_choice(vm: VmSpec, record: Record) -> KeyChoice:
    """The key to log in with: the override's, else the one from the spec's ``key_source``. Writes nothing."""
    return choose_keys(vm, record.folder.path, record.overrides.ssh_key)


def _seed(vm: VmSpec, record: Record, keys: Sequence[str], host_key: tuple[str, str], changes: list[str]) -> None:
    """Render the seed again. If it is the same, the file stays; a running VM keeps the file that it has open."""
    target = record.folder.seed
    image = seed_image(vm, record, keys, host_key)
    if image is None:
        target.unlink(missing_ok=True)
    else:
        there = target.exists()
        if write_changed(target, image, mode=0o600):
            changes.append("seed rendered anew" if there else "seed rendered")


def seed_image(vm: VmSpec, record: Record, keys: Sequence[str], host_key: tuple[str, str] | None) -> bytes | None:
    """The content of the instance's seed; None if the VM has no seed."""
    if not wants_seed(vm):
        return None
    from ovtasks.seed.iso import seed_iso

    assert record.instance_id is not None
    hostname = guest_hostname(vm, record.instance)
    vm = mounted(vm, record.overrides)
    if vm.mounts:
        arch = architecture(vm)
        with located(vm):
            vm = with_transports(vm, record, backend(record.backend), arch, machine_type(vm, arch))
    return seed_iso(render(SeedInput(vm, record.instance_id, hostname, tuple(keys), host_key)))


def _credentials(vm: VmSpec, record: Record, keys: Sequence[str], host_key: tuple[str, str]) -> None:
    text = tmpfiles(vm, keys, host_key)
    target = record.folder.tmpfiles
    if text is None:
        target.unlink(missing_ok=True)
    else:
        write_changed(target, text, mode=0o600)


def _ports(vm: VmSpec, record: Record, running: bool, progress: Progress) -> Record:
    """Lease the ports. A running VM keeps the ports that it listens on."""
    if running:
        return record
    wants = wanted_ports(vm, record.instance)
    more = further_ports(vm)  # these are only registered, since the libvirt: block fixes them
    forwards = ports.lease(record.domain, (*wants, *more), project=record.project, say=progress.note)[: len(wants)]
    return replace(record, forwards=forwards, ssh_port=forwards[0].host if forwards else None)


def _define(
    driver: Backend,
    record: Record,
    machine: Machine,
    running: bool,
    changes: list[str],
    progress: Progress,
    told: Iterator[str],
) -> None:
    text = driver.render(machine, record.uri)
    same = driver.defined(record.handle) == text
    saved = saved_or_none(record.folder.machine)
    if not same:
        had = record.folder.machine.exists()
        driver.define(record.handle, machine)
        for note in (*driver.notes(machine), *told):
            progress.note(f"{record.words}: {note}")
        later = ", in effect from its next start" if running else ""
        changes.append(f"definition changed{later}" if had else "defined")
    elif folders_of(saved) != folders_of(machine):
        for note in told:
            progress.note(f"{record.words}: {note}")
        changes.append("mounts by sshfs changed")
    if not same or saved != machine:
        save_machine(record.folder.machine, machine)
