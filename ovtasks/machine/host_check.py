"""The check that a spec asks for no more than libvirt and its QEMU can do here."""

from __future__ import annotations

from collections.abc import Iterator

from ovtasks.errors import InputError, InputErrors
from ovtasks.machine.blocks import cpu, security, tuning
from ovtasks.machine.devices import DEVICES
from ovtasks.machine.field import Block, Field, Items, Node
from ovtasks.machine.host import HostFeatures, unknown_word
from ovtasks.machine.table import LIBVIRT
from ovtasks.machine.tree import ROOT, Place, Tree, Value
from ovtasks.values.words import dotted


def check(block: Tree, host: HostFeatures, accel: str) -> None:
    """Compare a block with what the host can do.

    :raises InputError: the block asks for more; the error names the field and what helps.
    """
    devices = block.block("devices")
    errors = [*_versions(block, LIBVIRT, ROOT, host), *cpu.lacks(block, host, accel), *tuning.lacks(block, host)]
    for device in DEVICES:
        errors += device.lacks(device.found(devices), host)
    errors += [*_words(block, LIBVIRT, ROOT, host), *security.lacks(block, host)]
    if errors:
        raise errors[0] if len(errors) == 1 else InputErrors(errors)


def _versions(value: Value, node: Node, path: Place, host: HostFeatures) -> Iterator[InputError]:
    """Errors for fields and values that need a newer libvirt."""
    if isinstance(node, Field):
        since = node.since_values.get(str(value), node.since)
        yield from _version(f"{dotted(path)} {value}", since, path, host)
    elif isinstance(node, Block) and isinstance(value, Tree):
        late = [*_version(dotted(path), node.since, path, host)]
        yield from late
        for key, one in () if late else value.value.items():
            yield from _versions(one, node.fields[key], (*path, key), host)
    elif isinstance(node, Items) and not isinstance(value, str | Tree):
        for index in range(len(value)):
            yield from _versions(value[index], node.block, (*path, index), host)


def _words(value: Value, node: Node, path: Place, host: HostFeatures) -> Iterator[InputError]:
    """Errors for values that ``domcapabilities`` does not list."""
    if isinstance(node, Field):
        if node.known is not None:
            yield from unknown_word(str(value), host, node.known[0], path, node.known[1])
    elif isinstance(node, Block) and isinstance(value, Tree):
        for key, one in value.value.items():
            yield from _words(one, node.fields[key], (*path, key), host)
    elif isinstance(node, Items) and not isinstance(value, str | Tree):
        for index in range(len(value)):
            yield from _words(value[index], node.block, (*path, index), host)


def _version(name: str, since: tuple[int, int] | None, path: Place, host: HostFeatures) -> Iterator[InputError]:
    if since is not None and host.version is not None and host.version < since:
        here = f"{host.version[0]}.{host.version[1]}"
        message = f"{name} needs libvirt {since[0]}.{since[1]}, this one is {here}"
        yield InputError(message, hint="remove it, or install a newer libvirt", field=path)
