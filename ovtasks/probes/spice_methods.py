"""The methods of ``ov eval spice``: by the VM's SPICE server. QEMU ends the session of another viewer for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ovtasks.backends.contract import DisplayPlace
from ovtasks.errors import InputError, OvError
from ovtasks.instance.record import Record
from ovtasks.probes.machine import monitor_of, picture
from ovtasks.probes.method import Argument, Method, MethodRun, MethodValues, Said, duration, whole
from ovtasks.probes.output import save
from ovtasks.probes.spice import SpiceSession, display_size, move, pointer, press_keys, session
from ovtasks.probes.spice_link import SpiceChannel
from ovtasks.values.jsonvalue import Json
from ovtasks.values.keys import chords, parse_chord

_MODES = {1: "server", 2: "client"}
_ADDRESS = re.compile(r"\[?([^\[\]]+)\]?:([0-9]{1,5})")


def place_of(record: Record, values: MethodValues) -> DisplayPlace:
    """Where the server listens: as the options say, else as the VM does.

    :raises OvError: the VM has no SPICE server. :raises InputError: an option is wrong.
    """
    found: DisplayPlace | None
    if values.get("socket"):
        found = DisplayPlace(Path(str(values["socket"])))
    elif address := values.get("address"):
        if (match := _ADDRESS.fullmatch(str(address))) is None or not 0 < int(match[2]) < 65536:
            raise InputError(f"{address!r} is not a HOST:PORT", hint="as in 127.0.0.1:5900")
        found = DisplayPlace(host=match[1], port=int(match[2]))
    else:
        found = next((one for one in monitor_of(record).displays(record.handle) if one.kind == "spice"), None)
    if found is None:
        hint = "libvirt.devices.graphics: [{type: spice}] in vms.yml gives it one"
        raise OvError(f"{record.words} has no SPICE server", hint=hint)
    if found.viewer:
        hint = f"ov vm view {record.words} shows it; ssh -L 5900:127.0.0.1:PORT forwards it: --address 127.0.0.1:5900"
        raise OvError(f"the SPICE server of {record.words} has no address on this host", hint=hint)
    if file := values.get("password_file"):
        try:
            password = Path(str(file)).read_text(encoding="utf-8").rstrip("\n")
        except (OSError, ValueError) as e:
            why = e.strerror if isinstance(e, OSError) else "it is not text in UTF-8"
            raise InputError(f"{file} cannot be read: {why}", hint="name the file with the password") from e
        return replace(found, password=password)
    if (word := values.get("password")) is not None:
        return replace(found, password=str(word))
    return found


def _in_session(work: Callable[[SpiceSession, MethodValues], Said]) -> MethodRun:
    """A method that does ``work`` in a session."""

    def run(record: Record, values: MethodValues) -> Said:
        with session(place_of(record, values), float(str(values["wait"]))) as one:
            return work(one, values)

    return run


def _status(one: SpiceSession, values: MethodValues) -> Said:
    """The display and the inputs are asked, too; what does not answer is told, and is no failure."""
    found: list[str] = [f"spice ok at {one.place}"]
    try:
        width, height = display_size(one)
        found.append(f"display {width}x{height}")
    except OvError as e:
        found.append(f"display not ready: {e.message}")
    try:
        with one.channel(SpiceChannel.INPUTS) as link:
            link.receive()
        found.append("inputs ready")
    except OvError as e:
        found.append(f"inputs not ready: {e.message}")
    try:
        shape = pointer(one)
        seen = "{}x{}".format(*shape.size) if shape.visible and shape.size[0] else "without a shape"
        found.append(f"cursor at {shape.x} {shape.y}, {seen}")
    except OvError as e:
        found.append(f"cursor not ready: {e.message}")
    found.append(f"mouse mode {_MODES.get(one.mode, one.mode)}")
    found.append(f"spice-vdagent {'connected' if one.agent else 'not connected'}")
    return Said(("\n".join(found) + "\n").encode())


def _screenshot(record: Record, values: MethodValues) -> Said:
    """The server is greeted, so that it is known to work; the picture is QEMU's own, of what the display shows."""
    with session(place_of(record, values), float(str(values["wait"]))):
        pass
    return Said(picture(record).png())


def _cursor(one: SpiceSession, values: MethodValues) -> Said:
    found = pointer(one)
    data: dict[str, Json] = {"x": found.x, "y": found.y, "visible": found.visible}
    data |= {"width": found.size[0], "height": found.size[1], "hot_x": found.hot[0], "hot_y": found.hot[1]}
    if (file := values["file"]) is not None:
        if found.image is None:
            raise OvError("the pointer has no image", hint="the guest has not drawn one yet")
        save(Path(str(file)), found.image.png())
    return Said(data=data)


def _click(one: SpiceSession, values: MethodValues) -> Said:
    move(one, int(str(values["x"])), int(str(values["y"])), str(values["button"]))
    return Said(note=f"clicked at {values['x']} {values['y']}")


def _mouse(one: SpiceSession, values: MethodValues) -> Said:
    move(one, int(str(values["x"])), int(str(values["y"])))
    return Said(note=f"moved to {values['x']} {values['y']}")


def _type(one: SpiceSession, values: MethodValues) -> Said:
    press_keys(one, chords(str(values["text"])))
    return Said(note=f"typed {len(str(values['text']))} characters")


def _key(one: SpiceSession, values: MethodValues) -> Said:
    press_keys(one, [parse_chord([str(values["key"])])])
    return Said(note=f"pressed {values['key']}")


_WHERE = (
    Argument("--wait", "seconds for the whole session (5)", 5.0, duration),
    Argument("--socket", "the server's Unix socket; else the VM's own"),
    Argument("--address", "HOST:PORT of the server"),
    Argument("--password-file", "the file with the password of the display"),
    Argument("--password", "the password itself, visible to every user of this host"),
)
_X = Argument("x", "pixels from the left", of=whole, key="x", needed=True)
_Y = Argument("y", "pixels from the top", of=whole, key="y", needed=True)
SPICE = (
    Method("status", "connect, and print what the server has", _in_session(_status), _WHERE),
    Method("screenshot", "connect, and save the display as PNG", _screenshot, _WHERE, picture=True),
    Method(
        "cursor",
        "where the pointer is, and its image as PNG",
        _in_session(_cursor),
        (Argument("file", "a PNG file for its image"), *_WHERE),
    ),
    Method(
        "click",
        "click at a position; the guest needs a tablet",
        _in_session(_click),
        (_X, _Y, Argument("--button", "left, middle, right, up, down", "left", key="button"), *_WHERE),
    ),
    Method("mouse", "move the pointer to a position; the guest needs a tablet", _in_session(_mouse), (_X, _Y, *_WHERE)),
    Method(
        "type",
        "type text on a US keyboard",
        _in_session(_type),
        (Argument("text", "the text", key="text", needed=True), *_WHERE),
    ),
    Method(
        "key",
        "press keys together: ctrl+alt+delete",
        _in_session(_key),
        (Argument("key", "names of keys", key="key", needed=True), *_WHERE),
    ),
)
