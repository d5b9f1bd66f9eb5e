"""Explains schema violations in plain words, with the place in the file and a likely cure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ovtasks.errors import InputError
from ovtasks.values.urls import public
from ovtasks.values.words import choice, dotted, near, shown
from ovtasks.values.yamlio import Document, Key

_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}
# Names of other programs and other versions → our names.
_OTHER_NAMES = {
    "memory": "ram",
    "mem": "ram",
    "cpu": "cpus",
    "vcpu": "cpus",
    "vcpus": "cpus",
    "disk": "disk_size",
    "size": "disk_size",
    "networks": "network",
    "snapshot": "snapshots",
    "tests": "eval",
    "deploy_tests": "deploy_eval",
    "package": "packages",
    "ports": "port_forwards",
    "permissions": "perms",
    "box": "image",
    "charly_install": "ov_install",
    "username": "user",
    "arch": "bootstrap_arch",
    "dockerfile": "containerfile",
    "args": "build_args",
    "arguments": "build_args",
    "reference": "ref",
    "base": "ref",
    "tag": "ref",
    "stage": "target",
    "pull_policy": "pull",
    "variant": "bootstrap_variant",
}
_MOVED = {
    "disposable": "it is a property of the deployment (deploy.yml): `ov migrate deploy-schema-v-3` moves it",
    "lifecycle": "it is a property of the deployment (deploy.yml): `ov migrate deploy-schema-v-3` moves it",
    "min_guarantee": "QEMU cannot guarantee memory; see memory_backing.locked",
    "accel2d": "QEMU has no 2D acceleration",
    "imagelabel": "libvirt chooses it; baselabel is what it starts from",
    "processor": "libvirt gives guests no SMBIOS tables of processors",
    "uuid": "it is the VM's own: create chooses it, and it stays",
    "qemu_args": "there is no way to pass QEMU arguments; see libvirt.snippets",
}
UNUSED = "no VM's"
"""The ``$comment`` of a key that is accepted and means nothing to a VM. No hint proposes it."""
# Places whose values are secret: messages do not quote them.
_SECRET = re.compile(r"(passw|secret|token|content|cloud_init\.(extra|network|runcmd|bootcmd))[^.]*(\.|$)")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Where keys belong. ``places``: a VM's key → its block. ``kinds``: a source's key → the kinds that have it.

    ``common`` are keys of several blocks; a word such as ``type`` does not tell where it was meant to stand.
    """

    places: Mapping[str, str]
    kinds: Mapping[str, tuple[str, ...]]
    common: frozenset[str] = frozenset()


def vocabulary(vm: Mapping[str, Any], sources: Mapping[str, Mapping[str, Any]]) -> Vocabulary:
    """The keys of the VM's schema and of every built-in kind's. A key of several blocks counts for the topmost one."""
    places: dict[str, str] = {}
    kinds: dict[str, tuple[str, ...]] = {}
    common: set[str] = set()
    for kind, schema in sources.items():
        for key in schema["properties"]:
            places.setdefault(key, "source")
            kinds[key] = (*kinds.get(key, ()), kind)
    queue: list[tuple[str, Mapping[str, Any]]] = [("", vm)]
    while queue:
        block, current = queue.pop(0)
        for key, value in current.get("properties", {}).items():
            if block and places.setdefault(key, block) != block:
                common.add(key)
            below = f"{block}.{key}" if block else key
            queue.append((below, value))
            if isinstance(value.get("items"), Mapping):
                queue.append((f"{below}[]", value["items"]))
    return Vocabulary(places, kinds, frozenset(common))


def diagnose(error: Any, document: Document, base: tuple[Key, ...], words: Vocabulary) -> Iterator[InputError]:
    """The input errors for one violation that jsonschema found. Its paths begin at ``base``."""
    path = (*base, *error.absolute_path)
    place = dotted(document.words(*path))
    if error.validator in {"additionalProperties", "unevaluatedProperties"} and isinstance(error.instance, dict):
        yield from _unknown_keys(error, document, path, words)
    elif error.validator == "required":
        for key in error.validator_value:
            if key not in error.instance and key != "kind":
                message = f"'{key}' is missing in {place}"
                yield InputError(message, hint=_purpose(error.schema, key), where=document.where(*path, key=True))
    elif "propertyNames" in error.absolute_schema_path:
        key = str(error.instance)
        why = error.schema.get("patternErrorMessage") if isinstance(error.schema, Mapping) else None
        message = f"{place}: '{key}' {why}" if why else f"key '{key}' is not allowed in {place}"
        yield InputError(message, where=document.where(*path, key, key=True))
    else:
        message, hint = _value(error, place)
        yield InputError(message, hint=hint, where=document.where(*path))


def _purpose(schema: Mapping[str, Any], key: str) -> str | None:
    text = schema.get("properties", {}).get(key, {}).get("description")
    return f"{key}: {text}" if text else None


