"""Variables of a containerfile: ``$NAME``, ``${NAME}``, ``${NAME:-word}``, ``${NAME:+word}``, quoted or not."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ovtasks.containers.lines import Instruction, unquoted, words

Lookup = Callable[[str], str | None]
"""A variable's value; None if it has none.

:raises Unknown: only the builder knows it.
"""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OUTSIDE = frozenset({"PATH", "HOME", "HOSTNAME"}) | {
    form
    for name in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    for form in (name, name.upper())
}
"""Variables that the builder or its machine may set without the containerfile saying so."""


class Unknown(Exception):
    """A value that only the builder knows."""


@dataclass
class Values:
    """The variables of one stage while its instructions are read.

    ``open``: the base image may set names that we do not know. ``top`` holds the arguments before the first FROM,
    ``given`` those of the command line.
    """

    top: Mapping[str, str]
    given: Mapping[str, str]
    platform: Mapping[str, str]
    env: dict[str, str | None] = field(default_factory=dict)
    arguments: dict[str, str | None] = field(default_factory=dict)
    open: bool = False

    def take(self, one: Instruction) -> None:
        """Take over what an ENV or ARG sets."""
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
        if found and "=" not in found[0]:  # ENV NAME value: the rest of the line is the value
            name, _, value = rest.partition(" ")
            return [(name, self.filled(value.strip(), self.lookup))]
        return [
            (name, self.filled(value, self.lookup))
            for name, equals, value in (w.partition("=") for w in found)
            if equals
        ]

    def lookup(self, name: str) -> str | None:
        """The value that most instructions see: ENV wins over ARG."""
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
        """The value that ``--from`` sees: declared arguments only."""
        return self.arguments.get(name)

    def filled(self, text: str, lookup: Lookup) -> str | None:
        """``text`` with its variables replaced and its quotes removed; None if only the builder knows a value."""
        try:
            return fill(text, lookup)
        except Unknown:
            return None


def fill(text: str, lookup: Lookup) -> str:
    """``text`` with its variables replaced and its quotes removed.

    :raises Unknown: only the builder knows a value, or understands a form.
    """
    return _Filler(text, lookup).run()


class _Filler:
    def __init__(self, text: str, lookup: Lookup) -> None:
        self.text = text
        self.lookup = lookup
        self.at = 0

    def run(self, end: str = "") -> str:
        """Everything up to ``end``, which is passed."""
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
            raise Unknown(self.text)  # not closed; the builder reports it
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
        """Pass a word that is not used; its variables need not be known."""
        lookup, self.lookup = self.lookup, lambda name: ""
        self.at = start
        self.run("}")
        self.lookup = lookup
        return ""
