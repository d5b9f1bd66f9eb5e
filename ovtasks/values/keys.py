"""The keys of a keyboard by name, and text as the keys of a US keyboard.

Source of the numbers: Linux's ``linux/input-event-codes.h``, and the keymap database of QEMU and libvirt
(``keycodemapdb``, column "AT set1", with 0x80 in the place of its prefix 0xe0), which QEMU's QKeyCode names follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from ovtasks.errors import InputError
from ovtasks.values.words import near


@dataclass(frozen=True)
class KeyCode:
    """One key. ``linux`` is its number in Linux; ``xt`` its scan code of set 1, with 0x80 for the prefix 0xe0."""

    linux: int
    xt: int


_ROWS = (
    (1, "esc escape"),
    *((2 + n, digit) for n, digit in enumerate("1234567890")),
    *((12, "minus"), (13, "equal"), (14, "backspace"), (15, "tab")),
    *((16 + n, letter) for n, letter in enumerate("qwertyuiop")),
    *((26, "leftbrace bracket_left"), (27, "rightbrace bracket_right"), (28, "enter ret return")),
    (29, "leftctrl ctrl control"),
    *((30 + n, letter) for n, letter in enumerate("asdfghjkl")),
    *((39, "semicolon"), (40, "apostrophe"), (41, "grave grave_accent"), (42, "leftshift shift"), (43, "backslash")),
    *((44 + n, letter) for n, letter in enumerate("zxcvbnm")),
    *((51, "comma"), (52, "dot period"), (53, "slash"), (54, "rightshift shift_r"), (55, "kpasterisk kp_multiply")),
    *((56, "leftalt alt"), (57, "space spc"), (58, "capslock caps_lock")),
    *((59 + n, f"f{n + 1}") for n in range(10)),
    *((69, "numlock num_lock"), (70, "scrolllock scroll_lock"), (71, "kp7 kp_7"), (72, "kp8 kp_8"), (73, "kp9 kp_9")),
    *((74, "kpminus kp_subtract"), (75, "kp4 kp_4"), (76, "kp5 kp_5"), (77, "kp6 kp_6"), (78, "kpplus kp_add")),
    *((79, "kp1 kp_1"), (80, "kp2 kp_2"), (81, "kp3 kp_3"), (82, "kp0 kp_0"), (83, "kpdot kp_decimal")),
    *((86, "102nd less"), (87, "f11"), (88, "f12")),
)
"""Linux's number and the names, for keys that have the same number in both."""
_PREFIXED = (
    *((96, 0x1C, "kpenter kp_enter"), (97, 0x1D, "rightctrl ctrl_r"), (98, 0x35, "kpslash kp_divide")),
    *((99, 0x37, "sysrq print"), (100, 0x38, "rightalt alt_r altgr"), (102, 0x47, "home"), (103, 0x48, "up")),
    *((104, 0x49, "pageup pgup"), (105, 0x4B, "left"), (106, 0x4D, "right"), (107, 0x4F, "end"), (108, 0x50, "down")),
    *((109, 0x51, "pagedown pgdn"), (110, 0x52, "insert"), (111, 0x53, "delete del")),
    *((125, 0x5B, "leftmeta meta_l super win"), (126, 0x5C, "rightmeta meta_r"), (127, 0x5D, "compose menu")),
)
"""Linux's number, the scan code after its prefix, and the names."""
KEYS = {name: KeyCode(number, number) for number, names in _ROWS for name in names.split()}
KEYS |= {name: KeyCode(number, code | 0x80) for number, code, names in _PREFIXED for name in names.split()}
"""Every name of a key, in lower case."""
_PLAIN = {"\n": "enter", "\t": "tab", " ": "space", "-": "minus", "=": "equal", "[": "leftbrace", "]": "rightbrace"}
_PLAIN |= {";": "semicolon", "'": "apostrophe", "`": "grave", "\\": "backslash", ",": "comma", ".": "dot", "/": "slash"}
_SHIFTED = dict(zip('!@#$%^&*()_+{}:"~|<>?', "1234567890-=[];'`\\,./", strict=True))


def parse_chord(words: Sequence[str]) -> tuple[KeyCode, ...]:
    """The keys that are pressed together: ``["ctrl+alt", "delete"]``, ``["KEY_LEFTCTRL", "KEY_C"]``.

    :raises InputError: a name is unknown.
    """
    names = [name for word in words for name in word.replace("+", " ").replace("-", " ").split()]
    if not names:
        raise InputError("no key is named", hint="name keys as in enter, f2, ctrl+alt+delete")
    return tuple(_key(name) for name in names)


def _key(name: str) -> KeyCode:
    plain = name.lower().removeprefix("key_")
    if (found := KEYS.get(plain)) is None:
        guess = near(plain, KEYS)
        hint = f"did you mean '{guess}'?" if guess else "names are as in a, f2, enter, ctrl, KEY_LEFTCTRL"
        raise InputError(f"no key is named {name!r}", hint=hint)
    return found


def chords(text: str) -> list[tuple[KeyCode, ...]]:
    """What is pressed one after another to type ``text`` on a US keyboard.

    :raises InputError: a character is on no key of it.
    """
    return [_chord(character) for character in text]


@cache
def _chord(character: str) -> tuple[KeyCode, ...]:
    shifted = character in _SHIFTED or (character.isascii() and character.isupper())
    base = _SHIFTED.get(character, character.lower() if character.isascii() else character)
    key = KEYS.get(_PLAIN.get(base, base if base.isalnum() and len(base) == 1 else ""))
    if key is None:
        hint = "the guest would see other keys; letters of ASCII, digits and signs can be typed"
        raise InputError(f"{character!r} is on no key of a US keyboard", hint=hint)
    return (KEYS["shift"], key) if shifted else (key,)
