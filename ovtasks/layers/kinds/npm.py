"""``package.json`` beside ``layer.yml``: packages of npm."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ovtasks.errors import InputError, Where
from ovtasks.layers.context import LayerContext
from ovtasks.layers.fragments import file_upload, quoted
from ovtasks.layers.kind import OperationKind
from ovtasks.layers.kinds.functions import call, functions, with_functions
from ovtasks.layers.manifests import NPM, place_in, unreadable
from ovtasks.layers.operation import Operation, Upload
from ovtasks.project.layer_model import LayerSpec
from ovtasks.project.places import display
from ovtasks.values.jsonvalue import Json, parse

LOCK = "package-lock.json"
_NAME = re.compile(r"(@[a-z0-9~._-]+/)?[a-z0-9~._-]+", re.ASCII | re.IGNORECASE)
_RANGE = re.compile(r"[\^~<>=v]*\d[\w.+*^~<>=-]*|[xX*]", re.ASCII)
_ANY = ("", "*", "x", "latest")


class Npm(OperationKind):
    """Packages of npm."""

    name = "npm"
    doc = (
        "Installs the `dependencies` and `optionalDependencies` of a `package.json` beside `layer.yml` "
        "with npm, for the guest's user: programs go to `~/.npm-global/bin`, or to `NPM_CONFIG_PREFIX`. "
        "`*` means the newest version; a `package-lock.json` pins the others. The guest needs npm: if "
        "the project has a layer `nodejs`, it comes before. ov checks whether the packages have a "
        "suitable version. Undo removes new packages, and restores the versions of the others."
    )

    def layer(self, layer: LayerSpec, context: LayerContext) -> Iterator[Operation]:
        if NPM not in layer.files:
            return
        manifest = layer.files[NPM]
        where = Where(display(manifest), 1, 1)
        wanted = dependencies(manifest, layer.files.get(LOCK), where)
        if not wanted:
            return
        specs: list[str] = []
        uploads: list[Upload] = []
        for name, version in wanted.items():
            if version.startswith("file:"):
                path = _beside(manifest, name, version, where)
                place = path.relative_to(manifest.parent.resolve()).as_posix()
                uploads.append(file_upload(place, path))
                specs.append(f'"$FILES"/{quoted(place)}')
            else:
                specs.append(quoted(name if version in _ANY else f"{name}@{version}"))
        install = f"ov_npm_install() {{ npm install --global -- {' '.join(specs)}; }}\n"
        prefix = _prefix(context)
        yield Operation(
            kind=self.name,
            name=f"install {', '.join(wanted)} by npm",
            look=call("ov_npm_look", *wanted, ov_prefix=prefix),
            save=call("ov_npm_save", *wanted, ov_prefix=prefix),
            do=install + call("ov_npm_do", *wanted, ov_prefix=prefix),
            undo=call("ov_npm_undo", *wanted, ov_prefix=prefix),
            user=context.facts.user,
            uploads=tuple(uploads),
            complete=lambda operation, _: with_functions(operation, functions("npm.sh")),
            where=where,
        )


def _prefix(context: LayerContext) -> str:
    """The folder of global packages."""
    own = context.layer.environment.data if context.layer.environment else {}
    written = context.environment.get("NPM_CONFIG_PREFIX") or str(own.get("NPM_CONFIG_PREFIX") or "~/.npm-global")
    return context.expand(written, context.layer.where)


def dependencies(manifest: Path, lock: Path | None, where: Where) -> dict[str, str]:
    """Names of packages, and the versions that are wanted.

    :raises InputError: a file is not what npm reads, or a dependency is written in a way that makes no sense here.
    """
    data = _read(manifest, where)
    found: dict[str, str] = {}
    for key in ("dependencies", "optionalDependencies"):
        group = data.get(key, {})
        if not isinstance(group, Mapping):
            hint = f'write "{key}": {{"NAME": "VERSION"}}'
            raise InputError(f"{key} is not a mapping from names to versions", hint=hint, where=where)
        found |= {name: str(version).strip() for name, version in group.items()}
    for name, version in found.items():
        if not _NAME.fullmatch(name):
            hint = "NAME or @SCOPE/NAME, of letters, digits and . _ ~ -"
            raise InputError(f"{name!r} is not a valid npm package name", hint=hint, where=where)
        if version.startswith(("workspace:", "link:")) or not version.isprintable():
            hint = "write a version, or file: and an archive beside layer.yml"
            raise InputError(f"{name}: {version!r} means nothing outside of a project", hint=hint, where=where)
    if lock is not None:
        pins = _pins(lock)
        found |= {name: pins[name] for name, version in found.items() if name in pins and ":" not in version}
    return found


def _pins(lock: Path) -> dict[str, str]:
    """The versions in a lock file of npm 7 and later (``packages``), or before (``dependencies``)."""
    data = _read(lock, Where(display(lock), 1, 1))
    packages, older = data.get("packages"), data.get("dependencies")
    entries = packages if isinstance(packages, Mapping) else older if isinstance(older, Mapping) else {}
    pins: dict[str, str] = {}
    for place, entry in entries.items():
        version = entry.get("version") if isinstance(entry, Mapping) else None
        if isinstance(version, str) and _RANGE.fullmatch(version):
            pins[place.removeprefix("node_modules/")] = version
    return pins


def _read(path: Path, where: Where) -> Mapping[str, Json]:
    try:
        data = parse(path.read_bytes())
    except OSError as e:
        raise unreadable(path, e) from e
    except ValueError as e:
        hint = "correct the line of the error"
        raise InputError(f"{path.name} is {e}", hint=hint, where=place_in(path, e)) from None
    if not isinstance(data, Mapping):
        raise InputError(f"{path.name} holds no object", hint='write {"dependencies": {…}}', where=where)
    return data


def _beside(manifest: Path, name: str, version: str, where: Where) -> Path:
    """The file of a dependency ``file:…``.

    :raises InputError: it is not a file of the layer.
    """
    path = (manifest.parent / version.removeprefix("file:").removeprefix("//")).resolve()
    if not path.is_relative_to(manifest.parent.resolve()) or not path.is_file():
        hint = "`npm pack` makes one file of a folder; put it beside layer.yml"
        raise InputError(f"{name}: {version} is not a file in the layer's folder", hint=hint, where=where)
    return path
