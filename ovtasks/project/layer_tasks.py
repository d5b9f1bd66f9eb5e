"""``tasks:`` of a layer file: each has one verb, and is checked by that verb's schema alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ovtasks import registry
from ovtasks.errors import InputError
from ovtasks.project.layer_model import LayerPart, LayerTask
from ovtasks.project.layer_parts import part
from ovtasks.project.schema import Checker, task_schemas
from ovtasks.values.jsonvalue import JsonSchema
from ovtasks.values.words import dotted, near
from ovtasks.values.yamlio import Document

COMMON = ("user", "uninstall", "comment")
"""Keys that every task may have."""


def tasks(data: Any, document: Document, checker: Checker) -> tuple[list[LayerTask], list[InputError]]:
    """The tasks in the list ``data``, and all that is wrong with them.

    :raises OvError: a plugin that provides a verb cannot be loaded, or brings a wrong schema.
    """
    found: list[LayerTask] = []
    errors: list[InputError] = []
    for n, item in enumerate(data):
        path = ("tasks", n)
        if not isinstance(item, dict):
            continue  # the layer's schema says so
        verb, schema, error = _verb(item, document, n, checker)
        if error is not None:
            errors.append(error)
            continue
        item, wrong = checker.check_by(schema, item, document, path)
        errors += wrong
        if wrong:
            continue
        ours = item if verb in task_schemas() else {key: item[key] for key in COMMON if key in item}
        here = part(ours, document, path)
        here = replace(here, data={**item, **here.data})  # another package's keys stay as they are
        try:
            found.append(LayerTask(_one_way(verb, dict(here.data), here), here.where, here.places, verb=verb))
        except InputError as e:
            errors.append(e)
    return found, errors


def _verb(item: Any, document: Document, n: int, checker: Checker) -> tuple[str, JsonSchema, InputError | None]:
    """The verb of a task and its schema; or what is wrong."""
    shipped = task_schemas()
    verbs = [key for key in item if key in shipped]
    where, place = document.where("tasks", n), dotted(document.words("tasks", n))
    if len(verbs) == 1:
        return verbs[0], shipped[verbs[0]], None
    if verbs:
        second = document.where("tasks", n, verbs[1], key=True)
        message = f"a task does one thing, but {place} has {' and '.join(verbs)}"
        return "", {}, InputError(message, hint="make a task of each", where=second)
    foreign = {*registry.names(registry.OPERATIONS)} - {*registry.BUILT_IN[registry.OPERATIONS], *COMMON}
    for name in sorted(foreign & item.keys()):
        if (schema := _foreign(name, checker)) is not None:
            return name, schema, None
    message = f"{place} does not say what to do"
    guess = next(((key, word) for key in item if key not in COMMON and (word := near(key, shipped))), None)
    hint = f"did you mean '{guess[1]}' for '{guess[0]}'?" if guess else f"one of {', '.join(shipped)}"
    return "", {}, InputError(message, hint=hint, where=where)


def _foreign(name: str, checker: Checker) -> JsonSchema | None:
    """The schema of the tasks with another package's verb; None if it has no tasks."""
    keys = getattr(registry.find(registry.OPERATIONS, name), "schema", None)
    if keys is None:
        return None
    shared = {key: schema for key, schema in task_schemas()["cmd"]["properties"].items() if key in COMMON}
    whole: JsonSchema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {**shared, **keys},
        "required": [name],
    }
    checker.check_schema(whole, f"task {name}")
    return whole


def _one_way(verb: str, data: dict[str, Any], here: LayerPart) -> dict[str, Any]:
    """``data`` in the one way in which it can be written in two."""
    if verb == "link":
        if ("to" in data) == ("target" in data):
            both = "target" in data
            message = "'to' and 'target' mean the same" if both else "the link has no target"
            raise here.error(message, "to" if both else None, hint="target: where it points to")
        data["target"] = data.pop("to", data.get("target"))
    if verb == "download":
        if "sha256" in data and "checksum" in data:
            raise here.error("'sha256' and 'checksum' mean the same", "sha256", hint="remove one of the two")
        digest = data.pop("sha256", None) or data.get("checksum")
        if digest:
            data["checksum"] = f"sha256:{digest.removeprefix('sha256:').lower()}"
    return data
