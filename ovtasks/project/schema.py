"""The JSON Schemas: their text, and the check of a mapping that explains every violation in plain words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from ovtasks.errors import InputError, OvError
from ovtasks.project.cache import Kinds
from ovtasks.project.diagnosis import Vocabulary, diagnose, vocabulary
from ovtasks.values.jsonvalue import JsonSchema
from ovtasks.values.words import choice, dotted
from ovtasks.values.yamlio import Document, Key

KINDS = ("cloud_image", "bootc", "clone", "imported", "bootstrap")

# YAML 1.1's words for true and false; accepted where a bool is wanted, and nowhere else.
_TRUTH = {"yes": True, "on": True, "no": False, "off": False}


def schema_path(name: str) -> Path:
    """Where ``<name>.schema.json`` lies: inside the installed package, else in the checkout's ``schemas/``."""
    file = f"{name}.schema.json"
    packaged = Path(str(resources.files("ovtasks"))) / "schemas" / file
    return packaged if packaged.is_file() else Path(__file__).resolve().parents[2] / "schemas" / file


def schema_text(name: str) -> str:
    """The text of schema ``vms``, ``libvirt``, ``image``, ``overthink``, ``layer`` or ``deploy``."""
    return schema_path(name).read_text(encoding="utf-8")


@cache
def inlined(name: str) -> JsonSchema:
    """The schema with every ``$ref`` replaced by its target, which is faster to check and simpler to walk."""
    loaded: JsonSchema = json.loads(schema_text(name))

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                file, _, place = value["$ref"].partition("#/")
                found: Any = inlined(file.removesuffix(".schema.json")) if file else loaded
                for part in place.split("/") if place else ():
                    found = found[part]
                return found if file else walk(found)
            return {key: walk(item) for key, item in value.items()}
        return [walk(item) for item in value] if isinstance(value, list) else value

    result: JsonSchema = walk(loaded)
    return result


@cache
def vm_schema() -> JsonSchema:
    """The schema of one VM."""
    found: JsonSchema = inlined("vms")["$defs"]["vm"]
    return found


@cache
def image_schema() -> JsonSchema:
    """The schema of one container image."""
    found: JsonSchema = inlined("image")["$defs"]["image"]
    return found


def libvirt_schema() -> JsonSchema:
    """The schema of ``libvirt:``."""
    found: JsonSchema = vm_schema()["properties"]["libvirt"]
    return found


@cache
def layer_schema() -> JsonSchema:
    """The schema of a layer file, but for its tasks: each is checked by the schema of its verb alone."""
    whole = inlined("layer")
    properties = {**whole["properties"], "tasks": {**whole["properties"]["tasks"], "items": {"type": "object"}}}
    return {**whole, "properties": properties}


@cache
def task_schemas() -> dict[str, JsonSchema]:
    """The schemas of tasks by verb."""
    found = inlined("layer")["$defs"].items()
    return {name.removeprefix("task_"): schema for name, schema in found if name.startswith("task_")}


def source_schema(kind: str) -> JsonSchema:
    """The schema of ``source:`` for a built-in kind."""
    found: JsonSchema = inlined("vms")["$defs"][f"source_{kind}"]
    return found


@cache
def _validator_class() -> Any:
    from jsonschema import Draft202012Validator, validators

    # To JSON Schema 2.0 is an integer; our dataclasses need an int.
    types = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    extend: Any = validators.extend  # it has no type hints
    return extend(Draft202012Validator, {"pattern": _pattern}, type_checker=types)


def _pattern(validator: Any, pattern: str, value: object, schema: JsonSchema) -> Iterator[Any]:
    """Check a pattern. In JSON Schema ``$`` is the very end; Python's also matches before a final line break."""
    from jsonschema import ValidationError

    if isinstance(value, str) and not _compiled(pattern).search(value):
        yield ValidationError(f"does not match {pattern}")


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    dollar = pattern.endswith("$") and not pattern.endswith("\\$")
    return re.compile(pattern[:-1] + r"\Z" if dollar else pattern)


