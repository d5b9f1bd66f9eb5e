"""Reads the files of a project: which ones, in which order, and the VMs and images in them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovtasks.errors import InputError, Where
from ovtasks.host.yamlfile import read_yaml
from ovtasks.project.cache import FileStat, file_stat
from ovtasks.project.declared import IMAGE, Declared, DeclaredImage, DeclaredVm
from ovtasks.project.deploy import Deployments, Layered
from ovtasks.project.file_names import is_single, with_our_names
from ovtasks.project.images import chain_of
from ovtasks.project.inherit import Heritage
from ovtasks.project.layers import Layers
from ovtasks.project.official import written_out
from ovtasks.project.placement import Named
from ovtasks.project.places import (
    DEFAULTS,
    DEPLOY_FILE,
    IMAGE_FILES,
    LAYER_FILE,
    MIGRATING,
    ROOT_FILES,
    VM_FILES,
    display,
)
from ovtasks.project.schema import Checker
from ovtasks.project.unused import unused_of_image, unused_of_vm, unused_sections
from ovtasks.values.yamlio import Document, Key

if TYPE_CHECKING:
    from ovtasks.project.deploy_model import Deployment

# Declarations of other kinds, for other parts of ov. An include of such a file is noted and otherwise left alone.
OTHER_FILES = frozenset({LAYER_FILE, "layers.yml", "build.yml", "pod.yml"})

OTHER_KINDS = frozenset({"local.yml", "k8s.yml", "host.yml", "eval.yml", "android.yml"})
"""Files that hold nothing for VMs. They are read, for someone may put a VM there, but they need not exist."""
VM_FLAGS = ("disposable", "lifecycle")
"""Of a VM that stands in deploy.yml. Only a deployment's own flag allows to destroy anything."""

EXAMPLE = "vms: {demo: {source: {kind: bootstrap}, disk_size: 2G}}"
IMAGE_EXAMPLE = "images: {desktop: {containerfile: Containerfile, bootc: true}}"


