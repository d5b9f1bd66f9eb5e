"""``ssh.key_injection.install``: root's key inside the disk, and the other ways that bring a key into the guest."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ovtasks.errors import InputError
from ovtasks.project.model import Injection, VmSpec

LINE = "bootc-root-ssh.conf"
"""The file that bootc names after it wrote the key: ``Injected: etc/tmpfiles.d/bootc-root-ssh.conf``."""

IGNORED_UNTIL = (1, 16, 9)
"""The newest bootc that was seen to ignore the key with composefs. The source of later ones writes it."""


def bakes_keys(vm: VmSpec) -> bool:
    """Whether root's key is written into the disk.

    By default only if no other way brings it in, because a key in the image wins over the one that an instance gets.
    """
    wanted = vm.ssh.install
    if wanted is Injection.AUTO:
        return vm.ssh.user == "root" and not other_ways(vm)
    return wanted is Injection.ENABLED


def other_ways(vm: VmSpec) -> tuple[str, ...]:
    """The ways, in words, that bring a key into the guest without the disk."""
    from ovtasks.seed.wanted import carries_keys, wants_seed

    found = []
    if vm.ssh.user and vm.ssh.smbios is not Injection.DISABLED:
        found.append("SMBIOS")
    if wants_seed(vm) and carries_keys(vm):
        found.append("the cloud-init seed")
    return tuple(found)


def without_the_disk(vm: VmSpec, why: str) -> str:
    """What to tell the user when the key is not in the disk, because of ``why``.

    :raises InputError: no other way brings one in.
    """
    if ways := other_ways(vm):
        return f"{vm.name}: {why}; {' and '.join(ways)} brings it in"
    raise InputError(
        f"{why}, and nobody could log in to {vm.name}",
        hint="ssh.key_injection.smbios: auto; or cloud_init: {} (in the image, too); or source.composefs: false",
        where=vm.where,
    )


def ignores_keys(version: str) -> bool:
    """Whether this bootc (``bootc 1.16.9``) accepts the key with composefs but does not write it.

    False for newer ones and for unreadable versions: there :func:`injected` tells.
    """
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", version)
    return found is not None and tuple(map(int, found.groups())) <= IGNORED_UNTIL


def injected(lines: Sequence[str]) -> bool:
    """Whether bootc's output says that it wrote the key."""
    return any(line.lstrip().startswith("Injected:") and LINE in line for line in lines)