class Checker:
    """Checks VMs, images and top levels of files. It is compiled once and used for all of them."""

    def __init__(self, kinds: Kinds | None = None) -> None:
        self._new = _validator_class()
        self._kinds = kinds or (lambda kind: None)
        # Check the source against its kind's schema alone, so that no message mentions other kinds.
        fields = {**vm_schema(), "properties": {**vm_schema()["properties"], "source": {"type": "object"}}}
        self._vm = self._new({**fields, "required": ["source"]})
        self._image = self._new(image_schema())
        self._sources: dict[str, Any] = {kind: self._new(source_schema(kind)) for kind in KINDS}
        self.plugin_schemas: dict[str, Mapping[str, Any]] = {}

    def check_root(self, data: Mapping[str, Any], document: Document, name: str) -> list[InputError]:
        """Errors at a file's top level. What is below ``vms:`` and ``images:`` is checked later."""
        top = inlined(name)
        rules = {key: value for key, value in top.items() if key != "allOf"}
        shallow = {**rules, "properties": {key: _shallow(value) for key, value in top["properties"].items()}}
        # None: "vms:" with everything below it commented out
        data = {key: value for key, value in data.items() if value is not None}
        return self._diagnosed(self._new(shallow).iter_errors(data), document, ())

    def check_image(self, data: Any, document: Document, path: tuple[Key, ...]) -> tuple[Any, list[InputError]]:
        """The image at ``path`` of ``document``, with its scalars in the schema's types, and all violations."""
        errors = list(self._image.iter_errors(data))
        if errors and (mended := _mend(data, errors, document, path)) is not data:
            data = mended
            errors = list(self._image.iter_errors(data))
        words = Vocabulary({}, {})
        return data, [found for error in errors for found in diagnose(error, document, path, words)]

    def check_file(
        self, data: Any, document: Document, name: str, part: str | None = None, *, path: tuple[Key, ...] = ()
    ) -> tuple[Any, list[InputError]]:
        """Like :meth:`check_vm`, for what stands at ``path``, by schema ``name`` (or its definition ``part``)."""
        return self.check_by(inlined(name)["$defs"][part] if part else inlined(name), data, document, path)

    def check_by(
        self, schema: JsonSchema, data: Any, document: Document, path: tuple[Key, ...] = ()
    ) -> tuple[Any, list[InputError]]:
        """Like :meth:`check_file`, by a schema that has no ``$ref``."""
        validator = self._new(schema)
        errors = list(validator.iter_errors(data))
        if errors and (mended := _mend(data, errors, document, path)) is not data:
            data = mended
            errors = list(validator.iter_errors(data))
        words = Vocabulary({}, {})
        return data, [found for error in _first(errors) for found in diagnose(error, document, path, words)]

    def check_vm(self, data: Any, document: Document, path: tuple[Key, ...]) -> tuple[Any, list[InputError]]:
        """The VM at ``path`` of ``document``, with its scalars in the schema's types, and all violations."""
        errors = list(self._errors(data))
        if errors and (mended := _mend(data, errors, document, path)) is not data:
            data = mended
            errors = list(self._errors(data))
        found = self._diagnosed(iter(errors), document, path)
        return data, [*found, *self._kind_errors(data, document, path)]

    def check_part(self, data: Any, document: Document, path: tuple[Key, ...]) -> tuple[Any, list[InputError]]:
        """Like :meth:`check_vm`, for an entry that is merged with others: fields of mappings may be missing."""
        errors = list(self._errors(data))
        if errors and (mended := _mend(data, errors, document, path)) is not data:
            data = mended
            errors = list(self._errors(data))
        errors = [e for e in errors if e.validator != "required" or any(isinstance(n, int) for n in e.absolute_path)]
        found = self._diagnosed(iter(errors), document, path)
        source = data.get("source") if isinstance(data, dict) else None
        if isinstance(source, dict) and "kind" in source:
            found += self._kind_errors(data, document, path)
        return data, found

    def _source(self, kind: object) -> Any:
        if not isinstance(kind, str):
            return None
        if kind not in self._sources:
            schema = self._kinds(kind)
            self._sources[kind] = None
            if schema is not None:
                self.plugin_schemas[kind] = schema
                self._sources[kind] = self._plugin(kind, _with_kind(schema))
        return self._sources[kind]

    def _plugin(self, kind: str, schema: JsonSchema) -> Any:
        self.check_schema(schema, f"source.kind {kind}")
        return self._new(schema)

    def check_schema(self, schema: JsonSchema, what: str) -> None:
        """Check the JSON Schema that a plugin brings for ``what``.

        :raises OvError: it is none.
        """
        from jsonschema import SchemaError

        try:
            self._new.check_schema(schema)
        except SchemaError as e:
            message = f"the plugin of {what} brings a wrong JSON Schema: {e.message}"
            raise OvError(message, hint="report it to the plugin's author, or uninstall it") from None

    def _errors(self, data: Any) -> Iterator[Any]:
        yield from self._vm.iter_errors(data)
        source = data.get("source") if isinstance(data, dict) else None
        if isinstance(source, dict) and (validator := self._source(source.get("kind"))) is not None:
            for error in validator.iter_errors(source):
                error.relative_path.appendleft("source")
                yield error

    def _kind_errors(self, data: Any, document: Document, path: tuple[Key, ...]) -> list[InputError]:
        source = data.get("source") if isinstance(data, dict) else None
        if not isinstance(source, dict) or self._source(source.get("kind")) is not None:
            return []
        place = dotted((*path, "source"))
        kind = source.get("kind")
        if kind is None:
            where = document.where(*path, "source", key=True)
            return [InputError(f"'kind' is missing in {place}", hint=f"one of {', '.join(KINDS)}", where=where)]
        where = document.where(*path, "source", "kind")
        message, hint = choice(f"{place}.kind", kind, KINDS)
        return [InputError(message, hint=hint, where=where)]

    def _diagnosed(self, errors: Iterator[Any], document: Document, path: tuple[Key, ...]) -> list[InputError]:
        return [found for error in _first(errors) for found in diagnose(error, document, path, _words())]


