"""Which fields of the spec's ``libvirt:`` mapping this version renders, and how their values are written in XML.

A field that is not here is refused by its full path: nothing that was written is ever silently ignored. The values are
those of libvirt's documentation, "Domain XML format".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from ovtasks.errors import InputError, InputErrors
from ovtasks.jsonvalue import Json

Leaf: TypeAlias = Callable[[Json], str | None]  # the XML text, or None: the value is wrong
Fields: TypeAlias = Mapping[str, "Node"]
Node: TypeAlias = "Leaf | Fields | tuple[Fields]"  # a tuple of one: a list of such mappings
# What `read` gives: the same shape with XML text at the leaves.
Read: TypeAlias = Mapping[str, "str | Read | Sequence[Read]"]

_TRUE = frozenset({"true", "yes", "on"})
_FALSE = frozenset({"false", "no", "off"})


def _switch(yes: str, no: str) -> Leaf:
    def leaf(value: Json) -> str | None:
        word = str(value).lower() if isinstance(value, bool | str) else ""
        return yes if word in _TRUE else no if word in _FALSE else None

    leaf.__doc__ = f"true or false ({yes} or {no})"
    return leaf


def _one_of(*words: str) -> Leaf:
    def leaf(value: Json) -> str | None:
        return str(value) if not isinstance(value, bool) and str(value) in words else None

    leaf.__doc__ = "one of " + ", ".join(words)
    return leaf


def _number(value: Json) -> str | None:
    """a whole number"""
    if isinstance(value, bool) or not str(value).isascii() or not str(value).isdigit():
        return None
    return str(int(str(value)))


def _text(value: Json) -> str | None:
    """a text"""
    return value if isinstance(value, str) and value else None


ON_OFF = _switch("on", "off")
YES_NO = _switch("yes", "no")

FIELDS: Fields = {
    "features": dict.fromkeys(("acpi", "apic", "pae", "smm", "hap", "vmport", "pmu"), ON_OFF),
    "cpu": {"mode": _one_of("host-passthrough", "host-model", "maximum", "custom"), "model": _text},
    "devices": {
        "video": (
            {
                "model": _one_of("virtio", "vga", "cirrus", "qxl", "bochs", "ramfb", "none"),
                "vram": _number,
                "ram": _number,
                "vgamem": _number,
                "heads": _number,
                "primary": YES_NO,
                "accel3d": YES_NO,
            },
        ),
        "graphics": ({"type": _one_of("spice", "vnc"), "autoport": YES_NO, "port": _number, "listen": _text},),
        "channels": ({"type": _one_of("spicevmc", "unix"), "name": _text},),
        "rng": ({"model": _one_of("virtio"), "backend": _text, "rate": {"period": _number, "bytes": _number}},),
        "tpm": (
            {
                "model": _one_of("tpm-tis", "tpm-crb", "tpm-spapr"),
                "backend": {"type": _one_of("emulator"), "version": _one_of("1.2", "2.0")},
            },
        ),
        "memballoon": {
            "model": _one_of("virtio", "none"),
            "autodeflate": ON_OFF,
            "stats": {"period": _number},
        },
    },
}


def read(libvirt: Mapping[str, Json]) -> Read:
    """The mapping with every value as XML text.

    :raises InputError: a field that this version does not render, or a value that the field cannot have; each is named
        by its path. Several at once are InputErrors.
    """
    errors: list[InputError] = []
    found = _mapping(libvirt, FIELDS, "libvirt", errors)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise InputErrors(errors)
    return found


def _mapping(
    value: Json, fields: Fields, path: str, errors: list[InputError]
) -> dict[str, str | Read | Sequence[Read]]:
    found: dict[str, str | Read | Sequence[Read]] = {}
    if not isinstance(value, Mapping):
        errors.append(InputError(f"{path} is not a mapping", hint=f"{path} has the keys {', '.join(fields)}"))
        return found
    for key, item in value.items():
        name = f"{path}.{key}"
        node = fields.get(key)
        if node is None:
            hint = f"remove it; {path} has {', '.join(fields)}"
            errors.append(InputError(f"{name} is not supported yet by this version", hint=hint))
        elif isinstance(node, Mapping):
            found[key] = _mapping(item, node, name, errors)
        elif isinstance(node, tuple):
            found[key] = _list(item, node[0], name, errors)
        elif (text := node(item)) is not None:
            found[key] = text
        else:
            errors.append(InputError(f"{name} cannot be {item!r}", hint=f"it is {node.__doc__}"))
    return found


def _list(value: Json, fields: Fields, path: str, errors: list[InputError]) -> list[Read]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        errors.append(InputError(f"{path} is not a list", hint=f"{path.rpartition('.')[2]}: [{{…}}]"))
        return []
    return [_mapping(item, fields, f"{path}[{index}]", errors) for index, item in enumerate(value)]
