"""One VM's entry, merged with those that it inherits from: each value keeps the place where it was written.

Mappings are merged key by key, everything else is replaced, and ``null`` removes what would be inherited. A source of
another kind, or one that is a name, replaces the whole source. What names one machine alone is never inherited.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ovtasks.errors import InputError, Where
from ovtasks.project.declared import OWN_KEYS, Declared, DeclaredVm
from ovtasks.project.expand import EXPANDED, KEY_WORDS
from ovtasks.project.official import written_out
from ovtasks.project.places import DEFAULTS
from ovtasks.values.document import Document, Inheritance, Mark, Passing
from ovtasks.values.jsonvalue import Json
from ovtasks.values.passed import KIND
from ovtasks.values.urls import is_web
from ovtasks.values.yamlio import Key

ANY = "*"
IDENTITY: tuple[tuple[str, ...], ...] = (
    ("network", "mac"),
    ("ssh", "port"),
    ("cloud_init", "hostname"),
    ("libvirt", "devices", "interfaces", ANY, "mac"),
    ("libvirt", "devices", "vsock", "cid"),
    ("libvirt", "sysinfo", "system", "serial"),
    ("libvirt", "sysinfo", "baseboard", "serial"),
    ("libvirt", "sysinfo", "chassis", "serial"),
)
"""What names one machine among others; ``*`` is every item of a list."""


def identity(data: Any, paths: Sequence[tuple[str, ...]] = IDENTITY) -> Iterator[tuple[Key, ...]]:
    """The paths in ``data`` of what names one machine."""
    for path in paths:
        yield from _found(data, path, ())


def _found(data: Any, path: tuple[str, ...], at: tuple[Key, ...]) -> Iterator[tuple[Key, ...]]:
    if not path:
        yield at
    elif path[0] == ANY:
        for number, item in enumerate(data if isinstance(data, list) else ()):
            yield from _found(item, path[1:], (*at, number))
    elif isinstance(data, dict) and path[0] in data:
        yield from _found(data[path[0]], path[1:], (*at, path[0]))


def without(data: Any, path: tuple[Key, ...]) -> Any:
    """``data`` without the value at ``path``, copied along it."""
    copied: Any = dict(data) if isinstance(data, dict) else list(data)
    if len(path) > 1:
        copied[path[0]] = without(copied[path[0]], path[1:])
    else:
        del copied[path[0]]
    return copied


def heir(vm: DeclaredVm, below: Sequence[Declared]) -> DeclaredVm:
    """``vm`` with what it inherits from ``below``, the remotest entry first. All data are mappings."""
    data, mark = _part(below[0], Inheritance(below[0].document.file, origin_name(below[0])))
    for part in below[1:]:
        data, mark = _over(data, mark, part, Inheritance(part.document.file, origin_name(part)))
    data, mark = _over(data, mark, vm, None)
    document = Document(
        vm.document.file,
        _nested(vm.document.data, vm.path, data),
        _nested_mark(vm.document.mark, vm.path, mark),
        _Inherited((*below, vm), len(vm.path)),
    )
    found = replace(vm, data=data, document=document, bases=tuple(below))
    return replace(found, data=_with_own_paths(found))


def origin_name(part: Declared) -> str:
    """How messages call an entry that others inherit from."""
    return DEFAULTS if part.path == (DEFAULTS,) else part.name


def _part(part: Declared, origin: Inheritance | None) -> tuple[dict[str, Any], Mark]:
    """The entry's mapping and places; what is inherited (has an ``origin``) lacks what names one machine."""
    mark = part.document.mark
    for step in part.path:
        mark = (mark.items or {})[step]
    data = {key: value for key, value in written_out(part.data).items() if key not in OWN_KEYS}
    for path in identity(data) if origin else ():
        data = without(data, path)
    return data, mark._replace(origin=origin)


def _over(data: dict[str, Any], mark: Mark, part: Declared, origin: Inheritance | None) -> tuple[dict[str, Any], Mark]:
    upper, upper_mark = _part(part, origin)
    if "source" in data and _is_whole(data["source"], upper.get("source"), part.data.get("source")):
        data = {key: value for key, value in data.items() if key != "source"}
    return _merged(data, mark, upper, upper_mark)


def _is_whole(base: Any, source: Any, written: Any) -> bool:
    """Whether a source stands for itself: it is a name, or of another kind than the inherited one."""
    if isinstance(written, str):
        return True
    kinds = [one.get("kind") if isinstance(one, dict) else None for one in (base, source)]
    return None not in kinds and kinds[0] != kinds[1]


