"""How a guest mounts the folders of ``mounts:``, except by sshfs: that, the host does when the guest is up.

cloud-init's ``bootcmd`` runs at every boot, before sshd starts, and reads the present seed. So a mount that was added
later is there after a restart, whatever its transport is by then. ``mounts:`` of cloud-init writes /etc/fstab once.
"""

from __future__ import annotations

from collections.abc import Sequence

from ovtasks.project.model import BootstrapSource, VmSpec
from ovtasks.seed.distro import detect
from ovtasks.seed.wanted import wants_seed
from ovtasks.values.jsonvalue import Json
from ovtasks.values.mount import SSHFS, Mount

NINEP = "trans=virtio,version=9p2000.L,msize=262144,cache=mmap"
HOMES = "/home/"
_PACKAGES = {"debian": "sshfs", "arch": "sshfs", "suse": "sshfs"}
"""The package of sshfs, by the family. In Red Hat's family only Fedora has one itself."""
_NAMES = frozenset({"sshfs", "fuse-sshfs"})
# $1 tag, $2 folder, $3 ro or rw, $4: "early" leaves homes alone that are not there yet. The boot goes on in any case.
SCRIPT = """\
case "$4:$2" in early:/home/*) home=${2#/home/}; [ -d "/home/${home%%/*}" ] || exit 0;; esac
grep -q "^$1 " /proc/mounts && exit 0
mkdir -p "$2"
mount -t virtiofs -o "$3" "$1" "$2" 2>/dev/null && exit 0
modprobe 9pnet_virtio 2>/dev/null
mount -t 9p -o "$3,OPTIONS" "$1" "$2" && exit 0
echo "ov: cannot mount $2: this kernel has neither virtiofs nor 9p for $1" | tee /dev/console >&2
""".replace("OPTIONS", NINEP)


def tag_of(number: int) -> str:
    """The name by which the guest asks for the mount with this number in the list."""
    return f"ov-mount{number}"


def early(mounts: Sequence[Mount]) -> list[Json]:
    """Commands for ``bootcmd``."""
    return [_command(number, one, "early") for number, one in enumerate(mounts) if one.transport != SSHFS]


def late(mounts: Sequence[Mount]) -> list[Json]:
    """Commands for ``runcmd``: at the first boot, homes are made after ``bootcmd``."""
    homes = [(number, one) for number, one in enumerate(mounts) if one.target.startswith(HOMES)]
    return [_command(number, one, "late") for number, one in homes if one.transport != SSHFS]


def has_sshfs(vm: VmSpec) -> bool:
    """Whether sshfs is among the packages that a bootstrap's image is made of."""
    return isinstance(vm.source, BootstrapSource) and not _NAMES.isdisjoint(vm.source.packages)


def asks_for_sshfs(vm: VmSpec) -> bool:
    """Whether the VM's own packages have it."""
    return has_sshfs(vm) or (vm.cloud_init is not None and not _NAMES.isdisjoint(vm.cloud_init.packages))


def sshfs_package(vm: VmSpec) -> str | None:
    """The package of sshfs that cloud-init has to install in the guest; None: the guest has it, or must bring it."""
    distro = detect(vm.source) if wants_seed(vm) else None
    if distro is None or has_sshfs(vm):
        return None
    return "fuse-sshfs" if distro.name == "fedora" else _PACKAGES.get(distro.family)


def _command(number: int, mount: Mount, when: str) -> Json:
    mode = "ro" if mount.read_only else "rw"
    return ["sh", "-c", SCRIPT, "ov-mount", tag_of(number), mount.target, mode, when]


def fstab_line(tag: str, target: str, transport: str, *, read_only: bool) -> str:
    """The line of fstab(5) for a guest without a seed, whose systemd takes it from a credential."""
    options = ["ro" if read_only else "rw", "nofail", *([NINEP] if transport == "9p" else [])]
    path = "".join(f"\\{ord(char):03o}" if char in ' \t\\#"' else char for char in target)
    return f"{tag} {path} {transport} {','.join(options)} 0 0\n"
