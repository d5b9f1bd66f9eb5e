"""Whether QEMU can put a VM onto a bridge of this host.

Ordinary users need qemu-bridge-helper, a setuid program of QEMU's, and a rule in its ``bridge.conf`` (QEMU's
documentation, "bridge helper"): one that allows the bridge, and none that denies it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ovtasks.errors import InputError, OvError
from ovtasks.host.packages import package_hint

NETWORK = Path("/sys/class/net")
HELPERS = tuple(
    Path(folder) / "qemu-bridge-helper"
    for folder in ("/usr/lib/qemu", "/usr/libexec", "/usr/libexec/qemu-kvm", "/usr/lib", "/usr/local/libexec")
)
RULES = (Path("/etc/qemu/bridge.conf"), Path("/etc/qemu-kvm/bridge.conf"))
TUN = Path("/dev/net/tun")
"""udev lets everybody open it; the kernel and the helper decide what for."""


def bridges() -> list[str]:
    """The names of this host's bridges."""
    return sorted(path.parent.name for path in NETWORK.glob("*/bridge"))


def check_bridge(name: str, field: Sequence[str | int] = ("network", "bridge"), *, helper: bool = True) -> None:
    """Check that a VM can join the bridge ``name``, which stands at ``field`` of the spec.

    ``helper``: QEMU needs qemu-bridge-helper, because no daemon of root's starts it.

    :raises OvError: there is no such bridge, or the helper is missing or refuses it; the hint names the next step.
    """
    if not (NETWORK / name / "bridge").is_dir():
        there = bridges()
        hint = f"as root: ip link add {name} type bridge && ip link set {name} up"
        hint += f"; there are {', '.join(there)}" if there else ""
        what = "is a card, no bridge" if (NETWORK / name).exists() else "does not exist"
        raise InputError(f"the bridge {name} {what}", hint=hint, field=field)
    if helper:
        if not os.access(TUN, os.R_OK | os.W_OK):
            what = "may not be opened by this user" if TUN.exists() else "does not exist"
            hint = f"as root: {f'chmod 0666 {TUN}' if TUN.exists() else 'modprobe tun'}; or network.mode: user"
            raise OvError(f"the bridge {name} needs {TUN}, which {what}", hint=hint)
        _check_helper(name)
        _check_rules(name)


def _check_helper(name: str) -> None:
    program = next((path for path in HELPERS if path.exists()), None)
    if program is None:
        message = f"ordinary users join the bridge {name} by qemu-bridge-helper, which is not installed"
        raise OvError(message, hint=package_hint("qemu-bridge-helper"))
    if os.geteuid() == 0 or program.stat().st_mode & 0o4000:
        return
    with contextlib.suppress(OSError):
        if os.getxattr(program, "security.capability"):
            return
    message = f"ordinary users join the bridge {name} by {program}, which is not setuid root"
    raise OvError(message, hint=f"as root: chmod u+s {program}; or network.mode: user")


def _check_rules(name: str) -> None:
    found = [path for path in RULES if path.exists()]
    allowed = denied = False
    try:
        for path in found:
            for verb, bridge in rules(path):
                if bridge in {name, "all"}:
                    allowed |= verb == "allow"
                    denied |= verb == "deny"
    except PermissionError:
        return  # the helper, which is root, can read it
    if allowed and not denied:
        return
    place = found[0] if found else RULES[0]
    if denied:
        raise OvError(f"{place} denies the bridge {name}", hint="as root: remove that rule; or another bridge")
    hint = f"as root: mkdir -p {place.parent} && echo 'allow {name}' >> {place}"
    raise OvError(f"{place} does not allow the bridge {name}", hint=hint)


def rules(path: Path, depth: int = 0) -> Iterator[tuple[str, str]]:
    """The rules of a ``bridge.conf`` and of the files it includes: ``allow`` or ``deny``, and a bridge or ``all``.

    :raises PermissionError: this user may not read a file.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        words = line.split()
        if len(words) != 2 or words[0].startswith("#"):
            continue
        if words[0] == "include" and depth < 8:
            yield from rules(Path(words[1]), depth + 1)
        elif words[0] in {"allow", "deny"}:
            yield words[0], words[1]
