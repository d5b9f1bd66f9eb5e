"""Chooses how the guest gets the folders of ``mounts:``, by what the host, the backend and the guest can do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ovtasks.backends.contract import Backend, Shares, SharesFolders, ShareUsers
from ovtasks.errors import InputError
from ovtasks.host.packages import package_hint
from ovtasks.instance.record import Overrides, Record
from ovtasks.machine.machine import SharedFolder
from ovtasks.project.model import BootstrapSource, VmSpec
from ovtasks.seed.distro import attribute, detect
from ovtasks.seed.mounts import asks_for_sshfs, has_sshfs, sshfs_package, tag_of
from ovtasks.values.mount import SSHFS, Mount

RED_HAT = frozenset({"centos", "rhel", "redhat", "rocky", "rockylinux", "alma", "almalinux", "oracle", "oraclelinux"})
NOT_SHARED = "this backend cannot share folders"
DIRECT = "the host cannot reach a guest in network mode direct"
WHOSE = {
    ShareUsers.LOGIN: "the host's user has the files as the login there, and owns whatever the guest writes",
    ShareUsers.ROOT: "the host's user has the files as root there: others read them, and write by sudo",
    ShareUsers.SAME: "users have the same numbers there",
}


def mounted(vm: VmSpec, overrides: Overrides) -> VmSpec:
    """``vm`` with the mounts of the command line; one at the same place in the guest wins over the VM's."""
    if not overrides.mounts:
        return vm
    from ovtasks.project.mounts import mount_of

    more = [mount_of(line, Path("/")) for line in overrides.mounts]
    places = {one.target for one in more}
    return replace(vm, mounts=(*(one for one in vm.mounts if one.target not in places), *more))


def with_transports(vm: VmSpec, record: Record, backend: Backend, arch: str, machine: str) -> VmSpec:
    """``vm`` with the transports that its mounts get: the seed of a guest depends on them.

    :raises InputError: as :func:`shared_folders`.
    """
    folders = shared_folders(vm, record, backend, arch, machine, anywhere=False)
    chosen = zip(vm.mounts, folders, strict=True)
    return replace(vm, mounts=tuple(replace(one, transport=folder.transport) for one, folder in chosen))


def shared_folders(
    vm: VmSpec, record: Record, backend: Backend, arch: str, machine: str, *, anywhere: bool
) -> tuple[SharedFolder, ...]:
    """The folders of ``mounts:`` with their transports. ``anywhere``: on a host that has whatever is asked for.

    :raises InputError: a folder is missing, or cannot be shared.
    """
    if not vm.mounts:
        return ()
    ways = Shares() if anywhere else _ways(backend, arch, machine, record.uri)
    return tuple(_shared(vm, number, mount, ways, anywhere=anywhere) for number, mount in enumerate(vm.mounts))


def _ways(backend: Backend, arch: str, machine: str, uri: str | None) -> Shares:
    if not isinstance(backend, SharesFolders):
        return Shares(NOT_SHARED, NOT_SHARED, NOT_SHARED, sshfs=NOT_SHARED)
    return backend.shares(arch, machine, uri)


def _shared(vm: VmSpec, number: int, mount: Mount, ways: Shares, *, anywhere: bool) -> SharedFolder:
    place = ("mounts", number)
    if not anywhere and not mount.source.is_dir():
        what = "is not a folder" if mount.source.exists() else "is missing"
        hint = f"mkdir -p '{mount.source}'" if what == "is missing" else "a folder can be shared, a file alone cannot"
        raise InputError(f"the folder {mount.source} {what}, which {vm.name} is to share", hint=hint, field=place)
    transport = _transport(vm, mount, ways, place)
    login = login_number(vm)
    users = {"virtiofs": ways.users, SSHFS: ShareUsers.LOGIN}.get(transport, ShareUsers.SAME)
    return SharedFolder(tag_of(number), mount.source, mount.target, transport, mount.read_only, login, users.value)


