"""How a guest mounts the folders of ``mounts:``.

cloud-init's ``bootcmd`` runs at every boot, before sshd starts, and reads the present seed. So a mount that was added
later is there after a restart, whatever its transport is by then. ``mounts:`` of cloud-init writes /etc/fstab once.
"""

from __future__ import annotations

from collections.abc import Sequence

from ovtasks.values.jsonvalue import Json
from ovtasks.values.mount import Mount

NINEP = "trans=virtio,version=9p2000.L,msize=262144,cache=mmap"
HOMES = "/home/"
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
    return [_command(number, mount, "early") for number, mount in enumerate(mounts)]


def late(mounts: Sequence[Mount]) -> list[Json]:
    """Commands for ``runcmd``: at the first boot, homes are made after ``bootcmd``."""
    return [_command(number, one, "late") for number, one in enumerate(mounts) if one.target.startswith(HOMES)]


def _command(number: int, mount: Mount, when: str) -> Json:
    mode = "ro" if mount.read_only else "rw"
    return ["sh", "-c", SCRIPT, "ov-mount", tag_of(number), mount.target, mode, when]


def fstab_line(tag: str, target: str, transport: str, *, read_only: bool) -> str:
    """The line of fstab(5) for a guest without a seed, whose systemd takes it from a credential."""
    options = ["ro" if read_only else "rw", "nofail", *([NINEP] if transport == "9p" else [])]
    path = "".join(f"\\{ord(char):03o}" if char in ' \t\\#"' else char for char in target)
    return f"{tag} {path} {transport} {','.join(options)} 0 0\n"
