"""``deploy-schema-v-3``: deployments below ``deploy:``, with a target; flags of VMs move into them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ovtasks.migrate.edit import Edits, Pair, shifted
from ovtasks.migrate.files import Texts
from ovtasks.migrate.flags import move_flags
from ovtasks.migrate.tree import YamlNode, nodes
from ovtasks.migrate.verify import verified
from ovtasks.project.deploy_model import PREFIX, SUFFIX
from ovtasks.project.places import DEPLOY_FILE, LAYER_FILE

VERSION = 3
TARGETS = {"container": "pod", "kubernetes": "k8s"}


def migrate_deploy(texts: Texts) -> None:
    """Bring all files of the project into version 3 of the deployments' format.

    :raises InputError: two entries would have one name, or a change is not possible where it is written.
    """
    names: dict[str, str] = {}
    for path in [*texts.now]:
        if path.name != LAYER_FILE:
            texts.now[path] = _gather(path, texts.now[path])
    for path in [*texts.now]:
        if path.name != LAYER_FILE:
            texts.now[path] = _entries(path, texts.now[path], names)
    for path in [*texts.now]:
        if names and path.name != LAYER_FILE:
            texts.now[path] = _references(path, texts.now[path], names)
    move_flags(texts)


def _roots(text: str) -> Iterator[YamlNode]:
    return (node for node in nodes(text) if node.kind == "map")


def _gather(path: Path, text: str) -> str:
    """The entries of ``images:`` (in deploy.yml) and ``deployments.images`` below ``deploy:``."""
    edits = Edits(path, text)
    old = ("deployments", *(("images",) if path.name == DEPLOY_FILE else ()))
    for root in _roots(text):
        found = root.get(*old)
        if found is None:
            continue
        if (other := root.get("deploy")) is not None:
            hint = f"'deploy' stands at {edits.where(other[0])}; put all entries there"
            raise edits.error(found[0], f"'{found[0].value}' and 'deploy' mean the same", hint)
        edits.scalar(found[0], "deploy")
        if found[0].value == "deployments" and (inner := found[1].get("images")) and inner[1].kind == "map":
            _unwrap(edits, found[1], inner)
    return verified(path, text, edits.done(), partial(_gathered, old=old))


def _gathered(data: Any, old: tuple[str, ...]) -> Any:
    key = next((key for key in old if key in data), None) if isinstance(data, dict) else None
    if key is None:
        return data
    entries = data[key]
    if key == "deployments" and isinstance(entries, dict) and isinstance(entries.get("images"), dict):
        entries = {**{name: entry for name, entry in entries.items() if name != "images"}, **entries["images"]}
    return {**{name: part for name, part in data.items() if name != key}, "deploy": entries}


def _unwrap(edits: Edits, parent: YamlNode, pair: Pair) -> None:
    """Put the entries of a mapping where the mapping itself stands."""
    key, value = pair
    for one, _ in value.pairs:
        if (other := parent.get(one.value)) is not None and other[0] is not key:
            where = edits.where(other[0])
            raise edits.error(one, f"'{one.value}' appears twice", f"first at {where}; rename one of the two")
    if parent.flow:
        inner = edits.text[value.pairs[0][0].start : value.pairs[-1][1].end] if value.pairs else ""
        edits.put(key.start, value.end, inner)
    elif value.flow:
        indent = " " * edits.column(key)
        parts = [edits.text[one.start : below.end] for one, below in value.pairs]
        edits.put(key.start, value.end, f"{edits.newline}{indent}".join(parts))
    else:
        start = edits.line_start(value.pairs[0][0].start)
        end = edits.line_end(value.end)
        by = edits.column(key) - edits.column(value.pairs[0][0])
        between = edits.text[edits.line_end(key.start) : start]
        lines = shifted((between + edits.text[start:end]).splitlines(keepends=True), by)
        edits.put(edits.line_start(key.start), end, "".join(lines))


def _entries(path: Path, text: str, names: dict[str, str]) -> str:
    edits = Edits(path, text)
    for number, root in enumerate(_roots(text)):
        if (found := root.get("deploy")) is None or found[1].kind != "map":
            continue
        before = len(edits)
        _mapping(edits, found[1], names)
        version = root.get("version")
        if version is not None and version[1].value.isdecimal() and int(version[1].value) < VERSION:
            edits.scalar(version[1], str(VERSION))
        elif version is None and number == 0 and len(edits) > before and path.name == DEPLOY_FILE:
            edits.insert(root, [f"version: {VERSION}"])
    return edits.done()


def _mapping(edits: Edits, entries: YamlNode, names: dict[str, str]) -> None:
    for key, value in entries.pairs:
        if key.value == "<<":
            continue
        new = _new_name(key.value)
        if new != key.value:
            if (other := entries.get(new)) is not None:
                hint = f"'{new}' stands at {edits.where(other[0])}; rename one of the two"
                raise edits.error(key, f"'{key.value}' becomes '{new}', which is there already", hint)
            edits.scalar(key, new)
            names[key.value] = new
        _entry(edits, key, value)
        nested = (value.target or value).get("nested")
        if nested is not None and value.kind == "map" and nested[1].kind == "map":
            _mapping(edits, nested[1], names)


def _new_name(name: str) -> str:
    """``web-vm`` of ``vm:web``, ``web-vm/dev`` of ``vm:web/dev``."""
    if not name.startswith(PREFIX):
        return name
    vm, slash, instance = name.removeprefix(PREFIX).partition("/")
    return f"{vm.removesuffix(SUFFIX)}{SUFFIX}{slash}{instance}"


def _entry(edits: Edits, key: YamlNode, value: YamlNode) -> None:
    entry = value.target or value
    if entry.kind == "list" or (entry.kind == "scalar" and entry.value):
        raise edits.error(value, f"deployment '{key.value}' is not a mapping", "write its fields as key: value")
    target, vm = _merged(entry, "target"), _merged(entry, "vm_source", "vm")
    lines: list[str] = []
    if target is None:
        lines.append(f"target: {_target(key.value, entry)}")
    elif target[1].value in TARGETS:
        edits.scalar(target[1], TARGETS[target[1].value])
    if vm is not None and vm[0].value == "vm_source":
        if (other := entry.get("vm")) is not None:
            hint = f"'vm' stands at {edits.where(other[0])}; keep one of the two"
            raise edits.error(vm[0], "'vm_source' and 'vm' mean the same", hint)
        edits.scalar(vm[0], "vm")
    elif vm is None and key.value.startswith(PREFIX):
        lines.append(f"vm: {key.value.removeprefix(PREFIX).partition('/')[0]}")
    if lines and value.target is not None:
        raise edits.error(value, f"'{key.value}' repeats another entry", f"write it out, with {', '.join(lines)}")
    edits.insert(entry, lines)


def _merged(entry: YamlNode, *names: str) -> Pair | None:
    """A key of the entry, or of what is merged into it."""
    if (found := entry.get(*names)) is not None:
        return found
    for key, value in entry.pairs:
        for one in (value.items or [value]) if key.value == "<<" else ():
            if (found := _merged(one.target or one, *names)) is not None:
                return found
    return None


def _target(name: str, entry: YamlNode) -> str:
    if name == "host":
        return "host"
    if name.startswith(PREFIX) or name.partition("/")[0].endswith(SUFFIX) or _merged(entry, "vm", "vm_source"):
        return "vm"
    return "k8s" if name.endswith("-k8s") or _merged(entry, "kubernetes") else "pod"


def _references(path: Path, text: str, names: dict[str, str]) -> str:
    """Values that name a deployment, alone or as the beginning of a nested path (``vm:web.inner``)."""
    edits = Edits(path, text)
    for root in nodes(text):
        for node in root.walk():
            head, dot, rest = node.value.partition(".")
            if node.kind == "scalar" and node.start < node.end and head in names:
                edits.scalar(node, f"{names[head]}{dot}{rest}")
    return edits.done()
