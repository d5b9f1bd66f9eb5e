"""Build options of the command line, the same for ``doit build:x`` and ``ov vm build x``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ovtasks.errors import InputError
from ovtasks.graph.step import BuildOptions
from ovtasks.values.sizes import MiB

TYPES = ("qcow2", "raw")
TRANSPORTS = ("registry", "containers-storage", "oci", "oci-archive", "docker-archive", "dir")

PARAMS: list[dict[str, object]] = [
    {"name": "size", "long": "size", "type": str, "default": "", "help": "disk size, wins over disk_size (40G)"},
    {"name": "type", "long": "type", "type": str, "default": "", "help": "disk format: qcow2 (default) or raw"},
    {"name": "refresh", "long": "refresh", "type": bool, "default": False, "help": 'ask whether "latest" images moved'},
    {"name": "locked", "long": "locked", "type": bool, "default": False, "help": "fail unless ovtasks.lock pins all"},
    {"name": "root_size", "long": "root-size", "type": str, "default": "", "help": "bootc: size of the root partition"},
    {"name": "transport", "long": "transport", "type": str, "default": "", "help": "bootc: how the image is read"},
    {
        "name": "console",
        "long": "console",
        "type": bool,
        "default": False,
        "help": "bootc: show what the installer says",
    },
]
"""In doit's own form (``doit.cmdparse.CmdOption``)."""
IMAGE_PARAMS = [
    {"name": "refresh", "long": "refresh", "type": bool, "default": False, "help": "ask the registry for newer images"},
    {"name": "locked", "long": "locked", "type": bool, "default": False, "help": "fail unless digests are named"},
    {"name": "console", "long": "console", "type": bool, "default": False, "help": "show what podman says"},
]
"""Of the goals ``image:<name>``."""


class OptionsByVm:
    """What was said on the command line, for one VM or (``None``) for all.

    ``changes`` counts: what was computed under another number may be out of date.
    """

    def __init__(self) -> None:
        self._of: dict[str | None, BuildOptions] = {}
        self.changes = 0

    def set(self, vm: str | None, values: Mapping[str, object]) -> None:
        """Note the options given with one goal; empty values change nothing.

        :raises InputError: a size or type that is none.
        """
        before = self._of.get(vm, BuildOptions())
        self._of[vm] = apply(before, values)
        self.changes += self._of[vm] != before

    def of(self, vm: str) -> BuildOptions:
        """The options for ``vm``: its own over the general ones."""
        general, own = self._of.get(None), self._of.get(vm)
        if general is None or own is None:
            return own or general or BuildOptions()
        return BuildOptions(
            type=own.type if own.type != "qcow2" else general.type,
            size=own.size or general.size,
            refresh=own.refresh or general.refresh,
            locked=own.locked or general.locked,
            root_size=own.root_size or general.root_size,
            transport=own.transport or general.transport,
            console=own.console or general.console,
        )


def apply(options: BuildOptions, values: Mapping[str, object]) -> BuildOptions:
    """``options`` with the given command line values on top.

    :raises InputError: a size or type that is none.
    """
    if size := values.get("size"):
        options = replace(options, size=_size("--size", str(size)))
    if size := values.get("root_size"):
        options = replace(options, root_size=_size("--root-size", str(size)))
    if transport := values.get("transport"):
        if transport not in TRANSPORTS:
            raise InputError(f"--transport: unknown transport {transport!r}", hint=f"one of: {', '.join(TRANSPORTS)}")
        options = replace(options, transport=str(transport))
    if type := values.get("type"):
        if type not in TYPES:
            hint = "an ISO cannot be built; qcow2 and raw can" if type == "iso" else f"one of: {', '.join(TYPES)}"
            raise InputError(f"--type: unknown disk format {type!r}", hint=hint)
        options = replace(options, type=str(type))
    return replace(
        options,
        refresh=options.refresh or bool(values.get("refresh")),
        locked=options.locked or bool(values.get("locked")),
        console=options.console or bool(values.get("console")),
    )


def _size(option: str, text: str) -> int:
    from ovtasks.values.sizes import parse_size

    try:
        return parse_size(text, bare=MiB)
    except InputError as e:
        raise InputError(f"{option}: {e.message}", hint=e.hint) from None
