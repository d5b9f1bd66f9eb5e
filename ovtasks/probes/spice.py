"""A session with a VM's SPICE server: what it tells about the display and the pointer, and input by its channels."""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ovtasks.backends.contract import DisplayPlace
from ovtasks.errors import InputError, OvError
from ovtasks.probes.picture import Picture
from ovtasks.probes.spice_link import SpiceChannel, SpiceLink, open_channel
from ovtasks.values.keys import KeyCode

BUTTONS = {"left": 1, "middle": 2, "right": 3, "up": 4, "down": 5}
"""The protocol's numbers of the buttons; the wheel is two of them."""
_MASKS = {1: 1, 2: 2, 3: 4, 4: 8, 5: 16}
_MAIN_INIT, _MAIN_CHANNELS, _MAIN_MODE = 103, 104, 105
_ATTACH, _MODE_REQUEST = 104, 105
_CLIENT_MODE = 2
_DISPLAY_INIT, _SURFACE = 101, 314
_CURSOR_INIT = 101
_INPUTS_INIT, _KEY_DOWN, _KEY_UP = 101, 101, 102
_POSITION, _PRESS, _RELEASE = 112, 113, 114
_ALPHA = 0


@dataclass(frozen=True)
class SpiceSession:
    """What the main channel says at its begin. ``modes`` and ``mode``: 1 the server moves the pointer, 2 the client."""

    place: DisplayPlace
    link: SpiceLink
    number: int
    modes: int
    mode: int
    agent: bool
    channels: tuple[int, ...]
    until: float

    def channel(self, kind: SpiceChannel) -> contextlib.AbstractContextManager[SpiceLink]:
        """A further channel of this session.

        :raises OvError: the server has none.
        """
        if kind not in self.channels:
            raise OvError(f"the SPICE server at {self.place} has no channel for {kind.name.lower()}", hint="ov vm xml")
        return open_channel(self.place, kind, self.number, self.until)


@contextlib.contextmanager
def session(place: DisplayPlace, seconds: float) -> Iterator[SpiceSession]:
    """Begin a session that may last ``seconds``.

    :raises OvError: the server cannot be reached, or refuses.
    """
    until = time.monotonic() + seconds
    with open_channel(place, SpiceChannel.MAIN, 0, until) as link:
        number, _, modes, mode, agent = link.fields("<IIIII", link.wait(_MAIN_INIT))
        link.send(_ATTACH)
        listed = link.wait(_MAIN_CHANNELS)
        (count,) = link.fields("<I", listed)
        channels = link.fields(f"<{2 * min(count, len(listed))}B", listed, 4)[::2]
        yield SpiceSession(place, link, number, modes, mode, bool(agent), channels, until)


def display_size(one: SpiceSession) -> tuple[int, int]:
    """Width and height of the primary surface, as the display channel says."""
    with one.channel(SpiceChannel.DISPLAY) as link:
        link.send(_DISPLAY_INIT, struct.pack("<BqBi", 1, 1 << 20, 1, 1 << 20))
        while True:
            _, width, height, _, flags = link.fields("<IIIII", link.wait(_SURFACE))
            if flags & 1:
                return width, height


@dataclass(frozen=True)
class Pointer:
    """The pointer. ``image`` is None if it has none, or one without alpha; ``hot`` is its hot spot."""

    x: int
    y: int
    visible: bool
    size: tuple[int, int] = (0, 0)
    hot: tuple[int, int] = (0, 0)
    image: Picture | None = None


def pointer(one: SpiceSession) -> Pointer:
    """The pointer as the cursor channel says at its begin."""
    with one.channel(SpiceChannel.CURSOR) as link:
        data = link.wait(_CURSOR_INIT)
        x, y, _, _, visible, flags = link.fields("<hhHHBH", data)
    shape = data[11:]
    if flags & 1 or len(shape) < 17:
        return Pointer(x, y, bool(visible))
    kind, width, height, hot_x, hot_y = struct.unpack_from("<BHHHH", shape, 8)
    pixels = shape[17 : 17 + width * height * 4]
    image = _picture(width, height, pixels) if kind == _ALPHA and len(pixels) == width * height * 4 else None
    return Pointer(x, y, bool(visible), (width, height), (hot_x, hot_y), image)


def _picture(width: int, height: int, pixels: bytes) -> Picture | None:
    """Blue, green, red and alpha in another order."""
    done = bytearray(pixels)
    done[0::4], done[2::4] = pixels[2::4], pixels[0::4]
    return Picture(width, height, bytes(done), 4) if width and height else None


def press_keys(one: SpiceSession, chords: Sequence[Sequence[KeyCode]], hold: float = 0.05) -> None:
    """Press the keys of each chord together, one chord after another, each for ``hold`` seconds."""
    with one.channel(SpiceChannel.INPUTS) as link:
        link.wait(_INPUTS_INIT)
        for chord in chords:
            for key in chord:
                link.send(_KEY_DOWN, _code(key, up=False))
            time.sleep(hold)
            for key in reversed(chord):
                link.send(_KEY_UP, _code(key, up=True))
            time.sleep(hold)


def _code(key: KeyCode, *, up: bool) -> bytes:
    """The bytes that the keyboard would send: a prefix, and the highest bit when a key goes up."""
    code = key.xt & 0x7F | (0x80 if up else 0)
    return struct.pack("<I", 0xE0 | code << 8 if key.xt & 0x80 else code)


def move(one: SpiceSession, x: int, y: int, button: str | None = None) -> None:
    """Move the pointer to a place of the display, and click there.

    :raises InputError: there is no such button. :raises OvError: the guest takes movements only, no places.
    """
    if button is not None and button not in BUTTONS:
        raise InputError(f"no button is named {button!r}", hint=f"--button {', '.join(BUTTONS)}")
    if not one.modes & _CLIENT_MODE:
        hint = "a tablet takes places: libvirt.devices.input: [{type: tablet, bus: usb}]; or spice-vdagent in the guest"
        raise OvError("the guest's mouse takes movements only, no places", hint=hint)
    if one.mode != _CLIENT_MODE:
        one.link.send(_MODE_REQUEST, struct.pack("<H", _CLIENT_MODE))
        one.link.wait(_MAIN_MODE)
    with one.channel(SpiceChannel.INPUTS) as link:
        link.wait(_INPUTS_INIT)
        link.send(_POSITION, struct.pack("<IIHB", x, y, 0, 0))
        if button is not None:
            number = BUTTONS[button]
            time.sleep(0.05)
            link.send(_PRESS, struct.pack("<BH", number, _MASKS[number]))
            time.sleep(0.05)
            link.send(_RELEASE, struct.pack("<BH", number, 0))
        time.sleep(0.05)
