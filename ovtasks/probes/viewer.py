"""Opens a VM's display in a viewer: remote-viewer, or what its backend names."""

from __future__ import annotations

import os
from pathlib import Path

from ovtasks.backends.contract import DisplayPlace
from ovtasks.errors import OvError
from ovtasks.host.files import create
from ovtasks.host.foreground import foreground
from ovtasks.host.packages import package_hint
from ovtasks.host.which import which
from ovtasks.instance.record import Record
from ovtasks.probes.machine import monitor_of

VIEWER = "remote-viewer"
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def display_of(record: Record, kind: str | None = None) -> DisplayPlace:
    """The VM's display: the one of this kind (spice, vnc), else the first.

    :raises OvError: the VM does not run, or has no such display.
    """
    found = monitor_of(record).displays(record.handle)
    for place in found:
        if kind in {None, place.kind}:
            return place
    if found:
        raise OvError(f"{record.words} has no {kind} display, but {found[0].kind}", hint=f"--type {found[0].kind}")
    hint = (
        "ov vm console has its serial console; libvirt.devices: graphics: [{type: spice}] and video give it a display"
    )
    raise OvError(f"{record.words} is headless: it has no display", hint=hint)


def address(place: DisplayPlace) -> str:
    """The display as a URI, without its password."""
    if place.socket is not None:
        return f"{place.kind}+unix://{place.socket}"
    return f"{place.kind}://{place}" if place.port else place.kind


def connection_file(place: DisplayPlace, title: str) -> str:
    """What remote-viewer reads (remote-viewer(1), CONNECTION FILE); it removes the file then."""
    keys = {"type": place.kind, "title": title, "delete-this-file": "1"}
    if place.socket is not None:
        keys["unix-path"] = str(place.socket)
    else:
        keys |= {"host": ANYWHERE.get(place.host, place.host), "port": str(place.port)}
    if place.password:
        keys["password"] = place.password
    return "[virt-viewer]\n" + "".join(f"{key}={_escaped(value)}\n" for key, value in keys.items())


def _escaped(value: str) -> str:
    """A value as GLib's key files have it: a backslash begins an escape, and blanks at the ends are lost."""
    value = value.replace("\\", "\\\\")
    inner = value.lstrip(" ")
    return "\\s" * (len(value) - len(inner)) + inner


def unable(place: DisplayPlace) -> tuple[str, str] | None:
    """Why no viewer can be opened here, and what to do instead; None if one can."""
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return (
            "this session has no screen",
            "open it from a desktop; from another host, ssh -L or ssh -X brings it there",
        )
    program = place.viewer[0] if place.viewer else VIEWER
    if place.socket is not None and place.kind == "vnc" and not place.viewer:
        return f"{VIEWER} opens no VNC socket", f"TigerVNC does: vncviewer {place.socket}"
    if which(program) is None:
        return f"{program} is not installed", package_hint(program)
    return None


def view(record: Record, place: DisplayPlace) -> int:
    """Open the display, and wait until the viewer's window is closed; returns the viewer's exit status.

    The password goes by a file that its owner alone can read and the viewer removes; no command line has it.

    :raises MissingProgramError: the viewer is not installed.
    """
    if place.viewer:
        return foreground(place.viewer)
    file = record.sockets / f"view-{os.getpid()}.vv"
    _sweep(record.sockets)
    try:
        with create(file) as out:
            out.write(connection_file(place, record.words).encode())
        return foreground([VIEWER, str(file)])
    finally:
        file.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove the files of viewers that were killed together with us before they had read theirs."""
    for path in folder.glob("view-*.vv"):
        if not Path(f"/proc/{path.stem.removeprefix('view-')}").exists():
            path.unlink(missing_ok=True)
