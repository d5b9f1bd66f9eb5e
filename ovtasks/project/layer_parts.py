"""Parts of a layer file as the values of :mod:`.layer_model`: what may be written in several ways is written in one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ovtasks.errors import InputError, InputErrors, Where
from ovtasks.project.distro_tags import FORMATS, misspelled, normalized, split
from ovtasks.project.layer_model import LayerCheck, LayerInput, LayerPart, Named
from ovtasks.values.words import dotted
from ovtasks.values.yamlio import Document, Key, Mark

LISTS = frozenset(
    (
        *("copr", "exclude", "options", "modules", "components", "architectures", "replaces", "uninstall", "include"),
        *("after", "before", "path_append", "versions", "exclude_distros", "addrs", "groups", "opts", "tag", "args"),
    )
)
"""Keys whose value may be a text or a list of texts."""
BLANKS = frozenset({"components", "options"})
"""Those of them whose text is several with blanks between."""
CHOSEN = frozenset({"env", "package_map", "stdout", "stderr", "body", "headers", "contains", "value"})
"""Keys of values that are taken as they are: mappings whose keys the user chooses, and what checks compare with."""
METHODS = ("libvirt", "spice", "mcp", "k8s", "cdp", "wl", "dbus", "vnc", "record", "adb", "appium", "summarize")
"""What checks are about whose value is a method. A command can go with it."""
VERBS = (
    *("file", "package", "service", "port", "process", "command", "http", "dns", "user", "group", "interface"),
    *("kernel-param", "mount", "addr", "matching", *METHODS),
)
"""What checks are about. Each has one of these."""
SENTENCES = frozenset({"given", "when", "then", "and", "but"})
"""Keys of a scenario's step that hold it in words."""

Path = tuple[Key, ...]


def value(data: Any) -> Any:
    """``data`` with lists where a text may stand for a list, and modes of four digits."""
    if isinstance(data, list):
        return [value(item) for item in data]
    if not isinstance(data, dict):
        return data
    found = {key: item if key in CHOSEN else value(item) for key, item in data.items()}
    for key in found.keys() & LISTS:
        if isinstance(found[key], str):
            found[key] = found[key].split() if key in BLANKS else [found[key]]
    if isinstance(mode := found.get("mode"), str):
        found["mode"] = f"{int(mode, 8):04o}"
    return found


def places(document: Document, path: Path) -> dict[str, Where]:
    """The place of each value below ``path``, by its path from there."""
    mark: Mark | None = document.mark
    for step in path:
        mark = (mark.items or {}).get(step) if mark else None
    return dict(_places(document.file, mark, ())) if mark else {}


def _places(file: str, mark: Mark, path: Path) -> Iterator[tuple[str, Where]]:
    for key, below in (mark.items or {}).items():
        yield dotted((*path, key)), Where(file, *below.position)
        yield from _places(file, below, (*path, key))


def part(data: Any, document: Document, path: Path) -> LayerPart:
    """The mapping at ``path``."""
    return LayerPart(value(data), document.where(*path), places(document, path))


def parts(data: Mapping[str, Any], key: str, document: Document) -> tuple[LayerPart, ...]:
    """The mappings in the list ``key``."""
    return tuple(part(item, document, (key, n)) for n, item in enumerate(data.get(key, ())))


def named(data: Mapping[str, Any], key: str, document: Document) -> tuple[Named, ...]:
    """The texts in the list ``key``, or the one text."""
    found = data.get(key, ())
    if isinstance(found, str):
        return (Named(found, document.where(key)),)
    return tuple(Named(item, document.where(key, n)) for n, item in enumerate(found))


def inputs(data: Mapping[str, Any], key: str, document: Document) -> Iterator[LayerInput]:
    """The variables or secrets in the list ``key``."""
    for n, item in enumerate(data.get(key, ())):
        place = document.where(key, n)
        yield LayerInput(
            item, place, places(document, (key, n)), required=key.endswith("_requires"), own=key == "secrets"
        )


