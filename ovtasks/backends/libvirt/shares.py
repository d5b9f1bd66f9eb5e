"""Whether libvirt can share folders of this host with its guests."""

from __future__ import annotations

from ovtasks.backends.contract import Shares, ShareUsers
from ovtasks.backends.libvirt.features import capabilities, host_features
from ovtasks.backends.libvirt.session import is_local, uri_of
from ovtasks.machine.host import HostFeatures

READING = (11, 0)
"""libvirt's first version that shares by virtiofs for reading only."""
ELSEWHERE = "the VM runs on another host than the folder is on"


def shares(arch: str, machine: str, uri: str | None) -> Shares:
    """See :class:`ovtasks.backends.contract.SharesFolders`."""
    if not is_local(uri_of(uri)):
        return Shares(ELSEWHERE, ELSEWHERE, ELSEWHERE, sshfs=ELSEWHERE)
    accels = capabilities(arch, machine, uri).accels
    return of_host(host_features(arch, machine, accels[0], uri) if accels else HostFeatures())


def of_host(host: HostFeatures) -> Shares:
    """The ways by what ``domcapabilities`` says."""
    words = host.known.get("devices/filesystem/driverType")
    virtiofs = host.problems.get("virtiofs")
    if words is not None and "virtiofs" not in words:
        virtiofs = virtiofs or "libvirt's QEMU has no virtiofs"
    old = host.version is not None and host.version < READING
    return Shares(
        virtiofs=virtiofs,
        reading="libvirt shares read-only by virtiofs from 11.0 on" if old else None,
        ninep="libvirt's QEMU has no 9p" if words is not None and "path" not in words else None,
        users=ShareUsers.ROOT if host.session else ShareUsers.SAME,
    )
