"""Reads a project's files into a :class:`Project`. All errors are collected, not only the first."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ovtasks.errors import InputError, InputErrors, Where
from ovtasks.host import beneath
from ovtasks.host.paths import VM_VARIABLES, anything_said, settings_file
from ovtasks.project import cache as spec_cache
from ovtasks.project.build import build_vm
from ovtasks.project.cache import CacheEntry, FileStat, Kinds
from ovtasks.project.model import ImageSpec, LayerXml, Placement, Project, VmSpec
from ovtasks.project.placement import Named
from ovtasks.project.places import LAYER_FILE, LESSER_FILES, ROOT_FILES, display

if TYPE_CHECKING:
    from ovtasks.project.declared import Declared, DeclaredVm
    from ovtasks.project.deploy import Layered
    from ovtasks.project.deploy_model import Deployment
    from ovtasks.project.layer_model import LayerSpec
    from ovtasks.project.read import ProjectReader

T = TypeVar("T")


class Lazy(Mapping[str, T]):
    """VMs or images by name, in the order of the files. A spec is built on first use."""

    def __init__(self, entries: Mapping[str, CacheEntry], build: Callable[[str, CacheEntry, Path, Where], T]) -> None:
        self._entries = entries
        self._build = build
        self._built: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        built = self._built.get(name)
        if built is None:
            entry = self._entries[name]
            path = Path(entry.file)
            where = Where(display(path), entry.line, entry.column)
            built = self._built[name] = self._build(name, entry, path.parent, where)
        return built

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<{', '.join(self._entries)}>"


def _vm_builder() -> Callable[[str, CacheEntry, Path, Where], VmSpec]:
    """Builds VMs; the user's settings are read once, when the first one is built."""
    return functools.partial(_build_vm, functools.cache(_defaults))


def _defaults() -> Mapping[str, str]:
    if not anything_said():
        return {}
    from ovtasks.host.settings import vm_defaults

    return vm_defaults()


def _build_vm(
    defaults: Callable[[], Mapping[str, str]], name: str, entry: CacheEntry, base: Path, where: Where
) -> VmSpec:
    layers, placed = (LayerXml(*layer) for layer in entry.layers), (Placement(*one) for one in entry.placed)
    built = build_vm(name, entry.data(), base, where, tuple(layers), tuple(placed), defaults())
    if not entry.bases:
        return built
    return replace(built, bases=tuple(Where(display(Path(file)), *place) for file, *place in entry.bases))


def _build_image(name: str, entry: CacheEntry, base: Path, where: Where) -> ImageSpec:
    from ovtasks.project.images import build_image

    return build_image(name, entry.data(), base, where)


def _build_deployment(name: str, entry: CacheEntry, base: Path, where: Where) -> Deployment:
    from ovtasks.project.deploy_model import restore_deployment

    return restore_deployment(entry.data(), where)