def sections(data: Mapping[str, Any], document: Document) -> tuple[dict[str, LayerPart], list[InputError]]:
    """What stands for distributions, by normalized tag. A tag alone and in a list of several: both count for it."""
    found: dict[str, LayerPart] = {}
    errors: list[InputError] = []
    alone: dict[str, tuple[str, Where]] = {}
    if "packages" in data:
        where = document.where("packages")
        marks = {f"packages{at}": place for at, place in places(document, ("packages",)).items()}
        found[""] = LayerPart({"packages": _packages(data["packages"])}, where, {"packages": where, **marks})
    written = [(key, ("distros", key)) for key in data.get("distros", {})]
    for key, path in [*written, *((key, (key,)) for key in FORMATS if isinstance(data.get(key), dict))]:
        where = document.where(*path, key=True)
        section = _section(data["distros"][key] if path[0] == "distros" else data[key], document, path)
        names = split(key)
        for name in names:
            tag = normalized(name)
            if tag is None or (near := misspelled(tag)):
                hint = f"did you mean '{near}'?" if tag else "for example debian, debian:13, or debian,ubuntu"
                errors.append(InputError(f"'{name}' is not a distribution", hint=hint, where=where))
                continue
            if len(names) == 1 and tag in alone:
                other, place = alone[tag]
                hint = f"'{other}' stands at {place}; make one of the two"
                errors.append(InputError(f"'{key}' and '{other}' mean the same", hint=hint, where=where))
                continue
            if len(names) == 1:
                alone[tag] = (key, where)
            try:
                found[tag] = _joined(found[tag], section) if tag in found else section
            except InputError as e:
                errors.append(e)
    return found, errors


def _packages(data: Any) -> list[str]:
    return [item["name"] if isinstance(item, dict) else item for item in data]


def _section(data: Any, document: Document, path: Path) -> LayerPart:
    found = part(data, document, path)
    if "packages" not in found.data:
        return found
    return LayerPart({**found.data, "packages": _packages(found.data["packages"])}, found.where, found.places)


def _joined(one: LayerPart, two: LayerPart) -> LayerPart:
    """Both sections as one: lists one after another.

    :raises InputError: both have a key that is not a list.
    """
    data, where = dict(one.data), dict(one.places)
    for key, more in two.data.items():
        before = data.get(key, [])
        if not isinstance(before, list) or not isinstance(more, list):
            if key in data:
                raise two.error(f"'{key}' also appears at {one.place(key)}", key, hint="make one of the two")
            data[key] = more
        else:
            data[key] = [*before, *more]
    for at, place in two.places.items():
        key, bracket, rest = at.partition("[")
        if bracket and isinstance(items := one.data.get(key), list):
            index, _, below = rest.partition("]")
            at = f"{key}[{int(index) + len(items)}]{below}"
        where.setdefault(at, place)
    return LayerPart(data, one.where, where)


def checks(data: Any, document: Document, path: Path) -> tuple[list[LayerCheck], list[InputError]]:
    """The checks in the list at ``path``. A scenario's step that is a sentence alone is none."""
    found: list[LayerCheck] = []
    errors: list[InputError] = []
    for n, item in enumerate(data):
        if item and item.keys() <= SENTENCES:
            continue
        verbs = _verbs(item)
        here = part(item, document, (*path, n))
        if len(verbs) != 1:
            has = f"it has {' and '.join(verbs)}" if verbs else "it has none"
            errors.append(here.error(f"a check is about one thing, but {has}", hint=f"one of {', '.join(VERBS[:17])}"))
        else:
            found.append(LayerCheck(here.data, here.where, here.places, verb=verbs[0]))
    return found, errors


def _verbs(item: Mapping[str, Any]) -> list[str]:
    """What a check is about. A command is part of a method's check, if there is one."""
    verbs = [key for key in item if key in VERBS]
    return [verb for verb in verbs if verb != "command"] if any(verb in METHODS for verb in verbs) else verbs


def checks_without_place(data: Iterable[Any], where: Where) -> tuple[LayerCheck, ...]:
    """The checks in a list whose places are not known any more: of a VM, which is at ``where``.

    :raises InputErrors: one is about nothing, or about several things.
    """
    found: list[LayerCheck] = []
    errors: list[InputError] = []
    for n, item in enumerate(data):
        verbs = _verbs(item)
        if len(verbs) == 1:
            found.append(LayerCheck(value(item), where, verb=verbs[0]))
        else:
            has = f"it has {' and '.join(verbs)}" if verbs else "it has none"
            message = f"a check is about one thing, but eval[{n}]: {has}"
            errors.append(InputError(message, hint=f"one of {', '.join(VERBS[:17])}", where=where))
    if errors:
        raise InputErrors(errors)
    return tuple(found)


def layer_checks(data: Mapping[str, Any], document: Document) -> tuple[list[LayerCheck], list[InputError]]:
    """The checks in ``eval`` and in the scenarios of ``description``."""
    found, errors = checks(data.get("eval", ()), document, ("eval",))
    description = data.get("description")
    stories = description.get("scenario", ()) if isinstance(description, dict) else ()
    for n, story in enumerate(stories):
        more, wrong = checks(story.get("steps", ()), document, ("description", "scenario", n, "steps"))
        found += more
        errors += wrong
    return found, errors
