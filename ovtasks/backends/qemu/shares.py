"""Whether plain QEMU can share folders of this host with its guests, and how virtiofsd maps users."""

from __future__ import annotations

import os

from ovtasks.backends.contract import Shares, ShareUsers
from ovtasks.backends.qemu import program
from ovtasks.host.run import run, which

EVERYONE = 2**32 - 1
"""How many numbers users can have."""


def shares(arch: str) -> Shares:
    """See :class:`ovtasks.backends.contract.SharesFolders`.

    :raises OvError: QEMU cannot be asked.
    """
    devices = program.features(arch).devices
    server = virtiofsd()
    virtiofs, reading, users = None, None, ShareUsers.SAME
    if "vhost-user-fs-pci" not in devices:
        virtiofs = "QEMU here has no virtiofs"
    elif server is None:
        virtiofs = "its server virtiofsd is not installed"
    elif is_old(server):
        virtiofs = "the virtiofsd here is that of QEMU 7, which works for root only" if os.geteuid() else None
        reading = "the virtiofsd here cannot share read-only"
    elif os.geteuid() and translates(server):
        users = ShareUsers.LOGIN
    return Shares(virtiofs, reading, None if "virtio-9p-pci" in devices else "QEMU here has no 9p", users)


def virtiofsd() -> str | None:
    """The path of virtiofsd, which is usually outside of PATH; None: it is not installed."""
    from ovtasks.host.doctor.services import VIRTIOFSD

    return next((str(path) for name in VIRTIOFSD if (path := which(name))), None)


def is_old(server: str) -> bool:
    """Whether it is the virtiofsd written in C, which came with QEMU before 8.0."""
    said = run([server, "--version"], check=False, timeout=10)
    return "FUSE kernel interface" in said.stdout + said.stderr


def translates(server: str) -> bool:
    """Whether it can give users other numbers in the guest (virtiofsd 1.13)."""
    said = run([server, "--help"], check=False, timeout=10)
    return "--translate-uid" in said.stdout + said.stderr


def translation(login: int) -> list[str]:
    """The options by which our own files are those of the guest's user ``login``, and all that the guest writes is
    ours."""
    words = []
    for kind, own in (("uid", os.geteuid()), ("gid", os.getegid())):
        words += [f"--translate-{kind}=squash-guest:0:{own}:{EVERYONE}", f"--translate-{kind}=host:{own}:{login}:1"]
    return words
