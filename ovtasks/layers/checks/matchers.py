"""Expectations about a text: ``equals``, ``contains``, ``matches``, comparisons of numbers. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ovtasks.errors import InputError
from ovtasks.layers.checks.search import search
from ovtasks.values.jsonvalue import Json, canonical
from ovtasks.values.words import near

_NEGATED = "not_"


@dataclass(frozen=True)
class Matcher:
    """One expectation. ``name`` is a key of :data:`MATCHERS`; ``negated``: it must not hold."""

    name: str
    value: Json
    negated: bool = False

    def __str__(self) -> str:
        value = self.value if isinstance(self.value, str) else canonical(self.value)
        return f"{'not ' if self.negated else ''}{self.name} {value!r}" if value else f"{self.name} nothing"

    def holds(self, text: str) -> bool:
        """Whether ``text`` is as expected. Blanks at its ends do not count for ``equals`` and for numbers.

        :raises TooSlowError: a pattern takes too long on it.
        """
        return MATCHERS[self.name](text, self.value) is not self.negated


def matchers(written: Json, default: str = "equals") -> tuple[Matcher, ...]:
    """The expectations of a value as written: a scalar, a mapping from names to values, or a list of these.

    ``default`` is the name for a bare scalar: ``equals`` for an output, ``contains`` for a field of that name.

    :raises InputError: a name is unknown, or a value does not suit it.
    """
    if isinstance(written, Sequence) and not isinstance(written, str):
        return tuple(found for one in written for found in matchers(one, default))
    if isinstance(written, Mapping):
        return tuple(found for name, value in written.items() for found in _named(name, value))
    return (_checked(Matcher(default, written)),)


def _named(name: str, value: Json) -> tuple[Matcher, ...]:
    """What ``{name: value}`` expects. A list of ``contains`` and ``matches`` is several of them."""
    if name == "not":
        return tuple(Matcher(one.name, one.value, not one.negated) for one in matchers(value))
    plain = _ALIASES.get(name.removeprefix(_NEGATED), name.removeprefix(_NEGATED))
    if plain not in MATCHERS:
        known = [*MATCHERS, *(_NEGATED + one for one in MATCHERS), "not"]
        guess = near(name, known)
        hint = f"did you mean '{guess}'?" if guess else f"known are {', '.join([*MATCHERS, 'not'])}"
        raise InputError(f"no matcher is named {name!r}", hint=hint)
    several = plain in ("contains", "matches") and isinstance(value, Sequence) and not isinstance(value, str)
    values = value if several and isinstance(value, Sequence) else [value]
    return tuple(_checked(Matcher(plain, one, name.startswith(_NEGATED))) for one in values)


def _checked(matcher: Matcher) -> Matcher:
    value = matcher.value
    if isinstance(value, Mapping) or (isinstance(value, Sequence) and not isinstance(value, str)):
        raise InputError(f"{matcher.name} needs one value", hint=f"write {matcher.name}: TEXT")
    if matcher.name == "matches":
        try:
            re.compile(_text(value))
        except (re.error, OverflowError, RecursionError) as e:
            why = "it is nested too deeply" if isinstance(e, RecursionError) else e
            hint = "a backslash before a character takes its meaning away"
            raise InputError(f"{_text(value)[:200]!r} is not a regular expression: {why}", hint=hint) from None
    if matcher.name in _NUMBERS and _number(_text(value)) is None:
        raise InputError(f"{matcher.name} needs a number, not {value!r}", hint=f"write {matcher.name}: 1")
    return matcher


def _text(value: Json) -> str:
    return value if isinstance(value, str) else "" if value is None else canonical(value)


def _number(text: str) -> float | None:
    try:
        return float(text.strip())
    except ValueError:
        return None


def _compare(compare: Callable[[float, float], bool]) -> Callable[[str, Json], bool]:
    """A comparison of numbers; it does not hold for a text that is not a number."""

    def holds(text: str, value: Json) -> bool:
        found, wanted = _number(text), _number(_text(value))
        return found is not None and wanted is not None and compare(found, wanted)

    return holds


def _equals(text: str, value: Json) -> bool:
    return text.strip() == _text(value).strip()


def _contains(text: str, value: Json) -> bool:
    return _text(value) in text


def _matches(text: str, value: Json) -> bool:
    return search(_text(value), text) is not None


_NUMBERS: Mapping[str, Callable[[str, Json], bool]] = {
    "lt": _compare(lambda found, wanted: found < wanted),
    "le": _compare(lambda found, wanted: found <= wanted),
    "gt": _compare(lambda found, wanted: found > wanted),
    "ge": _compare(lambda found, wanted: found >= wanted),
}
MATCHERS: Mapping[str, Callable[[str, Json], bool]] = {
    "equals": _equals,
    "contains": _contains,
    "matches": _matches,
    **_NUMBERS,
}
"""What each name means."""
_ALIASES = {"regex": "matches"}
