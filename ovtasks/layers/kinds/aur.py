"""``aur`` of a section: packages that Arch's users keep recipes for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ovtasks.errors import InputError, Where
from ovtasks.layers.context import LayerContext
from ovtasks.layers.kind import OperationKind
from ovtasks.layers.kinds.functions import call, functions, with_functions
from ovtasks.layers.operation import ROOT, Operation
from ovtasks.layers.sections import manager_of, section_of, words
from ovtasks.project.layer_model import LayerPart, LayerSpec
from ovtasks.values.jsonvalue import Json

_NAME = re.compile(r"[A-Za-z0-9@_+][A-Za-z0-9@._+-]*", re.ASCII)


class Aur(OperationKind):
    """Packages of the AUR."""

    name = "aur"
    doc = (
        "Builds the `packages` of `aur:` with makepkg and installs them, on Arch and its derivatives; "
        "other distributions ignore the section. The guest's user builds them, or `nobody` if that is "
        "root. Dependencies come from the repositories, else also from the AUR. `replaces` lists "
        "packages to remove first. ov checks whether the packages are installed. Undo removes the new "
        "packages, as for `packages`, and restores the replaced ones."
    )

    def layer(self, layer: LayerSpec, context: LayerContext) -> Iterator[Operation]:
        if manager_of(context.facts) != "pacman":
            return
        for part, data, prefix in _parts(layer, context):
            names = tuple(_names(data, "packages", part, prefix))
            if not names:
                continue
            variables = {
                "ov_builder": context.facts.user if context.facts.user != ROOT else "nobody",
                "ov_replaces": " ".join(_names(data, "replaces", part, prefix)),
                "ov_options": " ".join(words(data.get("options"))),
            }
            yield Operation(
                kind=self.name,
                name=f"install {', '.join(names)} from the AUR",
                look=call("ov_pkg_look", *names),
                save=call("ov_pkg_save"),
                do=call("ov_pkg_do", *names, **variables),
                undo=call("ov_aur_undo", *names),
                in_image=call("ov_pkg_image", *names, **variables),
                complete=lambda operation, _: with_functions(operation, functions(*_FILES)),
                where=_place(part, "packages", prefix),
            )


_FILES = ("packages/common.sh", "packages/pacman.sh", "aur.sh")


def _parts(layer: LayerSpec, context: LayerContext) -> Iterator[tuple[LayerPart, Mapping[str, Json], str]]:
    """The section ``aur``, and that in the section for the system; with the path of its keys in the part."""
    if (whole := layer.sections.get("aur")) is not None:
        yield whole, whole.data, ""
    section = section_of(layer, context.facts)
    inner = section.data.get("aur") if section is not None else None
    if section is not None and isinstance(inner, Mapping):
        yield section, inner, "aur."


def _names(data: Mapping[str, Json], key: str, part: LayerPart, prefix: str) -> Iterator[str]:
    for name in dict.fromkeys(words(data.get(key))):
        if not _NAME.fullmatch(name):
            raise InputError(
                f"{name!r} is not a valid package name", hint="one package an entry", where=_place(part, key, prefix)
            )
        yield name


def _place(part: LayerPart, key: str, prefix: str) -> Where:
    return part.place(f"{prefix}{key}")
