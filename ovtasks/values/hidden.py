"""Values that decide like any other and are never shown or kept: passwords, tokens, files with keys in them.

A step's inputs hold them as :class:`Hidden`. What is written down is a digest that is salted and slow on purpose: a
plain sha256 of a short password is found by trying, and receipts travel to where others read them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TypeAlias

from ovtasks.values.jsonvalue import Json, canonical

SEALED = "secret:scrypt:"
"""How the digest of a hidden value begins."""
SHOWN = "(secret)"
COST = {"n": 1 << 12, "r": 8, "p": 1}
"""scrypt's work for one guess (RFC 7914): some 10 ms and 4 MiB. Part of what ``SEALED`` means."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """One such value; ``public`` is what may be said of it (a URL without its password).

    Its representation does not show it: tracebacks and logs hold representations.
    """

    value: Json = field(repr=False)
    public: str = ""

    def shown(self, secret: str) -> Json:
        """With ``secret`` in its place."""
        return {"public": self.public, "secret": secret} if self.public else secret


Input: TypeAlias = Json | Hidden | Sequence["Input"] | Mapping[str, "Input"]
"""JSON with hidden values in it."""


def reveal(value: Input) -> Json:
    """The values themselves, to compare; not to write down."""
    if isinstance(value, Hidden):
        return value.value
    if isinstance(value, Mapping):
        return {key: reveal(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [reveal(item) for item in value]
    return value


def reveal_all(values: Mapping[str, Input]) -> dict[str, Json]:
    """:func:`reveal` for a step's inputs."""
    return {key: reveal(value) for key, value in values.items()}


def seal(value: Input, salt: str) -> Json:
    """What may be written down: each hidden value as its digest, which is equal for equal values and salts."""
    if isinstance(value, Hidden):
        return value.shown(slow_digest(canonical(value.value), salt))
    if isinstance(value, Mapping):
        return {key: seal(item, salt) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [seal(item, salt) for item in value]
    return value


def seal_all(values: Mapping[str, Input], salt: str) -> dict[str, Json]:
    """:func:`seal` for a step's inputs."""
    return {key: seal(value, salt) for key, value in values.items()}


def veil(value: Input) -> Json:
    """What may be shown: neither hidden values nor digests of them."""
    if isinstance(value, Hidden):
        return value.shown(SHOWN)
    if is_sealed(value):
        return SHOWN
    if isinstance(value, Mapping):
        return {key: veil(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [veil(item) for item in value]
    return value


def veil_all(values: Mapping[str, Input]) -> dict[str, Json]:
    """:func:`veil` for a step's inputs."""
    return {key: veil(value) for key, value in values.items()}


def is_sealed(value: Input) -> bool:
    """Whether this is the digest of a hidden value."""
    return isinstance(value, str) and value.startswith(SEALED)


def hides(value: Input) -> bool:
    """Whether anything in ``value`` is hidden, or the digest of what is."""
    if isinstance(value, Mapping):
        return any(hides(item) for item in value.values())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return any(hides(item) for item in value)
    return isinstance(value, Hidden) or is_sealed(value)


@cache
def slow_digest(text: str, salt: str) -> str:
    """``secret:scrypt:<hex>``: the same for the same text and salt, and slow to guess."""
    return SEALED + hashlib.scrypt(text.encode(), salt=salt.encode(), dklen=32, maxmem=64 << 20, **COST).hex()
