"""Looks into a VM from outside, by libvirt: its screen, keys, QEMU's monitor, and the guest agent."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast
from xml.etree import ElementTree as ET

from ovtasks.backends.contract import DisplayPlace, Handle, ListedDomain
from ovtasks.backends.libvirt.definition import find
from ovtasks.backends.libvirt.diagnosis import diagnosed
from ovtasks.backends.libvirt.session import (
    connection,
    is_local,
    is_own_session,
    load,
    open_connection,
    sockets,
    uri_of,
)
from ovtasks.backends.libvirt.status import state_of
from ovtasks.errors import OvError
from ovtasks.values.jsonvalue import Json
from ovtasks.values.keys import KeyCode

if TYPE_CHECKING:
    import libvirt

_RESTART = "it answers again after a restart: ov vm ssh NAME -- sudo systemctl restart qemu-guest-agent"
_AGENT = "qemu-guest-agent must run in the guest (cloud_init.packages: [qemu-guest-agent])"


def running(daemon: libvirt.virConnect, handle: Handle) -> libvirt.virDomain:
    """The domain, which runs.

    :raises OvError: it does not.
    """
    domain = find(daemon, handle)
    if domain is None or not domain.isActive():
        raise OvError(f"{handle.domain} is not running", hint="ov vm start")
    return domain


def screen(handle: Handle, number: int) -> bytes:
    """The display as libvirt has it: PPM, or PNG from later versions."""
    with diagnosed(f"take a picture of {handle.domain}", handle.domain):
        daemon = connection(handle.uri)
        domain = running(daemon, handle)
        stream = daemon.newStream(0)
        done = False
        try:
            domain.screenshot(stream, number, 0)
            data = b""
            while chunk := stream.recv(1 << 18):
                data += chunk
            stream.finish()
            done = True
        finally:
            if not done:
                with suppress(load().libvirtError):
                    stream.abort()
    return data


def press(handle: Handle, chord: Sequence[KeyCode], hold: int) -> None:
    """Press keys by their numbers in Linux."""
    libvirt = load()
    with diagnosed(f"press keys of {handle.domain}", handle.domain):
        domain = running(connection(handle.uri), handle)
        domain.sendKey(libvirt.VIR_KEYCODE_SET_LINUX, hold, [key.linux for key in chord], len(chord), 0)


def monitor(handle: Handle, command: str, arguments: Mapping[str, Json]) -> Json:
    """Pass a command on to QEMU."""
    load()
    import libvirt_qemu

    with diagnosed(f"ask QEMU of {handle.domain}", handle.domain):
        domain = running(connection(handle.uri), handle)
        text = libvirt_qemu.qemuMonitorCommand(domain, _message(command, arguments), 0)
    return _answer(text, "QEMU")


def ask_agent(handle: Handle, command: str, arguments: Mapping[str, Json], seconds: float) -> Json:
    """Pass a command on to the guest agent. libvirt counts whole seconds."""
    libvirt = load()
    import libvirt_qemu

    with diagnosed(f"ask the guest agent of {handle.domain}", handle.domain):
        domain = running(connection(handle.uri), handle)
        try:
            text = libvirt_qemu.qemuAgentCommand(domain, _message(command, arguments), max(1, round(seconds)), 0)
        except libvirt.libvirtError as e:
            silent = {libvirt.VIR_ERR_AGENT_UNRESPONSIVE, libvirt.VIR_ERR_AGENT_UNSYNCED}
            if (error := agent_error(handle.domain, str(e), silent=e.get_error_code() in silent)) is None:
                raise
            raise error from e
    return _answer(text, "the guest agent")


def agent_error(domain: str, text: str, *, silent: bool) -> OvError | None:
    """What libvirt says of a guest agent, with a way out; None if it is about something else."""
    if "No complete agent response" in text:
        hint = f"let the command write a file, then read it: guest file read; {_RESTART}"
        return OvError(f"the guest agent of {domain} answered with more than libvirt passes on (10 MiB)", hint=hint)
    if "not available due to an error" in text:
        return OvError(f"no guest agent answers in {domain}: libvirt has lost contact with it", hint=_RESTART)
    if silent or "not configured" in text or "not connected" in text:
        return OvError(f"no guest agent answers in {domain}: {text}", hint=_AGENT)
    if "unable to execute QEMU agent command" in text:
        return OvError(f"the guest agent refuses: {text}", hint="guest info lists what it can do")
    return None


def events(handle: Handle, seconds: float) -> Iterator[Mapping[str, Json]]:
    """QEMU's events, by a connection of their own."""
    libvirt = load()
    import libvirt_qemu

    libvirt.virEventRegisterDefaultImpl()
    found: list[Mapping[str, Json]] = []

    def note(_c: object, _d: object, event: str, at: int, micros: int, details: str | None, _o: object) -> None:
        data = json.loads(details) if details else {}
        found.append({"event": event, "data": data, "timestamp": {"seconds": at, "microseconds": micros}})

    until = time.monotonic() + seconds
    with diagnosed(f"watch {handle.domain}", handle.domain):
        daemon = open_connection(uri_of(handle.uri))
        domain = running(daemon, handle)
        timer = libvirt.virEventAddTimeout(100, lambda *_: None, None)
        number = libvirt_qemu.qemuMonitorEventRegister(daemon, domain, None, note, None, 0)
        try:
            while time.monotonic() < until:
                libvirt.virEventRunDefaultImpl()
                yield from _taken(found)
        finally:
            libvirt.virEventRemoveTimeout(timer)
            with suppress(libvirt.libvirtError):
                libvirt_qemu.qemuMonitorEventDeregister(daemon, number)