def _unknown_keys(error: Any, document: Document, path: tuple[Key, ...], words: Vocabulary) -> Iterator[InputError]:
    known = error.schema.get("properties", {})
    in_source = bool(path) and path[-1] == "source"
    for key in error.instance:
        if key in known:
            continue
        where = document.where(*path, key, key=True)
        if in_source and (kinds := words.kinds.get(key)):
            message = f"'{key}' belongs to source.kind {' or '.join(kinds)}, not {error.instance.get('kind')}"
            yield InputError(message, hint=f"remove it, or change kind in {dotted(path)}", where=where)
        else:
            hint = _key_hint(key, known, path, words)
            yield InputError(f"unknown key '{key}' in {dotted(document.words(*path))}", hint=hint, where=where)


def _key_hint(key: str, known: Mapping[str, Any], path: tuple[Key, ...], words: Vocabulary) -> str:
    if (other := _OTHER_NAMES.get(key)) and other in known:
        return f"did you mean '{other}'?"
    if key in _MOVED:
        return _MOVED[key]
    if key in {"vm", "libvirt"} and path and path[0] in {"images", "image"}:
        return "an image says nothing about VMs: `ov migrate vm-spec` makes a VM of that"
    if not path and key == "images" and "deploy" in known and "images" not in known:
        return "deployments stand below deploy: `ov migrate deploy-schema-v-3` puts them there"
    if not path and key in {"images", "image"}:
        return "container images stand in image.yml, or in overthink.yml"
    if not path and key in {"vms", "vm"}:
        return "VMs stand in vms.yml, or in overthink.yml"
    if path and path[-1] == key:
        return f"{key}: stands around it already; write its fields there"
    if guess := near(key, known):
        return f"did you mean '{guess}'?"
    below = [name for name, schema in known.items() if key in schema.get("properties", {})]
    if len(below) == 1:
        return f"'{key}' belongs under {below[0]}:"
    if path and (block := words.places.get(key)) and not ("libvirt" in path and key in words.common):
        return f"'{key}' belongs under {block}:"
    useful = [name for name, schema in known.items() if schema.get("$comment") != UNUSED]
    return f"known keys: {', '.join(sorted(useful))}" if useful else "no keys are known here"


def _key_of(value: object, schema: Mapping[str, Any]) -> str | None:
    """The key of a mapping that is the only one to take ``value``."""
    known = schema.get("properties", {})
    found = [key for key, below in known.items() if isinstance(value, str) and value in below.get("enum", ())]
    return found[0] if len(found) == 1 else None


def _value(error: Any, place: str) -> tuple[str, str | None]:
    """Message and hint for a value that the schema does not allow."""
    value, wanted = error.instance, error.validator_value
    if isinstance(value, str):  # errors get into logs
        value = "…" if _SECRET.search(place) else public(value)
    match error.validator:
        case "type":
            kinds: list[str] = wanted if isinstance(wanted, list) else [wanted]
            words = " or ".join(dict.fromkeys(_TYPES.get(kind, kind) for kind in kinds))
            hint = error.schema.get("description")
            if isinstance(value, str) and {"integer", "number"} & {*kinds} and value.strip().lstrip("-").isdigit():
                return f"{place} must be {words}, not the text {shown(value)}", "write it without quotes"
            if kinds == ["array"] and isinstance(value, dict):
                hint = "put it into [ ], or a hyphen before it: there may be several"
            if kinds == ["object"] and (key := _key_of(error.instance, error.schema)):
                hint = f"write {place.rpartition('.')[2]}: {{{key}: {value}}}"
            return f"{place} must be {words}, not {shown(value)}", hint
        case "enum":
            message, hint = choice(place, value, wanted)
            hints = error.schema.get("enumErrorHints", {})
            return message, hints.get(value, hint) if isinstance(value, str) else hint
        case "const":
            return f"{place} must be {shown(wanted)}, not {shown(value)}", None
        case "pattern":
            text = error.schema.get("patternErrorMessage", f"does not match {wanted}")
            examples = error.schema.get("examples")
            hint = f"for example {', '.join(str(example) for example in examples)}" if examples else None
            return f"{place}: {shown(value)} {text}", hint
        case "minimum" | "exclusiveMinimum":
            return f"{place} is {value}, but must be at least {wanted}", error.schema.get("description")
        case "maximum" | "exclusiveMaximum":
            return f"{place} is {value}, but must be at most {wanted}", error.schema.get("description")
        case "minItems" if wanted > 1:
            return f"{place} has {len(value)} items, but must have at least {wanted}", error.schema.get("description")
        case "minLength" | "minItems" | "minProperties":
            return f"{place} must not be empty", None
        case _:  # a plugin's schema may use anything of JSON Schema
            return f"{place}: {error.message}", None