def _transport(vm: VmSpec, mount: Mount, ways: Shares, place: Sequence[str | int]) -> str:
    """virtiofs, unless another user than the login would have the files there, and 9p can do better; else 9p; else
    sshfs."""
    virtiofs = ways.virtiofs or (ways.reading if mount.read_only else None) or private_memory(vm.libvirt)
    ninep = ways.ninep
    sshfs = ways.sshfs or _unreachable(vm)
    if mount.transport != "auto":
        problem = {"virtiofs": virtiofs, SSHFS: sshfs}.get(mount.transport, ninep)
        if problem is None:
            return mount.transport
        more = f"; or {package_hint('virtiofsd')}" if mount.transport == "virtiofs" else ""
        raise InputError(f"mounts: no {mount.transport}: {problem}", hint=f"transport: auto{more}", field=place)
    ninep = ninep or guest_without_9p(vm)
    strangers = ways.users is ShareUsers.ROOT and login_number(vm) != 0
    if virtiofs is None and not (strangers and ninep is None):
        return "virtiofs"
    if ninep is None:
        return "9p"
    sshfs = sshfs or guest_without_sshfs(vm)
    if sshfs is None:
        return SSHFS
    message = (
        f"{mount.source} cannot be shared with {vm.name}: no virtiofs, {virtiofs}; no 9p, {ninep}; no sshfs, {sshfs}"
    )
    raise InputError(message, hint=f"virtiofs needs virtiofsd: {package_hint('virtiofsd')}", field=place)


def login_number(vm: VmSpec) -> int:
    """The number of the guest's user who logs in: root's, else that of the first account, by convention."""
    if vm.ssh.user == "root":
        return 0
    return 1001 if attribute(vm.source, "distro") == "freebsd" else 1000


def guest_without_9p(vm: VmSpec) -> str | None:
    """Why the guest's kernel has no 9p; None if it has, or nothing is known about it."""
    distro = detect(vm.source)
    name = distro.name if distro else attribute(vm.source, "distro")
    if name in RED_HAT or name == "amazon":
        return f"the kernel of {name} has none"
    url = attribute(vm.source, "url") or ""
    if (isinstance(vm.source, BootstrapSource) and name == "debian") or (name == "debian" and "genericcloud" in url):
        return "Debian's kernel for clouds has none"
    return None


def _unreachable(vm: VmSpec) -> str | None:
    """Why this host cannot log in to the guest by SSH and mount there; None if it can."""
    if vm.ssh.user is None:
        return "nobody is known who logs in by SSH (ssh.user)"
    if attribute(vm.source, "distro") == "freebsd":
        return "only Linux guests are mounted so"
    return DIRECT if vm.network.mode == "direct" else None


def guest_without_sshfs(vm: VmSpec) -> str | None:
    """Why the guest will not have sshfs; None if it gets it, or nothing is known about it."""
    distro = detect(vm.source)
    name = distro.name if distro else attribute(vm.source, "distro")
    if (name in RED_HAT or name == "amazon") and not asks_for_sshfs(vm):
        return f"{name} itself has no package of it (EPEL has: fuse-sshfs, in cloud_init.packages)"
    return None


def private_memory(libvirt: Mapping[str, object]) -> str | None:
    """Why the spec leaves virtiofs no memory that it can map; None if it does."""
    block = libvirt.get("memory_backing")
    if isinstance(block, Mapping):
        for key, word in (("access", "private"), ("source", "anonymous")):
            if block.get(key) == word:
                return f"libvirt.memory_backing.{key} is {word}"
    return None


def telling(vm: VmSpec, folders: Sequence[SharedFolder]) -> Iterator[str]:
    """What people are told when the choice is new: by what, whose the files are in the guest, and what it must have."""
    for users in ShareUsers:
        some = [one for one in folders if one.users == users.value]
        if some:
            names = ", ".join(f"{one.target} by {one.transport}" for one in some)
            yield f"mounts {names}; {WHOSE[users]}"
            if users is ShareUsers.SAME and (own := os.geteuid()) not in {0, some[0].login}:
                yield f"this host's user has number {own}, the guest's login {some[0].login}: it may not write there"
    if any(one.transport == SSHFS for one in folders):
        package = sshfs_package(vm)
        who = f"cloud-init installs its package {package} at the first boot" if package else "the guest must have it"
        who = "the image has it" if has_sshfs(vm) else who
        yield f"sshfs: {who}; this host serves the folders while the VM runs"
