"""Variables of a containerfile: ``$NAME``, ``${NAME}``, ``${NAME:-word}``, ``${NAME:+word}``, in and between quotes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ovtasks.containers.lines import Instruction, unquoted, words

Lookup = Callable[[str], str | None]
"""A variable's value; None: it has none.

:raises Unknown: only the builder knows.
"""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OUTSIDE = frozenset({"PATH", "HOME", "HOSTNAME"}) | {
    form
    for name in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    for form in (name, name.upper())
}
"""What the builder or its machine may set without a word in the containerfile."""


class Unknown(Exception):
    """A value that only the builder knows."""


@dataclass
class Values:
    """The variables of one stage while its instructions are read.

    ``open``: names that are not here may be set by an image that it begins from. ``top`` are the arguments before the
    first FROM, ``given`` those of the command line.
    """

    top: Mapping[str, str]
    given: Mapping[str, str]
    platform: Mapping[str, str]
    env: dict[str, str | None] = field(default_factory=dict)
    arguments: dict[str, str | None] = field(default_factory=dict)
    open: bool = False

    def take(self, one: Instruction) -> None:
        """Follow an ENV or ARG."""
        if one.verb == "ENV":
            self.env |= dict(self._pairs(one.rest))
        elif one.verb == "ARG":
            for word in words(one.rest):
                word = unquoted(word) if word[0] in "\"'" else word  # ARG "NAME=value"
                name, has_default, default = word.partition("=")
                self.arguments[name] = self._argument(name, default if has_default else None)

    def _argument(self, name: str, default: str | None) -> str | None:
        if name in self.given:
            return self.given[name]
        if default is not None:
            return self.filled(default, self.lookup)
        return self.top.get(name, self.platform.get(name))

    def _pairs(self, rest: str) -> list[tuple[str, str | None]]:
        found = words(rest)
        if found and "=" not in found[0]:  # ENV NAME all the rest
            name, _, value = rest.partition(" ")
            return [(name, self.filled(value.strip(), self.lookup))]
        return [
            (name, self.filled(value, self.lookup))
            for name, equals, value in (w.partition("=") for w in found)
            if equals
        ]

    def lookup(self, name: str) -> str | None:
        """As most instructions see it: ENV wins over ARG."""
        if name in self.env:
            value = self.env[name]
            if value is None:
                raise Unknown(name)
            return value
        if (value := self.arguments.get(name)) is not None:
            return value
        if self.open or name in OUTSIDE:
            raise Unknown(name)
        return None

    def argument(self, name: str) -> str | None:
        """As ``--from`` sees it: declared arguments alone."""
        return self.arguments.get(name)

    def filled(self, text: str, lookup: Lookup) -> str | None:
        """``text`` with its variables replaced and its quotes taken off; None: only the builder knows."""
        try:
            return fill(text, lookup)
        except Unknown:
            return None


def fill(text: str, lookup: Lookup) -> str:
    """``text`` with its variables replaced and its quotes taken off.

    :raises Unknown: a value or a form that only the builder knows.
    """
    return _Filler(text, lookup).run()


class _Filler:
    def __init__(self, text: str, lookup: Lookup) -> None:
        self.text = text
        self.lookup = lookup
        self.at = 0

    def run(self, end: str = "") -> str:
        """All up to ``end``, which is left behind."""
        made: list[str] = []
        double = False
        while self.at < len(self.text):
            char = self.text[self.at]
            self.at += 1
            if char == end and not double:
                return "".join(made)
            if char == "\\":
                following = self.text[self.at : self.at + 1]
                keeps = double and following not in {'"', "$", "\\"}
                made.append(f"\\{following}" if keeps else following)
                self.at += 1
            elif char == '"':
                double = not double
            elif char == "'" and not double:
                close = self.text.find("'", self.at)
                close = len(self.text) if close < 0 else close
                made.append(self.text[self.at : close])
                self.at = close + 1
            elif char == "$":
                made.append(self.variable())
            else:
                made.append(char)
        if end:
            raise Unknown(self.text)  # it is not closed: the builder says so
        return "".join(made)

    def variable(self) -> str:
        braces = self.text[self.at : self.at + 1] == "{"
        self.at += braces
        found = _NAME.match(self.text, self.at)
        if found is None:
            if braces:
                raise Unknown(self.text)
            return "$"
        self.at = found.end()
        if not braces:
            return self.lookup(found[0]) or ""
        rest = self.text[self.at :]
        sign = next((sign for sign in (":-", ":+", "-", "+", "}") if rest.startswith(sign)), None)
        if sign is None:
            raise Unknown(self.text)  # ${NAME#…}, ${NAME/…} and others
        self.at += len(sign)
        if sign == "}":
            return self.lookup(found[0]) or ""
        start = self.at
        value = self.lookup(found[0])
        has = bool(value) if ":" in sign else value is not None
        takes_word = has if "+" in sign else not has
        word = self.run("}") if takes_word else self.skip(start)
        return word if takes_word else "" if "+" in sign else value or ""

    def skip(self, start: int) -> str:
        """Pass a word that is not taken; what it names need not be known."""
        lookup, self.lookup = self.lookup, lambda name: ""
        self.at = start
        self.run("}")
        self.lookup = lookup
        return ""
