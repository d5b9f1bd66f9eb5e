"""Kinds of values: how they are written in YAML, how in XML, and how an editor checks them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from ovtasks.errors import InputError
from ovtasks.values.jsonvalue import Json
from ovtasks.values.sizes import UNITS, parse_size


@dataclass(frozen=True)
class Kind:
    """``parse`` gives the text for XML, or None for a value that cannot be. ``words`` say what is allowed.

    ``schema`` is its JSON Schema. ``samples`` are values that can be, each kind of spelling once; ``wrong`` some that
    cannot. ``path``: a path of the host, which may hold placeholders.
    """

    words: str
    schema: Mapping[str, Json]
    parse: Callable[[Json], str | None]
    samples: tuple[Json, ...]
    wrong: tuple[Json, ...] = ()
    values: tuple[str, ...] = ()
    path: bool = False
    other: Mapping[str, str] = field(default_factory=dict)


_TRUE = frozenset({"true", "yes", "on"})
_FALSE = frozenset({"false", "no", "off"})
_SWITCH = "^([Oo][Nn]|[Oo][Ff][Ff]|[Yy][Ee][Ss]|[Nn][Oo]|[Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])$"


def switch(yes: str, no: str) -> Kind:
    """A truth value; libvirt spells it ``yes`` and ``no`` here, ``on`` and ``off`` there. In YAML all are taken."""

    def parse(value: Json) -> str | None:
        word = str(value).lower() if isinstance(value, bool | str) else ""
        return yes if word in _TRUE else no if word in _FALSE else None

    words = f"{yes} or {no}"
    schema: dict[str, Json] = {
        "type": ["boolean", "string"],
        "pattern": _SWITCH,
        "patternErrorMessage": f"is neither {yes} nor {no}",
    }
    return Kind(words, schema, parse, (True, False, yes, no), ("perhaps", 2, []), (yes, no))


def one_of(*values: str, other: Mapping[str, str] | None = None) -> Kind:
    """One of some words; ``other`` are more spellings of them."""
    spellings = {**{value: value for value in values}, **(other or {})}
    numbers = {float(word): word for word in spellings if _DECIMAL.fullmatch(word)}

    def parse(value: Json) -> str | None:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return numbers.get(float(value))
        return spellings.get(value) if isinstance(value, str) else None

    plain: list[Json] = [int(word) if word.isdigit() else float(word) for word in numbers.values()]
    enum: list[Json] = [*spellings, *plain]
    return Kind(
        f"one of {', '.join(spellings)}",
        {"enum": enum} if numbers else {"type": "string", "enum": enum},
        parse,
        tuple(enum),
        ("no-such-value", {}),
        tuple(dict.fromkeys(values)),
        other=other or {},
    )


_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)


def number(least: int = 0, most: int | None = None, what: str = "") -> Kind:
    """A whole number, also in quotes; ``what`` says of what."""

    def parse(value: Json) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int | str) or not _INTEGER.fullmatch(str(value)):
            return None
        found = int(value)
        return str(found) if found >= least and (most is None or found <= most) else None

    more = f" ({what})" if what else ""
    words = f"a whole number from {least}" + (f" to {most}" if most is not None else "") + more
    schema: dict[str, Json] = {"type": ["integer", "string"], "minimum": least}
    if most is not None:
        schema["maximum"] = most
    schema |= {"pattern": _digits(least), "patternErrorMessage": f"is not a whole number{more}"}
    wrong: tuple[Json, ...] = ("many", least - 1, True, *(() if most is None else (most + 1,)))
    return Kind(words, schema, parse, (least, str(least + 1), *(() if most is None else (most,))), wrong)


_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})", re.ASCII)


def _digits(least: int) -> str:
    return "^(0|[1-9][0-9]{0,17})$" if least >= 0 else "^(0|-?[1-9][0-9]{0,17})$"


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Compiled when it is first needed: most fields are in no spec. ``$`` is the very end, as in JSON Schema."""
    return re.compile(pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern, re.ASCII)


def text(
    pattern: str = ".",
    words: str = "a text",
    problem: str = "must not be empty",
    samples: tuple[str, ...] = ("some-name",),
    wrong: tuple[Json, ...] = ("", []),
) -> Kind:
    """A text of a certain form; ``pattern`` is found anywhere in it."""

    def parse(value: Json) -> str | None:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return None
        return str(value) if _compiled(pattern).search(str(value)) else None

    schema: dict[str, Json] = {"type": "string", "pattern": pattern, "patternErrorMessage": problem}
    return Kind(words, schema, parse, samples, wrong)