def _restore_layer(name: str, entry: CacheEntry, base: Path, where: Where) -> LayerSpec:
    from ovtasks.project.layer_cache import unpack_layer

    return unpack_layer(entry.data(), where.file)


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of a full check: every error, and the names of all VMs and images, even of wrong ones.

    ``ignored`` are fields that are accepted and change nothing.
    """

    errors: tuple[InputError, ...]
    names: tuple[str, ...]
    image_names: tuple[str, ...]
    files: Mapping[Path, FileStat]
    entries: Mapping[str, CacheEntry]
    images: Mapping[str, CacheEntry]
    variables: tuple[str, ...]
    plugin_schemas: Mapping[str, Mapping[str, Any]]
    layers: tuple[LayerSpec, ...] = ()
    deployments: Mapping[str, CacheEntry] = field(default_factory=dict)
    ignored: tuple[Named, ...] = ()
    wrong: Mapping[str, tuple[InputError, ...]] = field(default_factory=dict)
    templates: tuple[str, ...] = ()


def find_root(start: Path) -> Path:
    """The nearest folder, from ``start`` upwards, that holds ``vms.yml``, ``vm.yml`` or ``overthink.yml``; if there
    is none, the nearest with images or deployments.

    :raises InputError: there is none.
    """
    start = start.resolve()
    strange: list[Path] = []
    for names in (ROOT_FILES, LESSER_FILES):
        for folder in (start, *start.parents):
            places = [folder / name for name in names]
            if any(path.is_file() for path in places):
                return folder
            strange += [path for path in places if os.path.lexists(path)]
    hint = "go to the project's folder, name it with -C, or start one with ov init"
    if strange:
        hint = f"{strange[0]} is not a file but a folder, a pipe or a link to nothing; -C names another project"
    raise InputError(f"no vms.yml in {start} or any folder above it", hint=hint)


def check(
    paths: tuple[Path, ...], root: Path | None = None, *, kinds: Kinds | None = None, all_layers: bool = False
) -> Checked:
    """Read the project in ``root``, or only the files ``paths`` and what they include, and check everything.

    With ``all_layers`` that includes the layers that no deployment uses; a mistake in them is no mistake in a VM.
    """
    from ovtasks.project.images import image_rules
    from ovtasks.project.mistakes import mistakes
    from ovtasks.project.read import ProjectReader
    from ovtasks.project.rules import all_rules
    from ovtasks.project.schema import Checker

    checker = Checker(kinds)
    reader = ProjectReader(checker)
    if root is not None:
        reader.read_root(root)
    for path in paths:
        reader.read(path)
    reader.settle()
    reader.vms.update((one.name, one) for one in reader.deployments.clones(reader.vms))
    vms, images = tuple(reader.vms.values()), tuple(reader.images.values())
    rule_errors, variables = all_rules(vms)
    deployments, layered = reader.deployed(root) if root is not None else ([], {})
    layers: list[LayerSpec] = []
    if root is not None:
        in_images = reader.layered_images(root, reader.errors if all_layers else [])
        layered = {name: (*in_images.get(name, ()), *layered.get(name, ())) for name in {**in_images, **layered}}
        layers = reader.layers(root).all(reader.errors) if all_layers else reader.layers(root).whole()
    image_errors, image_variables = image_rules(images, vms)
    errors = _in_order(reader, [*rule_errors, *image_errors])
    wrong = mistakes(errors, reader.images)
    deployments = [one for one in deployments if f"deploy:{one.name}" not in wrong]
    used = tuple(sorted({*variables, *image_variables, *VM_VARIABLES, "XDG_CONFIG_HOME", "HOME"}))
    good = [one for one in vms if one.owner not in wrong], [one for one in images if one.owner not in wrong]
    entries = (_entries(_completed(good[0]), layered, deployments), _entries(good[1], {}, ()))
    names = (tuple(reader.vms), tuple(reader.images))
    return Checked(
        tuple(errors),
        *names,
        reader.files,
        *entries,
        used,
        checker.plugin_schemas,
        tuple(layers),
        {one.name: _deployment_entry(one) for one in deployments},
        tuple(reader.ignored),
        wrong,
        reader.heritage.templates,
    )


def _completed(vms: list[DeclaredVm]) -> list[DeclaredVm]:
    if not any(vm.get("source", "kind") == "clone" for vm in vms):
        return vms
    from ovtasks.project.clones import completed

    return completed(vms)


def _in_order(reader: ProjectReader, more: Iterable[InputError]) -> list[InputError]:
    """The reader's errors and those of rules, in the order of files and lines, each with all whom it spoils."""
    from ovtasks.project.mistakes import blame, merged

    order = {display(file): index for index, file in enumerate(reader.files)}
    blamed = {error.where for error in reader.errors}  # rules need not repeat what the schema has found wrong
    more = [e for e in more if not (e.message.startswith("libvirt.") and e.where in blamed)]
    errors = sorted(merged([*reader.errors, *more]), key=lambda e: _position(e, order))
    blame(errors, reader.vms, reader.images, reader.deployments.seen)
    return errors


def check_layer(path: Path) -> Checked:
    """Check the layer whose file is ``path``, alone."""
    from ovtasks.project.layer_file import read_layer
    from ovtasks.project.schema import Checker

    layer, errors = read_layer(path, Checker())
    return Checked(tuple(errors), (), (), {}, {}, {}, (), {}, (layer,) if layer else ())


def _entries(found: Iterable[Declared], layered: Layered, deployments: Iterable[Deployment]) -> dict[str, CacheEntry]:
    placed: dict[str, list[Placement]] = {}
    for deployment in deployments:
        placed.setdefault(deployment.vm, []).append(deployment.placement)
    places = ((one, one.where(key=True)) for one in found)
    return {
        one.name: CacheEntry.of(
            one.data,
            str(one.file),
            where.line,
            where.column,
            layered.get(one.name, ()),
            placed.get(one.name, ()),
            _places(one),
        )
        for one, where in places
    }


