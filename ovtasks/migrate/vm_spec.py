"""``vm-spec``: ``vm``, ``libvirt`` and ``bootc`` of an image become a VM of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ovtasks.errors import InputError
from ovtasks.migrate.append import append_entry
from ovtasks.migrate.edit import Edits, Pair
from ovtasks.migrate.files import Texts
from ovtasks.migrate.tree import YamlNode, entries, filled, nodes
from ovtasks.migrate.verify import verified, without
from ovtasks.project.places import LAYER_FILE, PROJECT_FILE, VM_FILES
from ovtasks.project.schema import source_schema, vm_schema
from ovtasks.values.yamlio import parse_yaml

SUFFIX = "-bootc"
SECTIONS = ("images", "image", "box")
SOURCE = ("transport", "rootfs", "root_size", "kernel_args")
HEADER = "# Made by ov migrate vm-spec of what images said about VMs."
_INDENT = 2


@dataclass(frozen=True)
class _LegacyImage:
    """An image of an image file; ``legacy`` are its keys about a VM."""

    edits: Edits
    key: YamlNode
    value: YamlNode

    @property
    def legacy(self) -> list[Pair]:
        return [pair for pair in self.value.pairs if pair[0].value in {"vm", "libvirt"}]

    @property
    def bootc(self) -> bool:
        found = self.value.get("bootc")
        return found is not None and found[1].value.lower() == "true"


def migrate_vm_spec(texts: Texts, *, bare: bool) -> None:
    """Make the VMs, take the fields out of the images, and let deployments name the VMs.

    ``bare``: also for images that have ``bootc: true`` alone, from which no VM is made and no image is built.

    :raises InputError: a VM of that name says something else, or a field has no place in a VM.
    """
    vms = _declared(texts)
    used = {str(vm["source"].get("image")) for _, vm in vms.values() if isinstance(vm, dict) and _has_source(vm)}
    renames: dict[str, str] = {}
    made: list[list[str]] = []
    for path in [*texts.now]:
        if path.name == LAYER_FILE:
            continue
        edits = Edits(path, texts.now[path])
        images = [*_images(edits)]
        bases = {pair[1].value for image in images if (pair := image.value.get("base"))}
        for image in images:
            alone = bare and image.bootc and image.key.value not in used | bases
            if not image.legacy and not alone:
                continue
            name = image.key.value if image.key.value.endswith(SUFFIX) else f"{image.key.value}{SUFFIX}"
            lines = _entry(image, name)
            if name not in vms:
                made.append(lines)
                vms[name] = (str(image.edits.where(image.key)), None)
            else:
                _compare(image, name, lines, vms[name])
            if image.legacy:
                image.edits.remove(image.value, image.legacy)
            if image.key.value not in vms:
                renames[image.key.value] = name
        keys = {image.key.value: tuple(key.value for key, _ in image.legacy) for image in images}
        taken = partial(without, sections=SECTIONS, keys=keys)
        texts.now[path] = verified(path, edits.text, edits.done(), taken)
    for lines in made:
        append_entry(texts, _file(texts), "vms", lines, HEADER)
    _include(texts)
    for path in [*texts.now]:
        if path.name != LAYER_FILE and renames:
            texts.now[path] = _references(path, texts.now[path], renames)


def _has_source(vm: dict[str, Any]) -> bool:
    return isinstance(vm.get("source"), dict)


def _include(texts: Texts) -> None:
    """Name a new vms.yml in the list of includes, if there is one."""
    new, path = texts.root / VM_FILES[0], texts.root / PROJECT_FILE
    if new in texts.before or new not in texts.now or path not in texts.now:
        return
    edits = Edits(path, texts.now[path])
    for root in nodes(edits.text):
        pair = root.get("includes", "include")
        if pair is None or pair[1].kind != "list" or not pair[1].items:
            continue
        last = pair[1].items[-1]
        if pair[1].flow:
            edits.put(last.end, last.end, f", {new.name}")
        else:
            start, end = edits.line_start(last.start), edits.line_end(last.end)
            gap = "" if edits.text[start:end].endswith("\n") else edits.newline
            hyphen = edits.text[start : last.start]
            edits.put(end, end, f"{gap}{hyphen}{new.name}{edits.newline}")
    texts.now[path] = edits.done()


def _declared(texts: Texts) -> dict[str, tuple[str, Any]]:
    """The place and the data of every VM, by name."""
    found: dict[str, tuple[str, Any]] = {}
    for path, text in texts.now.items():
        if path.name == LAYER_FILE:
            continue
        edits = Edits(path, text)
        data = parse_yaml(text.encode(), str(path))
        for document, root in zip(data, filled(text), strict=True):
            for section in ("vms", "vm"):
                part = document.data.get(section) if isinstance(document.data, dict) else None
                if isinstance(part, dict):
                    for key, _ in entries(root.get(section)):
                        found[key.value] = (str(edits.where(key)), part.get(key.value, part))
    return found


def _images(edits: Edits) -> Iterator[_LegacyImage]:
    for root in nodes(edits.text):
        for section in SECTIONS:
            for key, value in entries(root.get(section)):
                if value.kind == "map":
                    yield _LegacyImage(edits, key, value)


def _file(texts: Texts) -> Path:
    """Where VMs stand: the file that has some, else a new vms.yml."""
    for name in (*VM_FILES, PROJECT_FILE):
        path = texts.root / name
        if path in texts.now and any(root.get("vms", "vm") for root in nodes(texts.now[path])):
            return path
    return texts.root / VM_FILES[0]


def _entry(image: _LegacyImage, name: str) -> list[str]:
    """The lines of the VM."""
    edits, parts = image.edits, dict[str, list[str]]()
    source = ["kind: bootc", f"image: {image.key.value}"]
    vm = image.value.get("vm")
    if vm is not None and vm[1].kind == "alias":
        _movable(edits, vm[1])
    if vm is not None and vm[1].kind != "map":
        raise edits.error(vm[1], "'vm' of an image must be a mapping", "write its fields as key: value")
    known = vm_schema()["properties"]
    for pair in vm[1].pairs if vm else ():
        key, value = pair
        _movable(edits, value)
        if key.value in SOURCE or (key.value in source_schema("bootc")["properties"] and key.value not in known):
            source += _lines(edits, vm[1], pair, key.value) if vm else []
        elif key.value == "network" and value.kind == "scalar":
            text = edits.text[value.start : value.end]
            mode = ["mode: user"] if value.value == "user" else ["mode: bridge", f"bridge: {text}"]
            parts["network"] = ["network:", *(f"  {line}" for line in mode)]
        elif key.value == "ssh_port":
            if vm and (other := vm[1].get("ssh")):
                raise edits.error(key, "'ssh_port' and 'ssh' mean the same", f"'ssh' stands at {edits.where(other[0])}")
            port = "".join(_lines(edits, vm[1], pair, "port")) if vm else ""
            parts["ssh"] = ["ssh:", "  user: root", f"  {port}"]
        elif key.value in known and key.value != "source":
            parts[key.value] = _lines(edits, vm[1], pair, key.value) if vm else []
        else:
            raise edits.error(key, f"'{key.value}' does not belong in a VM", "remove it, then repeat")
    if (libvirt := image.value.get("libvirt")) is not None:
        _movable(edits, libvirt[1])
        if libvirt[1].kind == "list":
            inner = _lines(edits, image.value, libvirt, "snippets")
            parts["libvirt"] = ["libvirt:", *(f"  {line}" if line else line for line in inner)]
        else:
            parts["libvirt"] = _lines(edits, image.value, libvirt, "libvirt")
    body = ["source:", *(f"  {line}" if line else line for line in source)]
    body += [line for part in parts.values() for line in part]
    return [f"{name}:", *(" " * _INDENT + line if line else line for line in body)]


def _lines(edits: Edits, parent: YamlNode, pair: Pair, name: str) -> list[str]:
    return edits.moved(parent, pair, name, 0).splitlines()


def _movable(edits: Edits, value: YamlNode) -> None:
    for node in value.walk():
        if node.kind == "alias" or node.anchor:
            hint = "write the value out: an anchor and its aliases belong to one file"
            raise edits.error(node, "this moves into another place, and an anchor or alias cannot", hint)


def _compare(image: _LegacyImage, name: str, lines: list[str], declared: tuple[str, Any]) -> None:
    """Whether the VM that is there says all that the image says.

    :raises InputError: it does not.
    """
    place, data = declared
    (wanted,) = parse_yaml("\n".join(lines).encode(), name)
    assert isinstance(wanted.data, dict)
    if different := next(_missing(wanted.data[name], data, ()), None):
        field = ".".join(different)
        hint = f"it stands at {place}: write {field} there as it is to be, and remove it from the image"
        message = f"VM '{name}' is there already, and has another {field}"
        pair = image.legacy[0] if image.legacy else (image.key, image.value)
        raise InputError(message, hint=hint, where=image.edits.where(pair[0]))


def _missing(wanted: Any, data: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(wanted, dict) and isinstance(data, dict):
        for key, value in wanted.items():
            yield from _missing(value, data.get(key), (*path, key))
    elif wanted != data:
        yield path


def _references(path: Path, text: str, renames: dict[str, str]) -> str:
    """``vm:`` and names ``vm:x`` of deployments that meant the image's VM."""
    edits = Edits(path, text)
    for root in nodes(text):
        for section in ("deploy", "deployments"):
            pair = root.get(section)
            wrapped = pair[1].get("images") if pair else None
            for part in (pair, wrapped):
                for key, value in part[1].pairs if part and part[1].kind == "map" else ():
                    vm, slash, rest = key.value.removeprefix("vm:").partition("/")
                    if key.value.startswith("vm:") and vm in renames and not value.get("vm", "vm_source"):
                        edits.scalar(key, f"vm:{renames[vm]}{slash}{rest}")
                    named = value.get("vm", "vm_source")
                    if named is not None and named[1].value in renames:
                        edits.scalar(named[1], renames[named[1].value])
    return edits.done()
