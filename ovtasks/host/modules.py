"""What the running kernel can do, now or after loading a module: proc(5), modprobe(8)."""

from __future__ import annotations

from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.host.run import run, which

FILESYSTEMS = Path("/proc/filesystems")
SECONDS = 10.0


def can_mount(kind: str, known: Path = FILESYSTEMS) -> bool:
    """Whether the kernel has the file system ``kind``, or a module for it."""
    try:
        lines = known.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    return any(line.split()[-1:] == [kind] for line in lines) or has_module(kind)


def has_module(name: str) -> bool:
    """Whether the kernel has the module built in, or modprobe would load it."""
    if which("modprobe") is None:
        return False
    try:
        return run(["modprobe", "--dry-run", "--quiet", name], check=False, timeout=SECONDS).returncode == 0
    except OvError:
        return False
