"""A password for a display that the VM does not have."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.rooms import qemu_room

pytestmark = pytest.mark.slow


def test_a_display_that_is_not_there(tmp_path: Path) -> None:
    with qemu_room(tmp_path) as room:
        room.ov("vm", "create", "--no-start", "web")
        said = room.ov("eval", "libvirt", "passwd", "web", "x", "--persistent", "--type", "vnc", code=2)
        assert "no vnc display" in said and "libvirt.devices.graphics: [{type: vnc}]" in said
