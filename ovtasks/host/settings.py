"""The user's settings: ``settings.yml`` in :func:`~ovtasks.host.paths.config_home`, and variables that override it.

The key ``vm.backend`` stands in the file as ``backend`` below ``vm``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ovtasks import registry
from ovtasks.errors import InputError, InputErrors, OvError, Where
from ovtasks.host.files import discard, flock, write_atomic
from ovtasks.host.paths import config_home, settings_file
from ovtasks.host.settings_table import SETTINGS, Setting
from ovtasks.host.state import MAX_BYTES, read_input
from ovtasks.host.yamlfile import read_yaml
from ovtasks.values.jsonvalue import Json
from ovtasks.values.words import choice, near, shown
from ovtasks.values.yamlio import Document, parse_yaml

PASSED_OVER = {"hosts": "destinations for `ov --host`, which there is not here"}
"""Sections of the file that other programs of the name ov read."""
_RESET = "correct it, or remove all settings: ov settings reset"


class Origin(StrEnum):
    """Where a value comes from, the one that wins first."""

    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True)
class SettingValue:
    """A setting's value.

    ``source`` tells people where it comes from: a variable, a place in the file, ``the default``.
    """

    value: str
    origin: Origin
    source: str


def path() -> Path:
    """``settings.yml``; it need not exist."""
    return settings_file()


def get(name: str) -> SettingValue:
    """The value of a setting: from the environment, else the file, else the default. An empty variable is ignored.

    :raises InputError: there is no such setting, or the variable's value or the file is wrong.
    """
    key = _key(name)
    if written := os.environ.get(key.variable):
        message, hint = _wrong(key, key.variable, written)
        if message:
            raise InputError(message, hint=hint)
        return SettingValue(written, Origin.ENVIRONMENT, key.variable)
    return _values().get(name) or SettingValue(key.default, Origin.DEFAULT, "the default")


def vm_defaults() -> dict[str, str]:
    """The settings that stand for what a VM's entry does not say, by their last word (``ram``). ``auto`` is left out.

    :raises InputError: as :func:`get`.
    """
    names = ("vm.ram", "vm.cpus", "vm.disk_size", "vm.root_size", "vm.rootfs", "vm.transport")
    found = {name.removeprefix("vm."): get(name).value for name in names}
    return {name: value for name, value in found.items() if value != "auto"}


def warning() -> str | None:
    """What is wrong with the file's permissions, which could let others decide what we run; None if all is well."""
    with contextlib.suppress(OSError):
        mode = path().stat().st_mode & 0o777
        if mode & 0o077:
            return f"{path()} has mode {mode:04o}: others may read or change it; chmod 600 it"
    return None


def passed_over() -> list[str]:
    """What the file says that nobody here reads, with its place and the reason.

    :raises InputError: it is not one mapping.
    """
    document = _document()
    if document is None or not isinstance(document.data, dict):
        return []
    there = [section for section in document.data if section in PASSED_OVER]
    return [f"{document.where(one, key=True)}: {one}: without effect: {PASSED_OVER[one]}" for one in there]


def put(name: str, value: str) -> None:
    """Write a setting into the file, 0600. Comments stay.

    :raises InputError: there is no such setting, it cannot have that value, or the file is not YAML.
    :raises OvError: the file cannot be written, or not without changing something else.
    """
    key, value = _key(name), value.strip()
    message, hint = _wrong(key, name, value)
    if message:
        raise InputError(message, hint=hint)
    with _changing():
        _write(name, value)


def reset(name: str | None = None) -> None:
    """Remove a setting from the file; None: remove the file, whatever is in it.

    :raises InputError, OvError: as :func:`put`.
    """
    if name is not None:
        _key(name)
    if not os.path.lexists(path()):
        return
    with _changing():
        if name is None:
            discard(path())
        else:
            _write(name, None)


def _key(name: str) -> Setting:
    if name in SETTINGS:
        return SETTINGS[name]
    guess = near(name, SETTINGS)
    raise InputError(
        f"there is no setting {shown(name)}",
        hint=f"did you mean '{guess}'?" if guess else f"settings: {', '.join(SETTINGS)}",
    )


def _wrong(key: Setting, place: str, value: Json) -> tuple[str, str | None]:
    """Message and hint for a wrong value; an empty message if the value is right."""
    if value in key.allowed:
        return "", None
    if key.read is not None:
        return _unread(key, key.read, place, value)
    found: list[str] = []
    if key.plugins is not None:
        found = [*registry.names(key.plugins)]
        if value in found:
            return "", None
    return choice(place, value, dict.fromkeys((*key.allowed, *found)))


