"""QEMU's way to write an option: ``head,key=value,…`` where a comma inside a value is doubled (qemu(1))."""

from __future__ import annotations

import os
from pathlib import Path

from ovtasks.errors import InputError
from ovtasks.host.paths import SUN_PATH


def option(head: str | None, /, **values: object) -> str:
    """One word of the command line. A value of None is left out; a tuple repeats its key for each item.

    Keys with a hyphen or a dot are given as ``**{"read-only": "on"}``.
    """
    listed = {key: value if isinstance(value, tuple) else (value,) for key, value in values.items()}
    pairs = [f"{key}={_escape(one)}" for key, items in listed.items() for one in items if one is not None]
    return ",".join([*([_escape(head)] if head is not None else []), *pairs])


def device(model: str, /, **values: object) -> tuple[str, str]:
    """``-device`` and its value."""
    return "-device", option(model, **values)


def listener(name: str, path: Path, /, **values: object) -> str:
    """The value of a ``-chardev`` that listens on the Unix socket ``path``, for one client at a time.

    :raises InputError: the path is too long for a socket.
    """
    if len(os.fsencode(path)) >= SUN_PATH:
        raise InputError(f"{path} is too long for a socket", hint="a shorter name, or a shorter $XDG_DATA_HOME")
    return option("socket", id=name, path=path, server="on", wait="off", **values)


def _escape(value: object) -> str:
    return str(value).replace(",", ",,")
