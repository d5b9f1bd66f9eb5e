"""Where libvirt's displays are reached: at a socket or a port of this host, or by virt-viewer alone."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from ovtasks.backends.contract import DisplayPlace
from ovtasks.backends.libvirt.probing import _place

VIEWER = ("virt-viewer", "--connect", "qemu:///session", "--attach", "--", "ov-web")
PORT = "<graphics type='spice' port='5900' listen='127.0.0.1' passwd='x'><listen type='address'/></graphics>"
SOCKET = "<graphics type='{}'><listen type='socket' socket='/run/s'/></graphics>"
NOWHERE = "<graphics type='spice'><listen type='none'/></graphics>"
TLS = "<graphics type='spice' port='-1' tlsPort='5901' autoport='no'/>"


@pytest.mark.parametrize(
    ("xml", "local", "place"),
    [
        (PORT, True, DisplayPlace(host="127.0.0.1", port=5900, password="x")),
        (PORT, False, DisplayPlace(host="127.0.0.1", port=5900, password="x", viewer=VIEWER)),
        (SOCKET.format("spice"), True, DisplayPlace(Path("/run/s"))),
        (SOCKET.format("vnc"), True, DisplayPlace(Path("/run/s"), kind="vnc", viewer=VIEWER)),
        (NOWHERE, True, DisplayPlace(host="127.0.0.1", viewer=VIEWER)),
        (TLS, True, DisplayPlace(host="127.0.0.1", viewer=VIEWER)),
    ],
    ids=["port", "another host", "socket", "VNC's socket", "nowhere", "TLS"],
)
def test_place(xml: str, local: bool, place: DisplayPlace) -> None:
    assert _place(ET.fromstring(xml), VIEWER, local=local) == place