def _merged(base: dict[str, Any], lower: Mark, over: dict[str, Any], upper: Mark) -> tuple[dict[str, Any], Mark]:
    data: dict[str, Any] = {}
    keys, items = dict(upper.keys or {}), dict(upper.items or {})
    for key, value in base.items():
        below = _mark(lower, key)
        if key not in over:
            data[key], items[key] = value, below if below.origin else below._replace(origin=lower.origin)
            keys[key] = (lower.keys or {}).get(key, below.position)
        elif _mergeable(value) and _mergeable(over[key]):
            above = _mark(upper, key)
            inner = below if below.origin else below._replace(origin=lower.origin)
            data[key], items[key] = _merged(value, inner, over[key], above)
        elif over[key] is not None:
            data[key] = over[key]
    data |= {key: value for key, value in over.items() if key not in base}
    written = {**(lower.written or {}), **(upper.written or {})}
    return data, upper._replace(keys=keys, items=items, written={key: written[key] for key in written if key in data})


def _mark(above: Mark, key: str) -> Mark:
    """The place of a key's value; a source that is written as a name has none for its fields."""
    return (above.items or {}).get(key) or Mark(above.position)


def _mergeable(value: Any) -> bool:
    return isinstance(value, dict) and KIND not in value


def _nested(whole: Json, path: Sequence[Key], data: Json) -> Json:
    """``whole`` with ``data`` at ``path``, as far as that path shows."""
    if not path:
        return data
    inner = whole.get(str(path[0])) if isinstance(whole, Mapping) else None
    return {str(path[0]): _nested(inner, path[1:], data)}


def _nested_mark(whole: Mark, path: Sequence[Key], mark: Mark) -> Mark:
    if not path:
        return mark
    inner = _nested_mark((whole.items or {})[path[0]], path[1:], mark)
    return whole._replace(items={path[0]: inner})


@dataclass(frozen=True)
class _Inherited:
    """Reads blocks for other programs in each entry's own text, and merges the values.

    ``depth`` is the length of the path of the entry.
    """

    parts: tuple[Declared, ...]
    depth: int

    def passed(self, *path: str) -> Json:
        """The merged value at ``path``.

        :raises InputError: the other program cannot read one of them; with its place.
        """
        found: dict[str, Any] = {}
        for part in self.parts:
            inside = path[self.depth :]
            if not _says(part.data, inside):
                continue
            if not isinstance(part.get(*inside), dict):
                found = {}
                continue
            value = _read(part, part.document.written, inside)
            found = _merged(found, _NOWHERE, value, _NOWHERE)[0] if _mergeable(value) else value
        return found


_NOWHERE = Mark((0, 0))


def _read(part: Declared, written: Passing, inside: Sequence[str]) -> Any:
    try:
        return written.passed(*map(str, part.path), *inside)
    except InputError as e:
        if e.where is None and e.at is not None:
            e.where = Where(part.document.file, *e.at)
        raise


def _says(data: Any, path: Sequence[str]) -> bool:
    """Whether a mapping has something to say about ``path``, if only that nothing above it is inherited."""
    for step in path:
        if not isinstance(data, dict):
            return True
        if step not in data:
            return False
        data = data[step]
    return True


def _with_own_paths(vm: DeclaredVm) -> Any:
    """The data, in which a relative path from another folder's file still means the same place."""
    data = vm.data
    origin = vm.document.origin(*vm.path, "mounts") if "mounts" in data else None
    if origin is not None and (folder := _folder(vm, origin)) != vm.file.parent:
        from ovtasks.project.mounts import rebased

        data = {**data, "mounts": rebased(data["mounts"], folder)}
    for path in EXPANDED:
        origin, text = vm.document.origin(*vm.path, *path), vm.text(*path)
        if origin is None or text is None or text in KEY_WORDS or text.startswith(("/", "~", "$")) or is_web(text):
            continue
        folder = _folder(vm, origin)
        if folder != vm.file.parent:
            data = _put(data, path, os.path.normpath(folder / text))
    return data


def _folder(vm: DeclaredVm, origin: Inheritance) -> Path:
    return next(part.file.parent for part in vm.bases if part.document.file == origin.file)


def _put(data: Any, path: Sequence[str], value: str) -> Any:
    inner = _put(data[path[0]], path[1:], value) if len(path) > 1 else value
    return {**data, path[0]: inner}
