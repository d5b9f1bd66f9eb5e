"""Secrets among a step's inputs: passwords, tokens, files that hold keys.

They decide whether a step is fresh, like any other input, but are neither shown nor stored. A step's inputs hold them
as :class:`Hidden`. Receipts hold a digest that is salted and slow on purpose: others may read a receipt, and a plain
sha256 of a short password can be found by trying.
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
MASKED = 6
"""The fewest characters of a secret that is looked for in what programs say."""
COST = {"n": 1 << 12, "r": 8, "p": 1}
"""scrypt's work for one guess (RFC 7914): some 10 ms and 4 MiB. Part of what ``SEALED`` means."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """One secret; ``public`` is the part that may be shown (a URL without its password).

    ``repr()`` leaves the secret out, because tracebacks and logs print it.
    """

    value: Json = field(repr=False)
    public: str = ""

    def shown(self, secret: str) -> Json:
        """The public part, with ``secret`` in place of the rest."""
        return {"public": self.public, "secret": secret} if self.public else secret


Input: TypeAlias = Json | Hidden | Sequence["Input"] | Mapping[str, "Input"]
"""JSON with hidden values in it."""


def reveal(value: Input) -> Json:
    """The plain values. Compare them; never store them."""
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
    """What may be stored: each secret becomes a digest, equal for equal secrets and salts."""
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


def redact(value: Input) -> Json:
    """What may be shown: without secrets, and without digests of them."""
    if isinstance(value, Hidden):
        return value.shown(SHOWN)
    if is_sealed(value):
        return SHOWN
    if isinstance(value, Mapping):
        return {key: redact(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [redact(item) for item in value]
    return value


def secret_lines(value: Input) -> frozenset[str]:
    """The lines of all hidden texts that are long enough not to stand anywhere by chance."""
    if isinstance(value, Hidden):
        return frozenset(line for text in _texts(value.value) for line in text.splitlines() if len(line) >= MASKED)
    if isinstance(value, Mapping):
        return frozenset().union(*map(secret_lines, value.values()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return frozenset().union(*map(secret_lines, value))
    return frozenset()


def _texts(value: Json) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in items for text in _texts(item)]


def redact_all(values: Mapping[str, Input]) -> dict[str, Json]:
    """:func:`redact` for a step's inputs."""
    return {key: redact(value) for key, value in values.items()}


def is_sealed(value: Input) -> bool:
    """Whether ``value`` is the digest of a secret."""
    return isinstance(value, str) and value.startswith(SEALED)


def hides(value: Input) -> bool:
    """Whether ``value`` holds a secret or the digest of one, at any depth."""
    if isinstance(value, Mapping):
        return any(hides(item) for item in value.values())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return any(hides(item) for item in value)
    return isinstance(value, Hidden) or is_sealed(value)


@cache
def slow_digest(text: str, salt: str) -> str:
    """``secret:scrypt:<hex>``: the same for the same text and salt, and slow to guess."""
    return SEALED + hashlib.scrypt(text.encode(), salt=salt.encode(), dklen=32, maxmem=64 << 20, **COST).hex()