def _first(errors: Iterable[Any]) -> Iterator[Any]:
    """Leave out errors that only follow from a wrong type: a mapping is not an allowed word either."""
    found = [*errors]
    mistyped = {tuple(error.absolute_path) for error in found if error.validator == "type"}
    yield from (e for e in found if e.validator != "enum" or tuple(e.absolute_path) not in mistyped)


@cache
def _words() -> Vocabulary:
    return vocabulary(vm_schema(), {kind: source_schema(kind) for kind in KINDS})


def _shallow(schema: Any) -> Any:
    """``schema`` without its rules for the VMs below."""
    below = {"additionalProperties", "if", "then", "else", "allOf"}
    return {key: value for key, value in schema.items() if key not in below}


def _with_kind(schema: Mapping[str, Any]) -> JsonSchema:
    """A plugin's schema, with ``kind`` added if its properties do not declare it."""
    properties = {"kind": {"type": "string"}, **schema.get("properties", {})}
    return {"type": "object", **schema, "properties": properties}


def _mend(data: Any, errors: list[Any], document: Document, path: tuple[Key, ...]) -> Any:
    """``data`` with scalars in the schema's types: text for an unquoted 1.10, a bool for yes. A null is dropped."""
    for error in errors:
        if error.validator not in {"type", "enum"} or not error.absolute_path:
            continue
        wanted = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
        if error.validator == "enum":  # words and booleans; other values stay as they are
            wanted = ["boolean"] if any(isinstance(word, bool) for word in wanted) else []
        place = tuple(error.absolute_path)
        value, raw = error.instance, document.raw(*path, *place)
        if raw is None:
            continue
        if value is None and error.validator == "type":
            if isinstance(place[-1], str):
                data = _changed(data, place, None, remove=True)
        elif "boolean" in wanted and isinstance(value, str) and value.lower() in _TRUTH:
            data = _changed(data, place, _TRUTH[value.lower()])
        elif "string" in wanted and not isinstance(value, str):
            data = _changed(data, place, raw)
    return data


def _changed(data: Any, path: tuple[Key, ...], value: Any, *, remove: bool = False) -> Any:
    """``data`` with a changed value, copied along ``path``: what aliases share must change in one place only."""
    copied: Any = dict(data) if isinstance(data, dict) else list(data)
    if len(path) > 1:
        copied[path[0]] = _changed(copied[path[0]], path[1:], value, remove=remove)
    elif remove:
        copied.pop(path[0], None)
    else:
        copied[path[0]] = value
    return copied
