"""``defaults:``, ``extends:`` and templates: what a VM's entry has from others.

A VM has, from the remotest to the nearest: the ``defaults:`` of its file, the entries that it ``extends``, one after
the other, and its own. A template is an entry that only others use: ``abstract: true``, or a name with a dot before it.
Each entry is checked by itself, too, so that a mistake is told where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ovtasks.errors import InputError
from ovtasks.project.declared import OWN_KEYS, Declared, DeclaredVm
from ovtasks.project.official import written_out
from ovtasks.project.schema import Checker
from ovtasks.values.words import did_you_mean, dotted

_TEMPLATE = re.compile(r"\.?[a-z0-9][a-z0-9-]*", re.ASCII)
_HIDDEN = re.compile(r"\.[^.]")
TEMPLATE_RULE = "a-z or 0-9, then a-z, 0-9 or hyphens, perhaps with a dot before: .base"


class Heritage:
    """The entries of a project by name, and the ``defaults:`` of its files. ``errors`` gets what is wrong."""

    def __init__(self, checker: Checker, errors: list[InputError]) -> None:
        self.entries: dict[str, DeclaredVm] = {}
        self._checker = checker
        self._errors = errors
        self._own: dict[str, dict[str, Any]] = {}
        self._defaults: dict[Path, Declared] = {}
        self._wrong: dict[int, list[InputError]] = {}

    def add(self, entry: DeclaredVm) -> None:
        """Take an entry, as it was read."""
        self.entries[entry.name] = entry
        own = {key: value for key, value in entry.mapping().items() if key in OWN_KEYS}
        if own:
            own, errors = self._checker.check_part(own, entry.document, entry.path)
            self._errors += (error.of(entry.owner) for error in errors)
            self._own[entry.name] = own

    def add_defaults(self, found: Declared) -> None:
        """Take the ``defaults:`` of a file."""
        before = self._defaults.setdefault(found.file, found)
        if before is not found:
            hint = f"also at {before.where(key=True)}; join the two"
            self._errors.append(InputError("a file has one defaults:", hint=hint, where=found.where(key=True)))

    def vms(self) -> Iterator[tuple[DeclaredVm, bool]]:
        """Every VM with what it inherits, and whether that is whole; what is not whole can only be checked as a part.

        Templates and ``defaults:`` are checked, too.
        """
        for defaults in self._defaults.values():
            names = [one.name for one in self.entries.values() if one.file == defaults.file]
            self._errors += (error.of(*names) for error in self._mistakes(defaults))
        for entry in self.entries.values():
            if not self.is_template(entry):
                yield self._settled(entry)
                continue
            self._errors += self._chain(entry)[1]
            self._errors += self._mistakes(entry)

    def is_template(self, entry: DeclaredVm) -> bool:
        """Whether an entry is there for others alone."""
        return bool(_HIDDEN.match(entry.name)) or self._own.get(entry.name, {}).get("abstract") is True

    @property
    def templates(self) -> tuple[str, ...]:
        """The names of all templates."""
        return tuple(name for name, entry in self.entries.items() if self.is_template(entry))

    def _settled(self, vm: DeclaredVm) -> tuple[DeclaredVm, bool]:
        below, errors = self._chain(vm)
        self._errors += errors
        if not isinstance(vm.data, dict):
            return vm, True
        defaults = [*self._defaults_of([vm, *below])]
        if errors or any(self._mistakes(one) for one in defaults):
            return vm, False
        if parts := [*defaults, *reversed(below)]:
            from ovtasks.project.heritage import heir

            return heir(vm, parts), True
        if vm.name not in self._own:
            return vm, True
        return replace(vm, data={key: value for key, value in vm.data.items() if key not in OWN_KEYS}), True

    def _defaults_of(self, entries: Sequence[DeclaredVm]) -> Iterator[Declared]:
        """The ``defaults:`` of the entries' files, each once; those of the VM's own file are the remotest."""
        for file in dict.fromkeys(one.file for one in entries):
            if (found := self._defaults.get(file)) is not None and isinstance(found.data, dict):
                yield found

    def _chain(self, vm: DeclaredVm) -> tuple[list[DeclaredVm], list[InputError]]:
        """The entries that ``vm`` extends, the nearest first; or what is wrong about that."""
        found: list[DeclaredVm] = []
        last = vm
        while isinstance(name := self._own.get(last.name, {}).get("extends"), str):
            base, where = self.entries.get(name), last.where("extends")
            if base is None:
                hint = did_you_mean(name, self.entries) or "it names another entry of vms:, for example .base"
                return [], [InputError(f"extends: there is no '{name}'", hint=hint, where=where).of(vm.owner)]
            if base is vm or base in found:
                return [], [_circle([vm, *found], base).of(vm.owner)]
            if wrong := [*_as_yaml(base), *self._mistakes(base)]:
                message = f"{dotted(last.path)} extends '{name}', which has a mistake"
                hint = f"the mistake stands at {wrong[0].where}"
                return [], [InputError(message, hint=hint, where=where).of(vm.owner)]
            found.append(base)
            last = base
        return found, []

    def _mistakes(self, part: Declared) -> list[InputError]:
        """What is wrong with an entry by itself. It may be incomplete."""
        known = self._wrong.get(id(part))
        if known is None:
            _, known = self._checker.check_part(written_out(part.data), part.document, part.path)
            if not isinstance(part, DeclaredVm):
                known += _defaults_rules(part)
            elif self.is_template(part):
                known += _template_rules(part)
            owners = [part.owner] if isinstance(part, DeclaredVm) else []
            self._wrong[id(part)] = known = [error.of(*owners) for error in known]
        return known


def _defaults_rules(part: Declared) -> Iterator[InputError]:
    for key in OWN_KEYS:
        if key in part.mapping():
            yield part.error(f"defaults: has no '{key}'", key, hint="it stands in an entry of vms:", key=True)
    yield from _own_rules(part)


def _template_rules(entry: DeclaredVm) -> Iterator[InputError]:
    if not _TEMPLATE.fullmatch(entry.name):
        yield entry.error(f"'{entry.name[:60]}' is not a valid template name", hint=TEMPLATE_RULE, key=True)
    if entry.get("abstract") is False:
        message = f"'{entry.name}' is a template, because its name begins with a dot"
        yield entry.error(message, "abstract", hint="remove the dot, or abstract: false")
    yield from _own_rules(entry)


def _own_rules(part: Declared) -> Iterator[InputError]:
    """What nobody inherits has no place in an entry that only others use."""
    from ovtasks.project.heritage import identity

    for path in identity(part.data):
        message = f"{dotted((*part.path, *path))} names one machine, and is not inherited"
        yield part.error(message, *path, hint="write it in the VM's own entry", key=True)


def _circle(chain: Sequence[DeclaredVm], base: DeclaredVm) -> InputError:
    """One and the same error for all in the circle."""
    circle = [*chain[chain.index(base) :]]
    if len(circle) == 1:
        return base.error(f"'{base.name}' cannot extend itself", "extends", hint="name another entry")
    first = circle.index(min(circle, key=lambda one: one.name))
    circle = [*circle[first:], *circle[:first]]
    names = " → ".join(one.name for one in (*circle, circle[0]))
    message = f"extends forms a circle: {names}"
    return circle[0].error(message, "extends", hint="one of them has to stand alone")


def _as_yaml(part: Declared) -> Iterator[InputError]:
    """What is wrong with an entry as YAML."""
    return (one.error for one in part.document.mistakes if one.path[: len(part.path)] == part.path)
