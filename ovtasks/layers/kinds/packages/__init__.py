"""Packages of the distribution, by its own package manager. Each manager's commands are the file with its name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ovtasks.errors import InputError, Where
from ovtasks.layers.context import LayerContext
from ovtasks.layers.kind import OperationKind
from ovtasks.layers.kinds.functions import call
from ovtasks.layers.kinds.packages.scripts import with_scripts
from ovtasks.layers.operation import Operation
from ovtasks.layers.sections import manager_of, missing_section, section_of, words
from ovtasks.project.layer_model import LayerPart, LayerSpec

_NAME = re.compile(r"[@/A-Za-z0-9][A-Za-z0-9@._+:=~^/()<>-]*")
_WITH_EXCLUDE = frozenset({"apt", "dnf"})
_CAVEATS = {
    "pacman": "if new lists of packages are needed, pacman upgrades the whole system, and undo leaves it upgraded",
}


class Packages(OperationKind):
    """``packages`` of a layer, and of its section for the distribution."""

    name = "packages"
    doc = (
        "Installs the layer's `packages:` on every distribution, and the `packages:` of one section of "
        "`distros:`. ov takes the most specific section for the system: `ubuntu:24.04`, then `ubuntu`, "
        "then the names in ID_LIKE of os-release(5), then `deb`, `rpm` or `pac`. It ignores the other "
        "sections. If a layer has sections for other distributions only, the plan says so. `options:` "
        "are added to the install command; `exclude:` names packages to leave out (apt, dnf).\n\nov "
        "checks the package manager's database; a package that provides the name counts, too. It "
        "installs all missing packages with one command. It downloads package lists only if the present "
        "ones are not enough. pacman always upgrades the whole system, because Arch supports nothing "
        "else. ov removes nothing, unless `options:` say so (`--remove` for apt, `--allowerasing` for "
        "dnf). It waits for another running package manager, for example of cloud-init, and first "
        "finishes what a killed one left incomplete.\n\nUndo removes the new packages with their "
        "dependencies and settings (apt purges them, and some packages then delete their data, too). It "
        "keeps packages that another layer wants, that someone has asked for since, or that something "
        "else needs; undoing that other layer removes them. Packages that existed before keep their "
        "mark (manual or automatic), and return to their version if it is still available (not with "
        "pacman or apk)."
    )

    def layer(self, layer: LayerSpec, context: LayerContext) -> Iterable[Operation]:
        """One operation for all packages of the layer."""
        if (missing := missing_section(context)) is not None:
            own = "its own packages" if "" in layer.sections else "packages"  # beside those for every distribution
            context.skip(own, missing[0], missing[1])
        names = list(_names(context))
        if not names:
            return
        where = names[0][1]
        manager = manager_of(context.facts)
        if manager is None:
            context.skip("packages", f"ovtasks knows no package manager of {context.facts.distro}", where)
            return
        chosen = tuple(dict.fromkeys(name for name, _ in names))
        yield packages_operation(manager, chosen, where, _variables(manager, context), missing[0] if missing else "")


def packages_operation(
    manager: str, names: tuple[str, ...], where: Where, variables: dict[str, str] | None = None, hint: str = ""
) -> Operation:
    """The operation that has these packages installed. ``hint`` is told when they cannot be."""
    more = variables or {}
    few = names if len(names) <= 4 else (*names[:3], f"{len(names) - 3} more")
    return Operation(
        kind=Packages.name,
        name=f"install {', '.join(few[:-1])} and {few[-1]}" if len(few) > 1 else f"install {few[0]}",
        where=where,
        look=call("ov_pkg_look", *names),
        save=call("ov_pkg_save"),
        do=call("ov_pkg_do", *names, **more, ov_hint=hint),
        undo=call("ov_pkg_undo", *names),
        in_image=call("ov_pkg_image", *names, **more, ov_hint=hint),
        caveat=_CAVEATS.get(manager, ""),
        complete=lambda operation, _: with_scripts(operation, manager),
    )


def _sections(context: LayerContext) -> list[LayerPart]:
    found = (context.layer.sections.get(""), section_of(context.layer, context.facts))
    return [section for section in found if section is not None]


def _names(context: LayerContext) -> Iterator[tuple[str, Where]]:
    for section in _sections(context):
        for index, name in enumerate(words(section.data.get("packages"))):
            place = section.place(f"packages[{index}]")
            expanded = context.expand(name, place) if "$" in name and "$(" not in name else name
            if not _NAME.fullmatch(expanded):
                raise InputError(f"{name!r} is not a valid package name", hint="one package an entry", where=place)
            yield expanded, place


def _variables(manager: str, context: LayerContext) -> dict[str, str]:
    options: list[str] = []
    exclude: list[str] = []
    for section in _sections(context):
        for key, found in (("options", options), ("exclude", exclude)):
            for entry in words(section.data.get(key)):
                found += entry.split()
        if manager not in _WITH_EXCLUDE and section.data.get("exclude"):
            context.skip("exclude", f"{manager} cannot leave out a package", section.place("exclude"))
            exclude.clear()
    return {"ov_options": " ".join(options), "ov_exclude": " ".join(exclude)}
