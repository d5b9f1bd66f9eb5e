"""Expands ``~`` and ``${VAR}`` in the few fields that are paths of this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ovtasks.errors import InputError

# The fields that are expanded; everywhere else ~ and $ are ordinary characters.
EXPANDED = (
    ("source", "cache"),
    ("source", "checksum", "keyring"),
    ("source", "disk_path"),
    ("source", "nvram_path"),
    ("ssh", "key_source"),
)
KEY_WORDS = ("auto", "generate", "none")

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def variables(text: str) -> list[str]:
    """The environment variables that ``expand(text)`` reads."""
    return [*(["HOME"] if _has_home(text) else []), *_VARIABLE.findall(text)]


def expand(text: str) -> str:
    """``text`` with a leading ``~`` and every ``${VAR}`` replaced.

    :raises InputError: a variable is not set, or the braces do not hold the name of one.
    """
    if text.startswith("~") and not _has_home(text):
        raise InputError(f"{text.split('/')[0]} is not expanded", hint="only ~/ is; write the whole path")
    for name in _VARIABLE.findall(text):
        if not _NAME.fullmatch(name):
            raise InputError(f"${{{name}}} is not an environment variable", hint="write ${NAME}")
        if name not in os.environ:
            raise InputError(f"environment variable {name} is not set", hint=f"export {name}=…, or write the path")
    text = _VARIABLE.sub(lambda found: os.environ[found[1]], text)
    return str(Path.home()) + text[1:] if _has_home(text) else text


def expand_path(text: str, base: Path) -> Path:
    """The absolute path that ``text`` means in a file of folder ``base``. ``..`` is resolved by name, not by links.

    :raises InputError: as :func:`expand`.
    """
    return Path(os.path.normpath(base / expand(text)))


def _has_home(text: str) -> bool:
    return text == "~" or text.startswith("~/")
