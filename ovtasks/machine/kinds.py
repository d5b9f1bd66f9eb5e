"""Kinds of values: how they are written in YAML, how in XML, and how an editor checks them.

A kind states its rule once: a pattern and a range, or a list of words. Its JSON Schema and its parser follow from that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

from ovtasks.errors import InputError
from ovtasks.machine.placeholders import unknown
from ovtasks.machine.tree import TRUTH
from ovtasks.values.jsonvalue import Json
from ovtasks.values.sizes import UNITS, parse_size

Problem = tuple[str, str]
"""A message that follows the field's name, and a hint. The field's description replaces an empty hint."""


@dataclass(frozen=True)
class Kind:
    """``words`` say what is allowed, ``problem`` what is wrong with a text that does not fit ``pattern``.

    ``types`` are the types that YAML may have, by JSON Schema's names. ``convert`` turns a text that fits into XML's.
    ``count`` reads it as a number, which must lie between ``least`` and ``most``. A kind without a pattern has
    ``spellings``: each word → XML's. ``samples`` are valid values, one for each way to write them; ``wrong`` are some
    invalid ones. ``values`` and ``other`` are for the reference: the words, and other spellings of them. ``path``: it
    is a path on the host, which may hold placeholders. ``format`` names a check that no pattern can express.
    """

    words: str
    pattern: str = ""
    problem: str = ""
    types: tuple[str, ...] = ("string",)
    convert: Callable[[str], str | None] = str
    count: Callable[[str], int] | None = None
    least: int | None = None
    most: int | None = None
    spellings: Mapping[str, str] = field(default_factory=dict)
    samples: tuple[Json, ...] = ()
    wrong: tuple[Json, ...] = ()
    values: tuple[str, ...] = ()
    other: Mapping[str, str] = field(default_factory=dict)
    path: bool = False
    format: str = ""

    def parse(self, value: Json) -> str | None:
        """The text for XML; None: the value is invalid."""
        if self.spellings:
            return self._spelled(value)
        text = self._text(value)
        if text is None or not (self._counts(value) or _compiled(self.pattern).search(text)) or not self._fits(text):
            return None
        return self.convert(text)

    def unsaid(self, value: Json) -> Iterator[Problem]:
        """What is wrong with a text although its JSON Schema lets it pass."""
        if not isinstance(value, str) or self.spellings:
            return
        if self.path:
            yield from ((f": {message}", hint) for message, hint in unknown(value))
        if not _compiled(self.pattern).search(value):
            return
        if self.count is not None and not self._fits(value):
            number = self.count(value)
            low = self.least is not None and number < self.least
            yield f" is {value}, but must be at {'least' if low else 'most'} {self.least if low else self.most}", ""
        elif self.format == "size" and (problem := _no_size(value)) is not None:
            yield problem
        elif self.format == "numbers":
            for first, last in _RANGE.findall(value):
                if int(first) > int(last):
                    yield f": {first}-{last} goes down", f"{last}-{first}"

    @cached_property
    def schema(self) -> Mapping[str, Json]:
        """Its JSON Schema (2020-12)."""
        made: dict[str, Json] = {"type": list(self.types) if len(self.types) > 1 else self.types[0]}
        if self.spellings:
            plain: list[Json] = [int(word) if word.isdigit() else float(word) for word in self._numbers.values()]
            return {"enum": [*self.spellings, *plain]} if plain else {**made, "enum": list(self.spellings)}
        limits = {"minimum": self.least, "maximum": self.most}
        made |= {name: limit for name, limit in limits.items() if limit is not None}
        made |= {"pattern": self.pattern, "patternErrorMessage": self.problem}
        return {**made, "format": self.format} if self.format else made

    @cached_property
    def _numbers(self) -> Mapping[float, str]:
        return {float(word): word for word in self.spellings if _DECIMAL.fullmatch(word)}

    def _spelled(self, value: Json) -> str | None:
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = self._numbers.get(float(value))
        return self.spellings.get(value) if isinstance(value, str) else None

    def _text(self, value: Json) -> str | None:
        """The value as it would be written in quotes; None: this kind does not take its type."""
        if isinstance(value, bool):
            return str(value).lower() if "boolean" in self.types else None
        if isinstance(value, str):
            return value
        # YAML reads a version such as 1.0 as a number: take its text
        return str(value) if isinstance(value, int | float) and "boolean" not in self.types else None

    def _counts(self, value: Json) -> bool:
        """Whether it is a whole number and this kind takes one. As in JSON Schema, patterns are for texts only."""
        if "integer" not in self.types or not isinstance(value, int):
            return False
        return self.least is None or value >= self.least

    def _fits(self, text: str) -> bool:
        if self.count is None:
            return True
        number = self.count(text)
        return (self.least is None or number >= self.least) and (self.most is None or number <= self.most)


_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)
_RANGE = re.compile(r"([0-9]{1,5})-([0-9]{1,5})", re.ASCII)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """The pattern, compiled at its first use: most fields are in no spec. ``$`` is the very end, as in JSON Schema."""
    return re.compile(pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern, re.ASCII)


def switch(yes: str, no: str) -> Kind:
    """A truth value that libvirt spells ``yes`` or ``no``: its XML has yes/no or on/off. YAML may have any spelling."""
    any_case = ("".join(f"[{letter.upper()}{letter}]" for letter in word) for word in TRUTH)
    return Kind(
        f"{yes} or {no}",
        f"^({'|'.join(any_case)})$",
        f"is neither {yes} nor {no}",
        ("boolean", "string"),
        convert=lambda text: yes if TRUTH[text.lower()] else no,
        samples=(True, False, yes, no),
        wrong=("perhaps", 2, []),
        values=(yes, no),
    )


def one_of(*values: str, other: Mapping[str, str] | None = None) -> Kind:
    """One of these words; ``other`` maps more spellings to them."""
    spellings = {**{value: value for value in values}, **(other or {})}
    plain = [int(word) if word.isdigit() else float(word) for word in spellings if _DECIMAL.fullmatch(word)]
    return Kind(
        f"one of {', '.join(spellings)}",
        spellings=spellings,
        samples=(*spellings, *plain),
        wrong=("no-such-value", {}),
        values=tuple(dict.fromkeys(values)),
        other=other or {},
    )


def number(least: int = 0, most: int | None = None, what: str = "") -> Kind:
    """A whole number, with or without quotes; ``what`` says what it counts, for messages."""
    more = f" ({what})" if what else ""
    ends = () if most is None else (most,)
    return Kind(
        f"a whole number from {least}" + (f" to {most}" if most is not None else "") + more,
        "^(0|[1-9][0-9]{0,17})$" if least >= 0 else "^(0|-?[1-9][0-9]{0,17})$",
        f"is not a whole number{more}",
        ("integer", "string"),
        count=int,
        least=least,
        most=most,
        samples=(least, str(least + 1), *ends),
        wrong=("many", least - 1, True, *(end + 1 for end in ends)),
    )


def text(
    pattern: str = ".",
    words: str = "a text",
    problem: str = "must not be empty",
    samples: tuple[str, ...] = ("some-name",),
    wrong: tuple[Json, ...] = ("", []),
) -> Kind:
    """A text of a certain form; ``pattern`` may match anywhere in it."""
    return Kind(words, pattern, problem, samples=samples, wrong=wrong)


def size(unit: str, samples: tuple[Json, ...] = ("1G", 2048, "4 MiB")) -> Kind:
    """A size. libvirt counts it in ``unit`` (K, M), and so does a number without a unit."""
    factor = UNITS[unit]
    units = "KMGTP"["KMGTP".index(unit) :]
    said = f"write 2G or 512M; a number without a unit counts in {unit}iB"

    def convert(text: str) -> str | None:
        return None if _no_size(text) else str(parse_size(text, bare=factor) // factor)

    return Kind(
        f"a size such as 2G, 512M; a number without a unit counts in {unit}iB",
        f"^[ \\t]*0*[1-9][0-9]{{0,9}}[ \\t]*([{units}{units.lower()}]([Ii]?[Bb])?)?[ \\t]*$",
        f"is not a size in whole {unit}iB: {said}",
        ("integer", "string"),
        convert=convert,
        least=1,
        samples=samples,
        wrong=("much", 0, "-1G", [], True),
        format="size",
    )


def _no_size(text: str) -> Problem | None:
    try:
        parse_size(text, bare=1)
    except InputError as e:
        return f": {e.message}", e.hint or ""
    return None


def address(digits: int, most: int, what: str, pattern: str) -> Kind:
    """A part of a bus address: hexadecimal with 0x, else decimal; libvirt's own spelling has ``digits`` digits.

    ``pattern`` matches the decimal spelling.
    """
    head = {0x1F: "0*[01]?[0-9a-fA-F]", 7: "0*[0-7]"}.get(most, f"[0-9a-fA-F]{{1,{len(hex(most)) - 2}}}")

    def number_of(text: str) -> int:
        return int(text, 16) if text[:2] in {"0x", "0X"} else int(text)

    return Kind(
        f"{what}: 0x0 to {hex(most)}, or decimal",
        f"^(0[xX]{head}|{pattern})$",
        f"is not a {what}: 0x0 to {hex(most)}, or decimal",
        ("integer", "string"),
        convert=lambda text: f"0x{number_of(text):0{digits}x}",
        count=number_of,
        least=0,
        most=most,
        samples=("0x0", hex(most), 1),
        wrong=("x", "0xfffff", -1),
    )


def _path() -> Kind:
    begins = r"^(/|\$\{vm\.(dir|sockets|project)\}|\{\{ *\.VmStateDir *\}\})[^\x00-\x1f]*$"
    kind = text(
        begins,
        "an absolute path, or one that begins with ${vm.dir}, ${vm.sockets} or ${vm.project}",
        "is not an absolute path; ${vm.dir}/… is in the instance's folder, ${vm.project}/… in the project's",
        ("/srv/some file", "${vm.dir}/x", "{{.VmStateDir}}/{{.VmName}}"),
        ("relative/path", "", 7),
    )
    return replace(kind, format="path", path=True)


PATH = _path()
ON_OFF = switch("on", "off")
YES_NO = switch("yes", "no")
TEXT = text(r"[^\x00-\x1f]", samples=("some-name", "a b & <c>"))
LINE = text(r"^[^\x00-\x1f]+$", "one line of text", "is not one line of text", ("some text",), ("", "a\nb", []))
WORD = text(r"^[A-Za-z0-9_.+-]+$", "letters, digits, . _ + -", "has more than letters, digits, . _ + -", ("name-1.0",))
NUMBER = number()
POSITIVE = number(1)
UINT8 = number(0, 255)
AUDIO_ID = number(1, 255)
"""The number of an audio backend, by which sound cards and displays name it."""
PORT = number(1, 65535, "port")
KIB = size("K")
MIB = size("M", ("1G", 64, "4 MiB"))
_NUMBERS = text(
    r"^([0-9]{1,5}(-[0-9]{1,5})?|\^[0-9]{1,5})(,([0-9]{1,5}(-[0-9]{1,5})?|\^[0-9]{1,5}))*$",
    "a set of numbers such as 0-3,^2",
    "is not a set of numbers such as 0-3,^2",
    ("0-3,^2", "0"),
    ("all", "0-", "", "1 2", "0-999999"),
)
CPUSET = replace(_NUMBERS, format="numbers")
UUID = text(
    r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
    "a UUID",
    "is not a UUID",
    ("c662edd5-7b2a-4f3c-9a52-3e5c2d0a1f11",),
    ("12", "", []),
)
_MAC = text(
    r"^[0-9a-fA-F][02468aAcCeE](:[0-9a-fA-F]{2}){5}$",
    "a card's address, six pairs of hex digits: 52:54:00:12:34:56",
    "is not a MAC address: six pairs of hex digits, the first one even: 52:54:00:12:34:56",
    ("52:54:00:ab:cd:ef",),
    ("53:54:00:ab:cd:ef", "52:54", ""),
)
MAC = replace(_MAC, convert=str.lower)  # as the kernel and QEMU show it
HOST_NAME = text(
    r"^([A-Za-z0-9.-]+|[0-9a-fA-F:.]+)$",
    "a host's name or address",
    "is not a host's name or address",
    ("127.0.0.1", "::1", "host.example.org"),
    ("a b", "", "x_y"),
)
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
ADDRESS = text(
    rf"^({_OCTET}(\.{_OCTET}){{3}}|[0-9a-fA-F]{{0,4}}(:[0-9a-fA-F]{{0,4}}){{2,7}})$",
    "an IP address",
    "is not an IP address",
    ("127.0.0.1", "::1"),
    ("localhost", "300.1.1.1", ""),
)
