"""Repositories of packages, and their keys. What a repository comes to for a package manager is in ``formats.py``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from ovtasks.errors import InputError
from ovtasks.layers.context import LayerContext
from ovtasks.layers.kind import OperationKind
from ovtasks.layers.kinds.packages import packages_operation
from ovtasks.layers.kinds.repositories.formats import NOT_READ, repository
from ovtasks.layers.kinds.repositories.operations import copr, module, release
from ovtasks.layers.operation import Operation
from ovtasks.layers.sections import manager_of, section_of, words
from ovtasks.project.layer_model import LayerPart, LayerSpec

_COMMANDS = {
    r"\$\(\s*rpm\s+-E\s+['\"]?%\{?\??(fedora|rhel|centos)\}?['\"]?\s*\)": "version",
    r"\$\(\s*lsb_release\s+-(?:cs|sc)\s*\)": "codename",
    r"\$\(\s*dpkg\s+--print-architecture\s*\)": "architecture",
    r"\$\(\s*(?:uname\s+-m|arch)\s*\)": "machine",
    r"\$\(\s*\.\s+/etc/os-release\s*(?:&&|;)\s*echo\s+[\"']?\$\{?VERSION_CODENAME\}?[\"']?\s*\)": "codename",
}


class Repositories(OperationKind):
    """``repos``, ``copr`` and ``modules`` of the section that suits."""

    name = "repositories"
    doc = (
        "Adds the `repos:`, `copr:` and `modules:` of the system's section (see packages), before "
        "packages are installed. This needs `allow_repo_changes`. This machine, not the guest, "
        "downloads what `url:`, `key:` and `rpm:` name. `key_sha256:` pins the key; without it, the run "
        "says that the key is not pinned.\n\nFor apt, ov writes `/etc/apt/sources.list.d/<name>.sources` "
        "and a separate key below `/etc/apt/keyrings`, and downloads only the lists of this repository. "
        "For dnf and zypper, it writes `<name>.repo`: the file at `url:`, or a new one. `rpm:` is a "
        "package that contains the repository. `copr:` and `modules:` are for dnf. For pacman, it "
        "writes a file below `/etc/pacman.d/ovtasks`, and one line in `pacman.conf` that includes them "
        "all; for apk, a line in `/etc/apk/repositories`. If a repository does not answer or is signed "
        "with another key, ov removes it at once, so that it does not block others.\n\nov checks contents "
        "and modes of these files. Undo restores the previous state, and removes the key and the lists "
        "of the repository. What another layer also wants stays until that layer is undone."
    )

    def layer(self, layer: LayerSpec, context: LayerContext) -> Iterable[Operation]:
        """An operation for each repository, then for each COPR project and module."""
        section = section_of(layer, context.facts)
        if section is None:
            return
        manager = manager_of(context.facts)
        if manager is None:
            if any(section.data.get(key) for key in ("repos", "copr", "modules")):
                context.skip("repos", f"ovtasks knows no package manager of {context.facts.distro}", section.where)
            return
        projects: list[tuple[str, str]] = [
            (project, f"copr[{index}]") for index, project in enumerate(words(section.data.get("copr")))
        ]
        for index, part in enumerate(_repos(section)):
            if "copr" in part.data:
                projects.append((str(part.data["copr"]), f"repos[{index}].copr"))
            else:
                yield from _repository(manager, part, context)
        yield from _of_dnf(manager, section, projects, context)


def _repos(section: LayerPart) -> Iterator[LayerPart]:
    found = section.data.get("repos")
    for index, data in enumerate(found if isinstance(found, list) else ()):
        if isinstance(data, Mapping):
            above = f"repos[{index}]"
            places = {at[len(above) + 1 :]: place for at, place in section.places.items() if at.startswith(f"{above}.")}
            yield LayerPart(data, section.place(above), places)


def _repository(manager: str, part: LayerPart, context: LayerContext) -> Iterator[Operation]:
    texts = {
        key: _text(str(part.data[key]), part, key, context)
        for key in ("url", "key", "rpm", "server")
        if key in part.data
    }
    own = LayerPart({**part.data, **texts}, part.where, part.places)
    for key in NOT_READ[manager]:
        if key in own.data:
            context.skip(f"{key} of a repository", f"{manager} has nothing like it", own.place(key))
    if "rpm" in own.data:
        if manager in {"dnf", "zypper"}:
            yield release(manager, own)
        return
    made = repository(manager, own, context)
    if made is not None:
        yield made


def _text(text: str, part: LayerPart, key: str, context: LayerContext) -> str:
    """A URL with what the layer's author lets a shell fill in. Names that only the package manager knows stay.

    :raises InputError: a command that we do not know.
    """
    facts = context.facts
    known = {
        "version": facts.version.split(".")[0],
        "codename": facts.codename,
        "architecture": context.variables["ARCH"],
        "machine": facts.arch,
    }
    for pattern, name in _COMMANDS.items():
        text = re.sub(pattern, lambda _, value=known[name]: value, text)  # type: ignore[misc]
    if "$(" in text or "`" in text:
        hint = "commands that work here: rpm -E %fedora, lsb_release -cs, dpkg --print-architecture, uname -m"
        raise InputError(f"'{text}' has a command that is not run here", hint=hint, where=part.place(key))
    variables = context.variables
    return re.sub(r"\$\{(\w+)\}|\$(\w+)", lambda match: variables.get(match[1] or match[2], match[0]), text)


def _of_dnf(
    manager: str, section: LayerPart, projects: list[tuple[str, str]], context: LayerContext
) -> Iterator[Operation]:
    modules = words(section.data.get("modules"))
    if manager != "dnf":
        if projects:
            context.skip("copr", f"{manager} has no COPR", section.place(projects[0][1]))
        if modules:
            context.skip("modules", f"{manager} has no modules", section.place("modules"))
        return
    if projects:
        yield packages_operation(manager, ("dnf-command(copr)",), section.place(projects[0][1]))
    for project, place in projects:
        yield copr(project, section.place(place))
    for index, one in enumerate(modules):
        yield module(one, section.place(f"modules[{index}]"))
