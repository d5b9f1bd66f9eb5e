"""Reads one ``layer.yml`` into a :class:`LayerSpec`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ovtasks.errors import InputError, Where
from ovtasks.host.yamlfile import read_yaml
from ovtasks.project.distro_tags import is_tag
from ovtasks.project.layer_model import LayerPart, LayerSpec, Named
from ovtasks.project.layer_names import LAYER
from ovtasks.project.layer_parts import inputs, layer_checks, named, part, parts, places, sections
from ovtasks.project.layer_tasks import tasks
from ovtasks.project.model import LayerXml
from ovtasks.project.names import renamed
from ovtasks.project.places import display
from ovtasks.project.schema import Checker, layer_schema
from ovtasks.project.xml_rules import problem
from ovtasks.values.yamlio import Document, Key, Mark

ROOT = "layer"
"""The key that all of a layer may stand below."""
BESIDE = (
    *("package.json", "package-lock.json", "pixi.toml", "pixi.lock", "pyproject.toml", "environment.yml"),
    *("Cargo.toml", "build.sh"),
)
"""Files beside ``layer.yml`` that mean something by their name."""


def read_layer(path: Path, checker: Checker) -> tuple[LayerSpec | None, list[InputError]]:
    """The layer whose file is ``path``, None if it is wrong; and everything that is wrong with it.

    :raises OvError: as :func:`.layer_tasks.tasks`.
    """
    name = path.parent.name
    try:
        documents = read_yaml(path, display(path))
    except InputError as e:
        return None, [e]
    if not documents:
        return LayerSpec(name, path.parent, Where(display(path), 1, 1)), []
    errors: list[InputError] = []
    if len(documents) > 1:
        hint = "one file a layer: layers/<name>/layer.yml"
        errors.append(InputError("a layer is one document", hint=hint, where=documents[1].where()))
    document, more = _unwrapped(documents[0])
    errors += more
    if isinstance(document.data, dict):
        document, more = renamed(document, LAYER)
        errors += more
        document, more = _gathered(document)
        errors += more
    data, more = checker.check_by(layer_schema(), document.data, document)
    errors += more
    if more or not isinstance(data, dict):
        listed = data.get("tasks") if isinstance(data, dict) else None
        return None, [*errors, *tasks(listed if isinstance(listed, list) else (), document, checker)[1]]
    spec, more = _spec(name, path.parent, data, document, checker)
    errors += more
    return spec if not errors else None, errors


def _unwrapped(document: Document) -> tuple[Document, list[InputError]]:
    """What stands below ``layer:``; the document itself if it is bare."""
    data = document.data
    if not isinstance(data, dict) or ROOT not in data or isinstance(data[ROOT], list):
        return document, []
    errors = [
        InputError(f"'{key}' is beside '{ROOT}:'", hint=f"move it below {ROOT}:", where=document.where(key, key=True))
        for key in data
        if key not in {ROOT, "version"}
    ]
    mark = (document.mark.items or {})[ROOT]
    below = data[ROOT]
    return replace(document, data={} if below is None else below, mark=mark), errors


def _gathered(document: Document) -> tuple[Document, list[InputError]]:
    """The document with sections of distributions at its top level (``"debian:13":``) moved below ``distros``."""
    data, mark = document.data, document.mark
    known = layer_schema()["properties"]
    assert isinstance(data, dict)
    moved = [key for key in data if key not in known and is_tag(key)]
    below = data.get("distros") or {}
    if not moved or not isinstance(below, dict):
        return document, []
    errors: list[InputError] = []
    keys, items = dict(mark.keys or {}), dict(mark.items or {})
    inner = items.get("distros", Mark(items[moved[0]].position))
    inner_keys, inner_items = dict(inner.keys or {}), dict(inner.items or {})
    sections = dict(below)
    for key in moved:
        if key in sections:
            where = document.where(key, key=True)
            hint = f"it also stands at {document.where('distros', key, key=True)}; make one of the two"
            errors.append(InputError(f"'{key}' appears twice", hint=hint, where=where))
        sections[key] = data[key]
        inner_keys[key], inner_items[key] = keys.pop(key), items.pop(key)
    items["distros"] = inner._replace(keys=inner_keys, items=inner_items)
    rest = {key: value for key, value in data.items() if key not in moved}
    return replace(document, data={**rest, "distros": sections}, mark=mark._replace(keys=keys, items=items)), errors


def _spec(
    name: str, folder: Path, data: Mapping[str, Any], document: Document, checker: Checker
) -> tuple[LayerSpec, list[InputError]]:
    errors = [*_rules(name, data, document)]
    found, more = sections(data, document)
    errors += more
    done, more = tasks(data.get("tasks", ()), document, checker)
    errors += more
    checks, more = layer_checks(data, document)
    errors += more
    services = parts(data, "service", document)
    errors += [error for service in services for error in _service(service)]
    texts, more = _xml(name, data.get("libvirt", []), document)
    errors += more
    description, env = data.get("description", ""), data.get("env")
    spec = LayerSpec(
        name=name,
        folder=folder,
        where=document.where(),
        description=description.get("feature", "") if isinstance(description, dict) else description,
        requires=(*named(data, "requires", document), *named(data, "layers", document)),
        sections=found,
        environment=None if env is None else LayerPart(env, document.where("env"), places(document, ("env",))),
        path_append=named(data, "path_append", document),
        variables=dict(data.get("vars", {})),
        tasks=tuple(done),
        services=services,
        shell=part(data["shell"], document, ("shell",)) if "shell" in data else None,
        checks=tuple(checks),
        artifacts=parts(data, "artifacts", document),
        env_inputs=tuple(one for key in ("env_requires", "env_accepts") for one in inputs(data, key, document)),
        secrets=tuple(
            one for key in ("secret_requires", "secret_accepts", "secrets") for one in inputs(data, key, document)
        ),
        reboot=data.get("reboot", False),
        files={file: folder / file for file in BESIDE if (folder / file).is_file()},
        ignored=tuple(Named(key, document.where(key, key=True)) for key in data if _is_for_containers(key, data[key])),
        xml=tuple(texts),
    )
    return spec, errors


def _is_for_containers(key: str, value: object) -> bool:
    """Whether a top-level key of a valid layer only concerns containers: all that the schema has by a pattern does."""
    known = layer_schema()["properties"]
    android = key == "apk" and isinstance(value, list)
    return key not in known or known[key].get("$comment") == "containers only" or android


def _rules(name: str, data: Mapping[str, Any], document: Document) -> Iterator[InputError]:
    """What no schema can say about the layer ``name``."""
    if data.get("name", name) != name:
        message = f"the layer calls itself '{data['name']}', but its folder is {name}"
        yield InputError(message, hint="name: is the folder's name", where=document.where("name"))
    if "PATH" in data.get("env", {}):
        where = document.where("env", "PATH", key=True)
        yield InputError("PATH is not set by env", hint="path_append: adds folders to it", where=where)


def _service(service: LayerPart) -> Iterator[InputError]:
    """A service is either packaged or written here."""
    data = service.data
    if ("exec" in data) == ("use_packaged" in data):
        has = "both use_packaged and exec" if "exec" in data else "neither use_packaged nor exec"
        hint = "use_packaged: a unit that a package brings, or exec: a command"
        yield service.error(f"service '{data['name']}' has {has}", "exec", hint=hint)
    if "overrides" in data and "use_packaged" not in data:
        yield service.error("overrides need use_packaged", "overrides", hint="write the field itself beside exec")


def _xml(name: str, libvirt: Any, document: Document) -> tuple[list[LayerXml], list[InputError]]:
    found: list[LayerXml] = []
    errors: list[InputError] = []
    base: tuple[Key, ...] = ("libvirt",)
    if isinstance(libvirt, dict):
        libvirt, base = libvirt.get("snippets", []), ("libvirt", "snippets")
    for index, text in enumerate(libvirt):
        path = (*base, index)
        if (error := problem(text)) is not None:
            message = f"libvirt[{index}] of layer {name}: {error.message}"
            where = document.where(*path, at=error.at)
            errors.append(InputError(message, hint=error.hint, where=where))
            continue
        place = document.where(*path)
        found.append(LayerXml(name, text, place.file, place.line, place.column, document.begins(*path)))
    return found, errors
