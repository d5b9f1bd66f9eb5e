"""Displays for people who look at the VM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ovtasks.errors import InputError
from ovtasks.host.packages import package_hint
from ovtasks.machine.characters import portable
from ovtasks.machine.device import Device
from ovtasks.machine.devices.graphics.passwords import too_long
from ovtasks.machine.devices.graphics.qemu import words
from ovtasks.machine.devices.graphics.rows import ROWS
from ovtasks.machine.draft import Draft
from ovtasks.machine.host import HostFeatures, lacking
from ovtasks.machine.qemu.names import SPICE_SOCKET, VNC_SOCKET
from ovtasks.machine.tree import ROOT, Faults, Place, Tree

LISTENERS = ("address", "network", "socket")
LOOPBACK = "127.0.0.1"
_PLACES = {"socket": "on a socket", "none": "nowhere"}
_SERVERS = frozenset({"spice", "vnc", "rdp"})
_PACKAGES = {"spice": "qemu-spice", "egl-headless": "qemu-egl-headless", "dbus": "qemu-dbus"}


def _rules(found: Sequence[Tree], _: Tree) -> Faults:
    """There is one server of a kind; each has one listener, and ports only where it listens on a network."""
    seen: set[str] = set()
    for one in found:
        kind = one.text("type") or ""
        if kind and kind in seen:
            yield one.fault(f": QEMU has one {kind} server", "remove one of the two", "type")
        seen.add(kind)
        if problem := too_long(kind, one.text("passwd") or ""):
            yield one.fault(*problem, "passwd")
        listeners = one.items("listen")
        for listener in listeners:
            yield from _listener_rules(listener)
        if len(listeners) > 1:
            yield one.fault("has several listeners; QEMU has one", "remove the others", "listen", 1)
        yield from _port_rules(one, kind, listeners)


def _port_rules(one: Tree, kind: str, listeners: Sequence[Tree]) -> Faults:
    where = _kind(listeners[0]) if listeners else None
    if where in {"socket", "none"}:
        for key in ("port", "tls_port", "websocket"):  # autoport is harmless: it has no port to choose
            if one.has(key):
                yield one.fault(f"has no effect: it listens {_PLACES[where]}", "remove it", key)
        return
    if one.switch("autoport") is False and not one.has("port") and not one.has("tls_port"):
        yield one.fault("is missing: autoport is off", "port: 5901, or remove autoport", "port")
    if one.switch("autoport") and one.has("port"):
        yield one.fault("contradicts autoport", "remove one of the two", "port")
    networked = listeners or one.has("port") or one.has("tls_port")
    if kind == "spice" and networked and (one.switch("gl") or (one.has("rendernode") and not one.has("gl"))):
        hint = "listen: {type: socket} and no port; or without OpenGL"
        yield one.fault("needs OpenGL, which SPICE passes over no network", hint, "gl")


def _kind(listener: Tree) -> str | None:
    """The listener's type: as written, or by the field that is given."""
    return listener.text("type") or next((key for key in LISTENERS if listener.has(key)), None)


def _listener_rules(listener: Tree) -> Faults:
    given = [key for key in LISTENERS if listener.has(key)]
    if _kind(listener) is None and not listener.has("type"):
        yield listener.fault("has no type", "type: address, socket, network or none")
    if len(given) > 1:
        yield listener.fault(f"contradicts {given[0]}", "remove one of the two", given[1])
    address = listener.text("address")
    if address in {*LISTENERS, "none"}:  # a lone word is an address
        yield listener.fault(f"is {address}, which is a type and no address", f"listen: {{type: {address}}}", "address")
    if _kind(listener) == "network" and not listener.has("network"):
        yield listener.fault("is missing: type network needs it", "network: default", "network")
    yield from portable(listener, "socket")


def _settle(found: Sequence[Tree], draft: Draft) -> Sequence[Tree]:
    """Complete each display. Add a SPICE server when a device goes through SPICE and there is none."""
    done = list(found)
    if draft.spice is not None and not any(one.text("type") == "spice" for one in found):
        draft.spice_for, word = draft.spice
        draft.notes.append(
            f"{draft.spice_for[-2]}[{draft.spice_for[-1]}] is {word}: SPICE graphics added, on {LOOPBACK}"
        )
        done.append(Tree({"type": "spice"}, (*ROOT, "devices", "graphics", len(found))))
    return [_completed(one) for one in done]


def _completed(one: Tree) -> Tree:
    kind = one.text("type")
    if one.text("rendernode") and kind in {"spice", "dbus"}:
        one = one.over(gl="yes")
    if kind not in _SERVERS:
        return one
    listeners = [_listener(listener) for listener in one.items("listen")]
    if not listeners:
        local = one.text("gl") == "yes"  # SPICE has no OpenGL over a network
        listeners = [Tree({"type": "none"} if local else {"type": "address", "address": LOOPBACK})]
    one = one.put(listen=listeners)
    if listeners[0].text("type") in {"socket", "none"}:
        return one.put(port=None, autoport=None, tls_port=None)
    return one.over(autoport="no" if one.text("port") or one.text("tls_port") else "yes")


def _listener(one: Tree) -> Tree:
    kind = _kind(one)
    return one.over(type=kind, address=LOOPBACK if kind == "address" else None)


def _lacks(found: Sequence[Tree], host: HostFeatures) -> Iterator[InputError]:
    known = host.known.get("devices/graphics/type", frozenset())
    for one in found:
        kind = one.text("type") or ""
        if kind not in known:
            others = ", ".join(sorted(known)) or "none"
            hint = package_hint(_PACKAGES[kind]) if kind in _PACKAGES else f"choose one of {others}, or no graphics"
            yield lacking((*one.place, "type"), f"{kind}: QEMU here has no {kind.upper()}", hint)


def _sockets(one: Tree) -> Iterator[tuple[Place, str]]:
    for listener in one.items("listen"):
        if path := listener.text("socket"):
            yield (*one.place, "listen"), path


GRAPHICS = Device(
    "graphics",
    ROWS,
    _rules,
    settle=_settle,
    lacks=_lacks,
    qemu=words,
    sockets=_sockets,
    display=True,
    leaves=(SPICE_SOCKET, VNC_SOCKET),
    same=("@type",),
)
