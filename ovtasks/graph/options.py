"""Build options of the command line, the same for ``doit build:x`` and ``ov vm build x``.

Options that every source understands are here. Sources declare the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TypeVar

from ovtasks.errors import InputError
from ovtasks.graph import plugins
from ovtasks.graph.step import BuildOptions
from ovtasks.values.option import Option
from ovtasks.values.sizes import MiB, parse_size

T = TypeVar("T")

TYPES = ("qcow2", "raw")


def disk_size(text: str) -> int:
    """A disk size in bytes. A number without a unit counts in MiB, as in ``vms.yml``.

    :raises InputError: ``text`` is not a size.
    """
    return parse_size(text, bare=MiB)


def _type(text: str) -> str:
    if text not in TYPES:
        hint = "an ISO cannot be built; qcow2 and raw can" if text == "iso" else f"one of: {', '.join(TYPES)}"
        raise InputError(f"unknown disk format {text!r}", hint=hint)
    return text


SIZE: Option[int | None] = Option("size", disk_size, None, "disk size, replaces disk_size (40G)")
TYPE = Option("type", _type, "qcow2", "disk format: qcow2 (default) or raw", TYPES)
REFRESH = Option("refresh", bool, False, 'check whether "latest" images changed')
LOCKED = Option("locked", bool, False, "fail unless ovtasks.lock pins all")
COMMON: tuple[Option[object], ...] = (SIZE, TYPE, REFRESH, LOCKED)


@cache
def build_options() -> tuple[Option[object], ...]:
    """All options of the goals ``build`` and ``build:<vm>``: the common ones, then those of the sources.

    :raises InputError: two sources declare different options with one name.
    """
    found = {option.dest: option for option in COMMON}
    for plugin in plugins.sources():
        for option in plugin.options:
            if found.setdefault(option.dest, option) != option:
                hint = f"uninstall the package that brings source.kind {plugin.kind}, or have it renamed there"
                raise InputError(f"--{option.name} of source.kind {plugin.kind} has another meaning", hint=hint)
    return tuple(found.values())


@cache
def image_options() -> tuple[Option[object], ...]:
    """All options of the goals ``image:<name>``."""
    return tuple(plugins.images().options)


@cache
def build_params() -> list[dict[str, object]]:
    """:func:`build_options` in doit's own form (``doit.cmdparse.CmdOption``).

    :raises InvalidDodoFile: doit's error for what :func:`build_options` refuses.
    """
    try:
        return _params(build_options())
    except InputError as e:
        from doit.exceptions import InvalidDodoFile

        from ovtasks.errors.catalogue import told

        raise InvalidDodoFile(told(e)) from None


@cache
def image_params() -> list[dict[str, object]]:
    """:func:`image_options` in doit's own form."""
    return _params(image_options())


def _params(options: Iterable[Option[object]]) -> list[dict[str, object]]:
    return [
        {
            "name": option.dest,
            "long": option.name,
            "type": bool if option.switch else str,
            "default": False if option.switch else "",
            "help": option.help.replace("%", "%%"),  # doit formats the text
        }
        for option in options
    ]


class OptionsByVm:
    """The options of the command line, for one VM or (``None``) for all.

    ``changes`` counts changes: what was computed with another count may be out of date.
    """

    def __init__(self) -> None:
        self._of: dict[str | None, BuildOptions] = {}
        self.changes = 0

    def set(self, vm: str | None, values: Mapping[str, object]) -> None:
        """Take the options given with a goal. Empty values change nothing.

        :raises InputError: an option cannot have that value.
        """
        before = self._of.get(vm, BuildOptions())
        self._of[vm] = apply(before, values)
        self.changes += self._of[vm] != before

    def of(self, vm: str) -> BuildOptions:
        """The options for ``vm``: its own win over the general ones."""
        general, own = self._of.get(None), self._of.get(vm)
        if general is None or own is None:
            return own or general or BuildOptions()
        return BuildOptions(
            type=own.type if own.type != TYPE.default else general.type,
            size=own.size or general.size,
            refresh=own.refresh or general.refresh,
            locked=own.locked or general.locked,
            more={**general.more, **own.more},
        )


def apply(options: BuildOptions, values: Mapping[str, object]) -> BuildOptions:
    """``options`` with the given command line values on top, by :attr:`~ovtasks.values.option.Option.dest`.

    :raises InputError: an option cannot have that value.
    """
    declared = {option.name: option for option in (*image_options(), *build_options())}
    for option in COMMON:
        del declared[option.name]
    return BuildOptions(
        size=_said(SIZE, values, options.size),
        more={**options.more, **{name: o.read(text) for name, o in declared.items() if (text := values.get(o.dest))}},
        type=_said(TYPE, values, options.type),
        refresh=_said(REFRESH, values, options.refresh),
        locked=_said(LOCKED, values, options.locked),
    )


def _said(option: Option[T], values: Mapping[str, object], before: T) -> T:
    text = values.get(option.dest)
    return option.read(text) if text else before
