"""A bridge of this host for a test: made by root, gone at the end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovtasks.host import bridge as rules
from ovtasks.host.run import run

ADDRESS = "192.168.231.1"
"""Of the host on the bridge; the network has 24 bits."""


@contextlib.contextmanager
def bridge(name: str = "ovtest0") -> Iterator[str]:
    """Only root makes bridges: others skip such a test's part of the house."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a bridge")
    run(["ip", "link", "add", name, "type", "bridge"])
    try:
        run(["ip", "address", "add", f"{ADDRESS}/24", "dev", name])
        run(["ip", "link", "set", name, "up"])
        yield name
    finally:
        run(["ip", "link", "del", name])


@contextlib.contextmanager
def allowed(name: str) -> Iterator[None]:
    """``bridge.conf`` with a rule for the bridge; afterwards it is as before."""
    path: Path = rules.RULES[0]
    made = not path.parent.exists()
    before = path.read_bytes() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_text((before or b"").decode() + f"\nallow {name}\n", encoding="utf-8")
    try:
        yield
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_bytes(before)
        if made:
            path.parent.rmdir()