def _unread(key: Setting, read: Callable[[str], object], place: str, value: Json) -> tuple[str, str | None]:
    """Message and hint of what ``read`` finds wrong; an empty message if it accepts the value."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return f"{place} must be {_example(key)}, not {shown(value)}", None
    try:
        read(str(value))
    except InputError as e:
        return f"{place}: {e.message}", e.hint
    return "", None


def _example(key: Setting) -> str:
    return " or ".join([key.example, *key.allowed])


def _values() -> dict[str, SettingValue]:
    """The settings in the file.

    :raises InputError: the file has an unknown setting or a wrong value.
    """
    document = _document()
    values: dict[str, SettingValue] = {}
    errors: list[InputError] = []
    for section, name, value in _entries(document) if document else ():
        if section in PASSED_OVER:
            continue
        full = f"{section}.{name}" if name else section
        at = (section, name) if name else (section,)
        assert document is not None
        if not name or full not in SETTINGS:
            errors.append(_unknown(full, document.where(*at, key=True)))
            continue
        message, hint2 = _wrong(SETTINGS[full], full, value)
        if message:
            errors.append(InputError(message, hint=_way_out(hint2), where=document.where(*at)))
        else:
            values[full] = SettingValue(str(value), Origin.FILE, str(document.where(*at)))
    if len(errors) > 1:
        raise InputErrors(errors)
    if errors:
        raise errors[0]
    return values


def _unknown(full: str, where: Where) -> InputError:
    """The error of a key that is not a setting, or stands where none is read."""
    section, dot, last = full.partition(".")
    if full in {name.partition(".")[0] for name in SETTINGS}:
        hint = f"for example {full}: {{{next(n for n in SETTINGS if n.startswith(f'{full}.')).partition('.')[2]}: …}}"
        return InputError(f"{full} must be a mapping", hint=_way_out(hint), where=where)
    guess = near(full, SETTINGS)
    hint = f"did you mean '{guess}'?" if guess else f"settings: {', '.join(SETTINGS)}"
    if full in SETTINGS and dot:
        hint = f"write {section}: {{{last}: …}}"
    return InputError(f"unknown key '{full}'", hint=_way_out(hint), where=where)


def _entries(document: Document) -> Iterator[tuple[str, str, Json]]:
    """Section, name and value of each entry; the name is empty if the section is not a mapping."""
    assert isinstance(document.data, dict)
    for section, below in document.data.items():
        if isinstance(below, Mapping):
            yield from ((section, name, value) for name, value in below.items())
        elif below is not None:
            yield section, "", below


def _document() -> Document | None:
    """The file's document; None if the file is missing or empty.

    :raises InputError: it is not one mapping.
    """
    file = path()
    if os.path.lexists(file) and not file.is_file() and (file.exists() or _leads_round(file)):
        quoted = shlex.quote(str(file))
        raise InputError(f"{file} is not a file", hint=f"move it away: mv {quoted} {quoted}.old")
    try:
        return _one(read_yaml(file, str(file))) if file.exists() else None
    except InputError as e:
        raise InputError(e.message, hint=_way_out(e.hint), where=e.where) from None


def _leads_round(link: Path) -> bool:
    """Whether a link leads to itself. One that leads to nothing yet is no mistake."""
    try:
        link.stat()
    except OSError as e:
        return e.errno == errno.ELOOP
    return False


def _way_out(hint: str | None) -> str:
    """The hint with a command that helps in any case: without good settings no project can be read."""
    if not hint:
        return _RESET
    return f"{hint}{' ' if hint.endswith('?') else '; '}`ov settings reset` removes all settings"


def _one(documents: Sequence[Document]) -> Document | None:
    for document in documents[1:]:
        raise InputError("settings are one YAML document", hint="remove the '---'", where=document.where())
    for document in documents:
        if not isinstance(document.data, dict):
            hint = "for example vm: {backend: qemu}"
            raise InputError("the top level must be a mapping", hint=hint, where=document.where())
    return documents[0] if documents else None


@contextlib.contextmanager
def _changing() -> Iterator[None]:
    """Change the file alone: one process at a time.

    :raises OvError: the file cannot be written.
    """
    try:
        with flock(config_home() / ".settings.lock"):
            yield
    except OSError as e:
        message = f"cannot write {path()}: {os.strerror(e.errno or 0).lower()}"
        raise OvError(message, hint="settings are in $XDG_CONFIG_HOME/ov (~/.config/ov)") from None


def _write(name: str, value: str | None) -> None:
    """Change one setting (None: remove it). The rest of the file stays, even if it is wrong."""
    document = _document()
    target = path().resolve()  # a link stays a link
    data = read_input(target, MAX_BYTES) if target.exists() else b""
    section, _, last = name.partition(".")
    wanted: dict[str, Json] = {**document.data} if document and isinstance(document.data, dict) else {}
    below = wanted.get(section)
    if not isinstance(below, Mapping | None):
        assert document is not None
        raise _unknown(section, document.where(section, key=True))
    entries = {key: item for key, item in (below or {}).items() if key != last}
    typed = int(value) if value and value.isascii() and value.isdecimal() else value
    if typed is not None:
        entries = {**(below or {}), last: typed}
    wanted[section] = entries
    if not entries:
        del wanted[section]
    from ovtasks.host.settings_edit import edited

    text = edited(data.decode("utf-8-sig"), document, section, last, typed)
    if not _means(text, wanted):
        hint = f"edit it by hand: {name}"
        raise OvError("the file would change in other places, too", hint=hint, where=Where(str(target)))
    write_atomic(target, text, mode=0o600)


def _means(text: str, wanted: Mapping[str, Json]) -> bool:
    try:
        document = _one(parse_yaml(text.encode(), ""))
    except InputError:
        return False
    found = document.data if document else {}
    return isinstance(found, dict) and {k: v for k, v in found.items() if v is not None} == {
        k: v for k, v in wanted.items() if v is not None
    }
