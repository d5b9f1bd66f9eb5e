"""A project's files → :class:`Project`. All errors are collected, not only the first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovtasks.errors import InputError, InputErrors, Where
from ovtasks.spec import cache as spec_cache
from ovtasks.spec.build import build_vm
from ovtasks.spec.cache import Entry, Kinds, Stamp
from ovtasks.spec.model import Project, VmSpec
from ovtasks.spec.places import ROOT_FILES, display


class LazyVms(Mapping[str, VmSpec]):
    """VMs by name in the order of the files; each :class:`VmSpec` is built when it is first asked for."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = entries
        self._built: dict[str, VmSpec] = {}

    def __getitem__(self, name: str) -> VmSpec:
        built = self._built.get(name)
        if built is None:
            entry = self._entries[name]
            path = Path(entry.file)
            where = Where(display(path), entry.line, entry.column)
            built = self._built[name] = build_vm(name, entry.data(), path.parent, where)
        return built

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<VMs {', '.join(self._entries)}>"


@dataclass(frozen=True, slots=True)
class Checked:
    """What a full check found: every error, and the VMs by name even if some of them are wrong."""

    errors: tuple[InputError, ...]
    names: tuple[str, ...]
    files: Mapping[Path, Stamp]
    entries: Mapping[str, Entry]
    variables: tuple[str, ...]
    plugin_schemas: Mapping[str, Mapping[str, Any]]


def find_root(start: Path) -> Path:
    """The nearest folder, from ``start`` upwards, that holds ``vms.yml``, ``vm.yml`` or ``overthink.yml``.

    :raises InputError: there is none.
    """
    start = start.resolve()
    for folder in (start, *start.parents):
        if any((folder / name).is_file() for name in ROOT_FILES):
            return folder
    raise InputError(
        f"no vms.yml in {start} or any folder above it",
        hint="go to the project's folder, name it with -C, or begin a vms.yml there",
    )


def check(paths: tuple[Path, ...], root: Path | None = None, *, kinds: Kinds | None = None) -> Checked:
    """Read the project in ``root``, or only the files ``paths`` and what they include, and check everything."""
    from ovtasks.spec.read import Reader
    from ovtasks.spec.rules import all_rules
    from ovtasks.spec.schema import Checker

    checker = Checker(kinds)
    reader = Reader(checker)
    if root is not None:
        reader.read_root(root)
    for path in paths:
        reader.read(path)
    vms = tuple(reader.vms.values())
    rule_errors, variables = all_rules(vms)
    order = {display(file): index for index, file in enumerate(reader.files)}
    errors = sorted({str(e): e for e in [*reader.errors, *rule_errors]}.values(), key=lambda e: _position(e, order))
    entries: dict[str, Entry] = {}
    if not errors:
        for vm in vms:
            where = vm.where(key=True)
            entries[vm.name] = Entry.of(vm.data, str(vm.file), where.line, where.column)
    return Checked(tuple(errors), tuple(reader.vms), reader.files, entries, variables, checker.plugin_schemas)


def _position(error: InputError, order: Mapping[str, int]) -> tuple[int, int, int]:
    where = error.where
    return (order.get(where.file, len(order)), where.line, where.column) if where else (len(order), 0, 0)


def load_project(root: Path, *, kinds: Kinds | None = None, cache: bool = True) -> Project:
    """The project in folder ``root`` (see :func:`find_root`).

    ``kinds`` gives the JSON Schema of the ``source:`` mapping of a kind that a plug-in brings, None for an unknown
    kind. With ``cache``, what was checked once is taken from ``output/.ov/spec.cache`` as long as every file, and
    every environment variable that was used, is as it was.

    :raises InputErrors: all that is wrong in all files, in the order of files and lines.
    """
    root = root.resolve()
    store = root / "output" / ".ov" / "spec.cache"
    if cache and (known := spec_cache.load(store, root, kinds)) is not None:
        return Project(root, LazyVms(known.entries), tuple(Path(file) for file in known.files))
    guard = spec_cache.Guard()
    checked = check((), root, kinds=kinds)
    if checked.errors:
        raise InputErrors(checked.errors)
    if cache:
        guard.save(store, root, checked.files, checked.entries, checked.variables, checked.plugin_schemas)
    return Project(root, LazyVms(checked.entries), tuple(checked.files))


def unknown_vm(name: str, project: Project) -> InputError:
    """The error for a VM that the project does not declare, with the names that come near."""
    import difflib

    names = [*project.vms]
    guesses = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if guesses:
        hint = "did you mean " + " or ".join(f"'{guess}'" for guess in guesses) + "?"
    elif names:
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        hint = f"declared are {', '.join(names[:8])}{more}"
    else:
        hint = "the project declares no VMs"
    return InputError(f"no VM '{name}' is declared in {project.root}", hint=hint)
