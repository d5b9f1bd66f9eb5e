"""Pictures, keys: what needs no VM."""

from __future__ import annotations

import struct
import zlib

import pytest

from ovtasks.errors import InputError, OvError
from ovtasks.probes.picture import Picture, read_picture
from ovtasks.values.keys import KEYS, chords, parse_chord

PIXELS = bytes(range(2 * 3 * 3))


def test_a_ppm_becomes_a_png_with_the_same_pixels() -> None:
    found = read_picture(b"P6\n# by a test\n2 3\n255\n" + PIXELS)
    assert (found.width, found.height, found.pixels, found.uniform) == (2, 3, PIXELS, False)
    png = found.png()
    assert png[12:24] == b"IHDR" + struct.pack(">II", 2, 3)
    assert read_picture(png) == found


@pytest.mark.parametrize("kind", range(5))
def test_every_filter_of_png_is_undone(kind: int) -> None:
    first, second = PIXELS[:6], bytes([9, 200, 7, 3, 250, 1])
    row = bytearray()
    for n, value in enumerate(second):
        left, corner = (second[n - 3], first[n - 3]) if n >= 3 else (0, 0)
        above = first[n]
        paeth = min((left, above, corner), key=lambda one: abs(left + above - corner - one))
        row.append((value - (0, left, above, (left + above) // 2, paeth)[kind]) & 0xFF)
    plain = Picture(2, 2, first + second).png()
    packed = zlib.compress(b"\0" + first + bytes([kind]) + bytes(row))
    body = struct.pack(">I", len(packed)) + b"IDAT" + packed + struct.pack(">I", zlib.crc32(b"IDAT" + packed))
    assert read_picture(plain[:33] + body).pixels == first + second


def test_one_colour_is_uniform_and_a_cut_picture_is_an_error() -> None:
    grey = Picture(4, 4, b"\x10\x20\x30" * 16)
    assert grey.uniform and read_picture(grey.png()).uniform
    for data in (b"", b"P6 4 4 255\n123", grey.png()[:50], b"GIF89a"):
        with pytest.raises(OvError, match="not a picture"):
            read_picture(data)


def test_chords_take_every_spelling() -> None:
    expected = (KEYS["ctrl"], KEYS["alt"], KEYS["delete"])
    for words in (["ctrl+alt+delete"], ["ctrl-alt-del"], ["KEY_LEFTCTRL", "KEY_LEFTALT", "KEY_DELETE"]):
        assert parse_chord(words) == expected
    assert (KEYS["delete"].linux, KEYS["delete"].xt) == (111, 0xD3)
    with pytest.raises(InputError) as caught:
        parse_chord(["entr"])
    assert caught.value.hint == "did you mean 'enter'?"


def test_text_is_typed_on_a_us_keyboard() -> None:
    shift = KEYS["shift"]
    assert chords("aA1!\n") == [(KEYS["a"],), (shift, KEYS["a"]), (KEYS["1"],), (shift, KEYS["1"]), (KEYS["enter"],)]
    printable = [chr(code) for code in range(0x20, 0x7F)]
    assert len({tuple(chord) for chord in chords("".join(printable))}) == len(printable)
    for text in ("ä", "\x00", "€", "٣"):
        with pytest.raises(InputError, match="no key of a US keyboard"):
            chords(text)
