"""Looks into a VM from outside, by QEMU's control sockets: its screen, keys, monitor, and the guest agent."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from ovtasks.backends.contract import DisplayPlace, Handle
from ovtasks.backends.qemu import agent
from ovtasks.backends.qemu.qmp import connect, mapping
from ovtasks.backends.qemu.status import DEFINITION, find
from ovtasks.errors import OvError
from ovtasks.machine.qemu.names import AGENT_CHANNEL, AGENT_SOCKET, QMP_SOCKET, SECRET_SUFFIX, STATUS_SOCKET
from ovtasks.values.jsonvalue import Json
from ovtasks.values.keys import KeyCode

SCREEN_SUFFIX = ".ppm"
UNIX = "unix:"
_PATIENCE = 5.0
"""Seconds for a question that the answer can do without."""


def pid_of(handle: Handle) -> int:
    """The id of the VM's process.

    :raises OvError: it does not run.
    """
    found = find(handle)
    if found is None:
        raise OvError(f"{handle.domain} is not running", hint="ov vm start")
    return found.pid


def screen(handle: Handle, number: int) -> bytes:
    """QEMU writes the picture into the folder of its sockets, which nobody else may enter."""
    path = handle.sockets / f"screen-{time.monotonic_ns()}{SCREEN_SUFFIX}"
    arguments: dict[str, Json] = {"filename": str(path)}
    with connect(handle.sockets / QMP_SOCKET, pid_of(handle)) as qmp:
        if number:
            arguments |= {"device": _display(qmp.execute("query-pci"), number, handle), "head": 0}
        try:
            qmp.execute("screendump", **arguments)
            return path.read_bytes()
        finally:
            path.unlink(missing_ok=True)


def _display(buses: Json, number: int, handle: Handle) -> str:
    """The id of the display device ``number`` (PCI class 3: display)."""
    found = []
    for bus in buses if isinstance(buses, list) else ():
        devices = mapping(bus).get("devices")
        for device in map(mapping, devices if isinstance(devices, list) else ()):
            kind = mapping(device.get("class_info")).get("class")
            if isinstance(kind, int) and kind >> 8 == 3:
                found.append(str(device.get("qdev_id") or ""))
    if number >= len(found) or not found[number]:
        none = "a VM has a screen with libvirt.devices.video in vms.yml"
        hint = f"it has {len(found)}; the first one is 0" if found else none
        raise OvError(f"{handle.domain} has no display {number}", hint=hint)
    return found[number]


def press(handle: Handle, chord: Sequence[KeyCode], hold: int) -> None:
    """Press keys by their scan codes. QEMU holds them and goes on, so this waits as long."""
    keys: list[Json] = [{"type": "number", "data": key.xt} for key in chord]
    held: dict[str, Json] = {"keys": keys, "hold-time": hold}
    with connect(handle.sockets / QMP_SOCKET, pid_of(handle)) as qmp:
        qmp.execute("send-key", **held)
    time.sleep(hold / 1000)


def monitor(handle: Handle, command: str, arguments: Mapping[str, Json]) -> Json:
    """Ask QEMU."""
    with connect(handle.sockets / QMP_SOCKET, pid_of(handle)) as qmp:
        return qmp.execute(command, **arguments)


def events(handle: Handle, seconds: float) -> Iterator[Mapping[str, Json]]:
    """QEMU's events. They are read at the socket that only reads its state, so that other verbs go on."""
    with connect(handle.sockets / STATUS_SOCKET, pid_of(handle), seconds) as qmp:
        yield from qmp.events()


def displays(handle: Handle) -> tuple[DisplayPlace, ...]:
    """As the command line that is in place says, with passwords; QEMU tells which port it has chosen for VNC."""
    pid = pid_of(handle)
    try:
        words = json.loads((handle.directory / DEFINITION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()
    found = []
    for kind in ("spice", "vnc"):
        text = next((after for word, after in pairwise(words) if word == f"-{kind}"), None)
        if text is not None:
            first, *parts = (part.replace(",,", ",") for part in re.split(r"(?<!,),(?!,)", text))
            options = dict(part.partition("=")[::2] for part in (*parts, first))
            secret = handle.sockets / f"{kind}{SECRET_SUFFIX}"
            known = "password-secret" in options and secret.exists()
            password = secret.read_text(encoding="utf-8") if known else ""
            place = _spice(options) if kind == "spice" else _vnc(first, handle, pid)
            found.append(replace(place, kind=kind, password=password))
    return tuple(found)


def _spice(options: Mapping[str, str]) -> DisplayPlace:
    if options.get("unix") == "on":
        return DisplayPlace(Path(options["addr"]))
    return DisplayPlace(host=options.get("addr") or "127.0.0.1", port=int(options.get("port") or 0))


def _vnc(where: str, handle: Handle, pid: int) -> DisplayPlace:
    if where.startswith(UNIX):
        return DisplayPlace(Path(where.removeprefix(UNIX)))
    with connect(handle.sockets / QMP_SOCKET, pid) as qmp:
        server = mapping(qmp.execute("query-vnc"))
    service = str(server.get("service") or "")
    return DisplayPlace(host=str(server.get("host") or "127.0.0.1"), port=int(service) if service.isdecimal() else 0)


def ask_agent(handle: Handle, command: str, arguments: Mapping[str, Json], seconds: float) -> Json:
    """Ask the guest agent at its socket, if something in the guest has opened its channel."""
    if not _opened(handle, min(seconds, _PATIENCE)):
        raise agent.silent("it does not run")
    return agent.ask(handle.sockets / AGENT_SOCKET, command, arguments, seconds)


def _opened(handle: Handle, seconds: float) -> bool:
    """Whether something in the guest has opened the agent's channel; True if QEMU does not say."""
    pid = pid_of(handle)
    with contextlib.suppress(OvError), connect(handle.sockets / QMP_SOCKET, pid, seconds) as qmp:
        answer = qmp.execute("query-chardev")
        listed = [mapping(one) for one in answer] if isinstance(answer, list) else []
        return not any(one.get("label") == AGENT_CHANNEL and one.get("frontend-open") is False for one in listed)
    return True