class ProjectReader:
    """Reads a project's files and collects VMs, images and errors. A mistake of the user never raises here."""

    def __init__(self, checker: Checker) -> None:
        self.checker = checker
        self.errors: list[InputError] = []
        self.vms: dict[str, DeclaredVm] = {}
        self.images: dict[str, DeclaredImage] = {}
        self.heritage = Heritage(checker, self.errors)
        self.deployments = Deployments(checker, self.errors)
        self.ignored: list[Named] = []  # what is accepted and changes nothing
        self.files: dict[Path, FileStat] = {}  # read or looked for; with its stat from just before
        self._layers: Layers | None = None
        self._active: list[Path] = []
        self._done: set[Path] = set()
        self._spoiled: set[str] = set()  # owners of entries that are wrong as YAML: what they lack is no news

    def read_root(self, root: Path) -> None:
        """Read ``overthink.yml`` and what it includes, then ``vms.yml``, ``vm.yml``, ``images.yml``, ``image.yml``."""
        if os.path.isfile(root / MIGRATING / "journal.json"):  # noqa: PTH113
            where = Where(display(root / MIGRATING))
            hint = "`ov migrate` finishes it"
            self.errors.append(InputError("a migration of this project was interrupted", hint=hint, where=where))
            return
        for name in (*ROOT_FILES, *IMAGE_FILES):
            path = root / name
            self._note(path)
            if _exists(path):
                self.read(path)
        self._deploy(root / DEPLOY_FILE)

    def _deploy(self, path: Path) -> None:
        """Read a ``deploy.yml``, once, if there is one."""
        real = _real(path)
        self._note(path)
        if real not in self._done and os.path.isfile(path):  # noqa: PTH113 — unlike Path.is_file, takes any text
            self._done.add(real)
            try:
                documents = read_yaml(path, display(path), with_mistakes=True)
            except InputError as e:
                self.errors.append(e)
                return
            for document in documents:
                self._note_mistakes(document)
                self._deploy_document(document, path)

    def _deploy_document(self, document: Document, path: Path) -> None:
        document = self._ours(document)
        data, errors = self.checker.check_file(document.data, document, "deploy")
        self.errors += errors
        if isinstance(data, dict):
            self.ignored += unused_sections(data, document, "deploy")
            self.deployments.add(document, path)
            for name, value, place in (*_entries(data, "vms"), *_entries(data, "vm")):
                self._vm(name, self._without_flags(value, document, place), document, place, path)

    def _without_flags(self, value: Any, document: Document, path: tuple[Key, ...]) -> Any:
        """A VM of ``deploy.yml`` without the flags that count in a deployment only."""
        if not isinstance(value, dict):
            return value
        self.ignored += [Named(key, document.where(*path, key, key=True)) for key in VM_FLAGS if key in value]
        return {key: part for key, part in value.items() if key not in VM_FLAGS}

    def deployed(self, root: Path) -> tuple[list[Deployment], Layered]:
        """The deployments, and what their layers, which lie in the project in ``root``, bring to the VMs."""
        deployments = self.deployments.build(self.vms)
        self.ignored += [field for one in deployments for field in one.ignored]
        return deployments, self.deployments.layered(self.layers(root))

    def layers(self, root: Path) -> Layers:
        """The layers of the project in ``root``."""
        if self._layers is None:
            self._layers = Layers(root, self.checker, self._note)
        return self._layers

    def layered_images(self, root: Path, errors: list[InputError]) -> Layered:
        """Read the layers that images are made of; what is wrong is added to ``errors``.

        Returns what they bring to the VMs that are made from these images. An image has the layers of its base, too.
        """
        own: Layered = {}
        needed = {image for vm in self.vms.values() for image in self._images_of(vm)}
        for image in self.images.values():
            key = "layers" if image.get("layers") else "layer"
            names = [(name, image.where(key, n)) for n, name in enumerate(image.list(key)) if isinstance(name, str)]
            if image.name not in needed:  # a layer of another repository makes it an image that is built elsewhere
                self.ignored += [Named(f"layer {name}", where) for name, where in names if name.startswith("@")]
                names = [one for one in names if not one[0].startswith("@")]
            wrong: list[InputError] = []
            own[image.name] = tuple(xml for layer in self.layers(root).order(names, wrong) for xml in layer.xml)
            errors += (error.of(image.owner) for error in wrong)
        found: Layered = {}
        for vm in self.vms.values():
            if brought := [xml for image in self._images_of(vm) for xml in own[image]]:
                found[vm.name] = tuple(dict.fromkeys(brought))
        return found

    def _images_of(self, vm: DeclaredVm) -> list[str]:
        """The declared images that a VM is made from, the first one first."""
        name = vm.text("source", "image") if vm.text("source", "kind") == "bootc" else None
        return [image.name for image in chain_of(name, self.images)]

    def _note(self, path: Path) -> None:
        self.files.setdefault(path, file_stat(path))

    def read(self, path: Path) -> None:
        """Read a file and what it includes, each file once."""
        real = _real(path)
        self._note(path)
        if real in self._done:
            return
        self._active.append(real)
        try:
            documents = read_yaml(path, display(path), with_mistakes=True)
        except InputError as e:
            self.errors.append(e)
            documents = None
        if documents == []:
            where = Where(display(path), 1, 1)
            hint = f"a file starts like this: {_example(path)}"
            self.errors.append(InputError("the file is empty", hint=hint, where=where))
        for document in documents or ():
            self._note_mistakes(document)
            self._document(document, path)
        self._active.pop()
        self._done.add(real)

    def _note_mistakes(self, document: Document) -> None:
        """Add what is wrong with a document as YAML; inside an entry it is that entry's mistake."""
        if not document.mistakes:
            return
        from ovtasks.project.spoiled import owner_at

        for mistake in document.mistakes:
            owner = owner_at(mistake.path, document.data)
            error = mistake.error
            self.errors.append(error.of(owner) if owner else error)
            self._spoiled |= {owner} if owner else set()

    def _ours(self, document: Document) -> Document:
        """The document with our names for its keys."""
        document, errors = with_our_names(document)
        self.errors += errors
        return document

    def _document(self, document: Document, path: Path) -> None:
        document = self._ours(document)
        data = document.data
        if not isinstance(data, dict):
            kind = "a list" if isinstance(data, list) else "a single value"
            message = f"the top level must be a mapping, not {kind}"
            hint = f"a file starts like this: {_example(path)}"
            self.errors.append(InputError(message, hint=hint, where=document.where()))
            return
        # Other kinds are known in every file, except in files for VMs or images alone.
        schema = "vms" if path.name in VM_FILES else "image" if path.name in IMAGE_FILES else "overthink"
        self.errors += self.checker.check_root(data, document, schema)
        self.ignored += unused_sections(data, document, schema)
        if schema == "vms" and data.get(DEFAULTS) is not None:
            self.heritage.add_defaults(Declared(DEFAULTS, data[DEFAULTS], document, (DEFAULTS,), path))
        if schema != "image":
            for name, value, place in (*_entries(data, "vms"), *_entries(data, "vm")):
                self._vm(name, value, document, place, path)
        if schema != "vms":
            for name, value, place in (*_entries(data, "images"), *_entries(data, "image")):
                self._image(name, value, document, place, path)
        if schema == "overthink":
            self.deployments.add(document, path)
        includes = data.get("includes")
        items: list[tuple[Any, tuple[Key, ...]]] = [(includes, ("includes",))]
        if isinstance(includes, list):
            items = [(item, ("includes", index)) for index, item in enumerate(includes)]
        for item, place in items:
            if isinstance(item, str) and item:
                self._include(item, document.where(*place), path)

    def _vm(self, name: str, value: Any, document: Document, path: tuple[Key, ...], file: Path) -> None:
        where = document.where(*path, key=True)
        example = f"{name}: {{source: {{kind: bootstrap}}, disk_size: 2G}}"
        if self._is_new(f"VM '{name}'", name, self.heritage.entries.get(name), value, where, example):
            self.heritage.add(DeclaredVm(name, value, document, path, file))

    def settle(self) -> None:
        """Make the VMs from all entries, when every file is read."""
        for vm, whole in self.heritage.vms():
            check = self.checker.check_vm if whole else self.checker.check_part
            data, errors = check(written_out(vm.data), vm.document, vm.path)
            vm = replace(vm, data=data)
            if vm.mapping("cloud_init"):
                from ovtasks.project.user_data import pass_on

                vm, more = pass_on(vm)
                errors += more
            self.vms[vm.name] = vm
            self.errors += (error.of(vm.name) for error in errors if vm.name not in self._spoiled)
            self.ignored += (one for one in unused_of_vm(self.vms[vm.name]) if one not in self.ignored)

    def _image(self, name: str, value: Any, document: Document, path: tuple[Key, ...], file: Path) -> None:
        where = document.where(*path, key=True)
        example = f"{name}: {{ref: quay.io/fedora/fedora-bootc:42, bootc: true}}"
        if self._is_new(f"image '{name}'", f"{IMAGE}{name}", self.images.get(name), value, where, example):
            data, errors = self.checker.check_image(value, document, path)
            self.images[name] = image = DeclaredImage(name, data, document, path, file)
            self.errors += (error.of(image.owner) for error in errors if image.owner not in self._spoiled)
            self.ignored += unused_of_image(image)

    def _is_new(self, what: str, owner: str, before: Declared | None, value: Any, where: Where, example: str) -> bool:
        """Whether the name is new and has a value; otherwise an error of ``owner`` is noted."""
        if before is not None:
            hint = f"also at {before.where(key=True)}; rename or remove one of the two"
            self.errors.append(InputError(f"{what} is defined twice", hint=hint, where=where).of(owner))
        elif value is None and owner not in self._spoiled:
            hint = f"for example: {example}"
            self.errors.append(InputError(f"{what} declares nothing", hint=hint, where=where).of(owner))
        return before is None and value is not None

    def _include(self, pattern: str, where: Where, file: Path) -> None:
        if "**" in pattern:
            hint = "name the folders one by one: layers/*/vms.yml"
            self.errors.append(InputError("** is not supported in includes", hint=hint, where=where))
            return
        found = [*self._matches(file.parent, pattern)]
        magic = _is_pattern(pattern)
        for path in found:
            if path.name == DEPLOY_FILE:
                self._deploy(path)
                continue
            if path.name in OTHER_FILES:
                self._note(path)
                continue
            if os.path.isdir(path):  # noqa: PTH112 — unlike Path.is_dir, takes any text
                hint = f"name a file: {pattern}/vms.yml"
                self.errors.append(InputError(f"{pattern} is a folder", hint=hint, where=where))
            elif not _exists(path) and path.name in OTHER_KINDS:
                self._note(path)
                self.ignored.append(Named(pattern, where))
            elif not _exists(path):
                self._note(path)
                hint = "paths start at this file's folder"
                self.errors.append(InputError(f"included file {pattern} does not exist", hint=hint, where=where))
            elif (real := _real(path)) in self._active:
                if magic:  # a pattern may match the file that it stands in
                    continue
                chain = [*self._active[self._active.index(real) :], real]
                message = "includes form a circle: " + " → ".join(display(step) for step in chain)
                self.errors.append(InputError(message, hint="remove one of these includes", where=where))
            else:
                self.read(path)

    def _matches(self, base: Path, pattern: str) -> Iterator[Path]:
        """The files that ``pattern`` names. Searched folders are noted, since a new file may appear in them."""
        if not _is_pattern(pattern):
            yield base / pattern
            return
        paths = [base if not pattern.startswith("/") else Path("/")]
        parts = [part for part in pattern.split("/") if part]
        for index, part in enumerate(parts):
            if not _is_pattern(part):
                paths = [path / part for path in paths]
                continue
            for path in paths:
                self._note(path)
            expression = re.compile(_expression(part))
            last = index == len(parts) - 1
            paths = [
                path / name
                for path in paths
                for name in _listing(path)
                if expression.fullmatch(name) and (path / name).is_dir() is not last
            ]
        for path in paths:
            if _exists(path):
                yield path
            else:
                self._note(path)


def _entries(data: dict[str, Any], key: str) -> Iterator[tuple[str, Any, tuple[Key, ...]]]:
    """Name, value and place of each entry under a root key: ``vms``, ``vm``, ``images``, ``image``."""
    value = data.get(key)
    if not isinstance(value, dict):
        return
    if is_single(key, value):
        yield str(value["name"]), {item: part for item, part in value.items() if item != "name"}, (key,)
        return
    for entry, part in value.items():
        yield entry, part, (key, entry)


def _example(path: Path) -> str:
    return IMAGE_EXAMPLE if path.name in IMAGE_FILES else EXAMPLE


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 — unlike Path.exists, takes any text


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _listing(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 — only names are wanted
    except (OSError, ValueError):
        return []


def _is_pattern(text: str) -> bool:
    return "*" in text or "?" in text


def _expression(part: str) -> str:
    """A file name pattern as a regular expression. Only a pattern that begins with a dot matches hidden files."""
    body = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in part)
    return body if part.startswith(".") else f"(?![.]){body}"