def _places(one: Declared) -> Iterator[tuple[str, int, int]]:
    """Where the entries begin that this one inherits from."""
    for base in one.bases:
        where = base.where(key=True)
        yield str(base.file), where.line, where.column


def _deployment_entry(one: Deployment) -> CacheEntry:
    from ovtasks.values.jsonvalue import plain

    return CacheEntry.of(plain(one), str(one.file), one.where.line, one.where.column)


def _layer_entry(layer: LayerSpec) -> CacheEntry:
    from ovtasks.project.layer_cache import pack_layer

    return CacheEntry.of(pack_layer(layer), str(layer.folder / LAYER_FILE), 1, 1)


def _position(error: InputError, order: Mapping[str, int]) -> tuple[int, int, int]:
    where = error.where
    return (order.get(where.file, len(order)), where.line, where.column) if where else (len(order), 0, 0)


def load_project(root: Path, *, kinds: Kinds | None = None, cache: bool = True, tolerant: bool = False) -> Project:
    """The project in folder ``root`` (see :func:`find_root`).

    ``kinds`` gives the JSON Schema of the ``source:`` mapping for a plugin's kind, None for an unknown kind. With
    ``cache`` a project that was checked before comes from ``output/.ov/spec.cache``, as long as no file and no
    environment variable that was used has changed. ``tolerant``: the mistakes of single VMs, images and deployments are
    in the project's ``wrong``, and the others are there.

    :raises InputErrors: everything that is wrong in all files, in the order of files and lines; if ``tolerant``, only
        when an error spoils the whole project.
    :raises UnsafeError: ``output`` is a link to a folder that has not consented.
    """
    root = root.resolve()
    beneath.guard(root / "output", project=root)
    beneath.check(root / "output")
    store = root / "output" / ".ov" / "spec.cache"
    own = settings_file()
    if cache and (known := spec_cache.load(store, root, kinds)) is not None:
        files = (Path(file) for file in known.files if file != str(own))
        return _project(root, known, files, Lazy(known.layers, _restore_layer))
    guard = spec_cache.Guard()
    before = spec_cache.file_stat(own)
    checked = check((), root, kinds=kinds)
    if checked.errors and not (tolerant and all(error.owners for error in checked.errors)):
        raise InputErrors(checked.errors)
    if cache and not checked.errors:
        layers = {layer.name: _layer_entry(layer) for layer in checked.layers}
        found = (checked.entries, checked.images, checked.deployments, layers)
        guard.save(store, root, {**checked.files, own: before}, found, checked.variables, checked.plugin_schemas)
    return _project(root, checked, checked.files, {layer.name: layer for layer in checked.layers})


def _project(
    root: Path,
    found: Checked | spec_cache.CacheContent,
    files: Iterable[Path],
    layers: Mapping[str, LayerSpec],
) -> Project:
    vms, images = Lazy(found.entries, _vm_builder()), Lazy(found.images, _build_image)
    deployments = Lazy(found.deployments, _build_deployment)
    wrong = found.wrong if isinstance(found, Checked) else {}
    return Project(root, vms, tuple(files), images, found.variables, deployments, layers, wrong)


def unknown_vm(name: str, project: Project) -> InputError:
    """The error for a VM that the project does not declare, with similar names; or what is wrong with it."""
    from ovtasks.project.images import near_names

    if name in project.wrong:
        from ovtasks.project.mistakes import one_of

        return one_of(project.wrong[name])
    if name in check((), project.root).templates:
        return InputError(f"'{name}' is a template, which is not built", hint=f"a VM takes it: extends: {name}")
    hint = near_names(name, project.vms) or "the project declares no VMs"
    return InputError(f"no VM '{name}' is declared in {project.root}", hint=hint)


def unknown_image(name: str, project: Project) -> InputError:
    """The error for an image that the project does not declare; or what is wrong with it. Only errors read again."""
    from ovtasks.project.images import near_names

    if found := (project.wrong or check((), project.root).wrong).get(f"image:{name}"):
        return found[0]
    hint = near_names(name, project.images) or "the project declares no images; they stand in image.yml"
    return InputError(f"no image '{name}' is declared in {project.root}", hint=hint)
