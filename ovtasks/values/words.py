"""How messages write paths, words and values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ovtasks.values.document import Key


def dotted(path: Iterable[Key]) -> str:
    """A path as messages write it: ``vms.arch.cloud_init.users[0].name``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text or "the top level"


def columns(text: str) -> int:
    """How many columns of a terminal it takes: letters of East Asia take two, accents that stand alone none."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(letter: str) -> int:
    from unicodedata import category, east_asian_width

    if east_asian_width(letter) in "WF":
        return 2
    return 0 if category(letter) in {"Mn", "Me", "Cf"} else 1


def near(word: str, words: Iterable[str]) -> str | None:
    """The one of ``words`` that ``word`` is probably a misspelling of; None if no word is close."""
    return next(iter(close_to(word.lower().replace("-", "_"), words, most=1)), None)


def close_to(word: str, words: Iterable[str], *, most: int = 3, cutoff: float = 0.6) -> list[str]:
    """Those of ``words`` that ``word`` may be a misspelling of, the best first; ``cutoff`` 1 would be the same word."""
    import difflib  # takes as long to load as a quick command

    return difflib.get_close_matches(word, [*words], n=most, cutoff=cutoff)


def meant(words: Iterable[str]) -> str | None:
    """The hint that one of these may be meant; None if there are none."""
    found = [f"'{word}'" for word in words]
    return f"did you mean {' or '.join(found)}?" if found else None


def did_you_mean(word: str, words: Iterable[str], *, most: int = 3, cutoff: float = 0.6) -> str | None:
    """A hint with those of ``words`` that ``word`` may be a misspelling of; None if no word is close."""
    return meant(close_to(word, words, most=most, cutoff=cutoff))


def choice(place: str, value: object, allowed: Iterable[str]) -> tuple[str, str | None]:
    """Message and hint for a value that is not among ``allowed``."""
    words = list(dict.fromkeys(str(word).lower() if isinstance(word, bool) else str(word) for word in allowed))
    guess = close_to(str(value).lower(), words, most=1, cutoff=0.5)
    prefix = [word for word in words if word.startswith(str(value).lower())] if str(value) else []
    found = (guess or prefix)[:1]
    message = f"{place} must be one of {', '.join(words)}, not {shown(value)}"
    return message, meant(found)


def shown(value: object) -> str:
    """A value as a message quotes it."""
    if isinstance(value, str):
        return f"'{value if len(value) <= 60 else value[:57] + '...'}'"
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list) else str(value)