def size(unit: str, samples: tuple[Json, ...] = ("1G", 2048, "4 MiB")) -> Kind:
    """A size, which libvirt counts in ``unit`` (K, M); a number without a unit counts in it, too."""
    factor = UNITS[unit]

    def parse(value: Json) -> str | None:
        if not isinstance(value, str | int) or isinstance(value, bool):
            return None
        try:
            found = parse_size(value, bare=factor)
        except InputError:
            return None
        return str(found // factor) if found % factor == 0 else None

    words = f"a size such as 2G, 512M; a number without a unit counts in {unit}iB"
    problem = f"is no size in whole {unit}iB: write 2G or 512M; a number without a unit counts in {unit}iB"
    units = "KMGTP"["KMGTP".index(unit) :]
    schema: dict[str, Json] = {
        "type": ["integer", "string"],
        "minimum": 1,
        "pattern": f"^[ \\t]*0*[1-9][0-9]{{0,9}}[ \\t]*([{units}{units.lower()}]([Ii]?[Bb])?)?[ \\t]*$",
        "patternErrorMessage": problem,
        "format": "size",
    }
    return Kind(words, schema, parse, samples, ("much", 0, "-1G", [], True))


def address(digits: int, most: int, what: str, pattern: str) -> Kind:
    """A part of a bus address: hexadecimal with 0x, else decimal; libvirt's own spelling has ``digits`` digits.

    ``pattern`` matches the decimal spelling and, after ``0x``, is left to ``digits``.
    """
    whole = f"^((0[xX][0-9a-fA-F]{{1,4}})|({pattern}))$"

    def parse(value: Json) -> str | None:
        word = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
        if not _compiled(whole).search(word):
            return None
        found = int(word, 16) if word[:2] in {"0x", "0X"} else int(word)
        return f"0x{found:0{digits}x}" if found <= most else None

    words = f"{what}: 0x0 to {hex(most)}, or decimal"
    head = {0x1F: "0*[01]?[0-9a-fA-F]", 7: "0*[0-7]"}.get(most, f"[0-9a-fA-F]{{1,{len(hex(most)) - 2}}}")
    schema: dict[str, Json] = {
        "type": ["integer", "string"],
        "minimum": 0,
        "maximum": most,
        "pattern": f"^(0[xX]{head}|{pattern})$",
        "patternErrorMessage": f"is no {what}: 0x0 to {hex(most)}, or decimal",
    }
    return Kind(words, schema, parse, ("0x0", hex(most), 1), ("x", "0xfffff", -1))


def _path() -> Kind:
    begins = r"^(/|\$\{vm\.(dir|sockets|project)\}|\{\{ *\.VmStateDir *\}\})[^\x00-\x1f]*$"
    kind = text(
        begins,
        "an absolute path, or one that begins with ${vm.dir}, ${vm.sockets} or ${vm.project}",
        "is no absolute path; ${vm.dir}/… is in the instance's folder, ${vm.project}/… in the project's",
        ("/srv/some file", "${vm.dir}/x", "{{.VmStateDir}}/{{.VmName}}"),
        ("relative/path", "", 7),
    )
    return replace(kind, schema={**kind.schema, "format": "path"}, path=True)


PATH = _path()
ON_OFF = switch("on", "off")
YES_NO = switch("yes", "no")
TEXT = text(r"[^\x00-\x1f]", samples=("some-name", "a b & <c>"))
LINE = text(r"^[^\x00-\x1f]+$", "one line of text", "is not one line of text", ("some text",), ("", "a\nb", []))
WORD = text(r"^[A-Za-z0-9_.+-]+$", "letters, digits, . _ + -", "has more than letters, digits, . _ + -", ("name-1.0",))
NUMBER = number()
POSITIVE = number(1)
UINT8 = number(0, 255)
PORT = number(1, 65535, "port")
KIB = size("K")
MIB = size("M", ("1G", 64, "4 MiB"))
_NUMBERS = text(
    r"^([0-9]{1,5}(-[0-9]{1,5})?|\^[0-9]{1,5})(,([0-9]{1,5}(-[0-9]{1,5})?|\^[0-9]{1,5}))*$",
    "a set of numbers such as 0-3,^2",
    "is no set of numbers such as 0-3,^2",
    ("0-3,^2", "0"),
    ("all", "0-", "", "1 2", "0-999999"),
)
CPUSET = replace(_NUMBERS, schema={**_NUMBERS.schema, "format": "numbers"})
UUID = text(
    r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
    "a UUID",
    "is no UUID",
    ("c662edd5-7b2a-4f3c-9a52-3e5c2d0a1f11",),
    ("12", "", []),
)
_MAC = text(
    r"^[0-9a-fA-F][02468aAcCeE](:[0-9a-fA-F]{2}){5}$",
    "a card's address, six pairs of hex digits: 52:54:00:12:34:56",
    "is no card's address: six pairs of hex digits, the first of them even: 52:54:00:12:34:56",
    ("52:54:00:ab:cd:ef",),
    ("53:54:00:ab:cd:ef", "52:54", ""),
)
MAC = replace(_MAC, parse=lambda value: (_MAC.parse(value) or "").lower() or None)  # as the kernel and QEMU show it
HOST_NAME = text(
    r"^([A-Za-z0-9.-]+|[0-9a-fA-F:.]+)$",
    "a host's name or address",
    "is no host's name or address",
    ("127.0.0.1", "::1", "host.example.org"),
    ("a b", "", "x_y"),
)
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
ADDRESS = text(
    rf"^({_OCTET}(\.{_OCTET}){{3}}|[0-9a-fA-F]{{0,4}}(:[0-9a-fA-F]{{0,4}}){{2,7}})$",
    "an IP address",
    "is no IP address",
    ("127.0.0.1", "::1"),
    ("localhost", "300.1.1.1", ""),
)