def _taken(found: list[Mapping[str, Json]]) -> Iterator[Mapping[str, Json]]:
    while found:
        yield found.pop(0)


def displays(handle: Handle) -> tuple[DisplayPlace, ...]:
    """From the definition that runs, with passwords. A socket comes before a port.

    virt-viewer shows what has neither, a VNC socket, and the displays of another host.
    """
    libvirt = load()
    uri = uri_of(handle.uri)
    with diagnosed(f"look at {handle.domain}", handle.domain):
        domain = running(connection(handle.uri), handle)
        root = ET.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE))
    viewer = ("virt-viewer", "--connect", uri, *(("--attach",) if is_local(uri) else ()), "--", handle.domain)
    found = [
        _place(graphics, viewer, local=is_local(uri))
        for kind in ("spice", "vnc")
        for graphics in root.findall(f"devices/graphics[@type='{kind}']")
    ]
    return tuple(found)


def _place(graphics: ET.Element, viewer: tuple[str, ...], *, local: bool) -> DisplayPlace:
    kind, password = graphics.get("type", ""), graphics.get("passwd") or ""
    paths = [one.get("socket") for one in graphics.findall("listen[@type='socket']")]
    if path := next(filter(None, paths), None):
        place = DisplayPlace(Path(path), password=password, kind=kind)
        return place if local and kind == "spice" else replace(place, viewer=viewer)
    port = int(graphics.get("port") or -1)
    host = graphics.get("listen") or "127.0.0.1"
    place = DisplayPlace(host=host, port=max(port, 0), password=password, kind=kind)
    return place if local and port > 0 else replace(place, viewer=viewer)


def domains(uri: str | None) -> tuple[ListedDomain, ...]:
    """All domains of a connection. Without ``uri``, a session daemon that does not run is not started."""
    place = uri_of(uri)
    if uri is None and is_own_session(place) and all(one.problem is not None for one in sockets()):
        return ()
    with diagnosed(f"list the VMs of {place}", place):
        found = connection(place).listAllDomains()
        return tuple(
            ListedDomain(one.name(), one.UUIDString(), state_of(*one.state())[0], one.ID() if one.isActive() else None)
            for one in found
        )


def domain_xml(handle: Handle, *, config: bool) -> str:
    """libvirt's own text."""
    libvirt = load()
    with diagnosed(f"look at {handle.domain}", handle.domain):
        domain = find(connection(handle.uri), handle)
        if domain is None:
            raise OvError(f"{handle.domain} is not defined in libvirt", hint="ov vm create defines it")
        return str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE if config else 0))


def _message(command: str, arguments: Mapping[str, Json]) -> str:
    return json.dumps({"execute": command, **({"arguments": arguments} if arguments else {})})


def _answer(text: str, who: str) -> Json:
    message = json.loads(text)
    if (error := message.get("error")) is not None:
        raise OvError(f"{who} refuses: {error.get('desc')}", hint="look at the command's name and its arguments")
    return cast(Json, message.get("return"))
