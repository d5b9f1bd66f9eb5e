"""Writes the generated documents: ``python -m docs.generate``.

The field references ``docs/vms.md`` and ``docs/images.md`` come from their schemas, ``schemas/libvirt.schema.json`` and
``docs/libvirt.md`` from the table in ``ovtasks/machine``, ``docs/layers.md`` from the kinds of operations and their
schema, ``docs/commands.md`` from the parsers, the picture in ``docs/architecture.md`` from the imports.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from docs.words import WORDS
from ovtasks.project.diagnosis import UNUSED

ROOT = Path(__file__).parent.parent
SCHEMAS = {"vms": "vm", "image": "image"}
"""Each schema's name and the definition of one entry of its files."""
PAGES = {"vms": ROOT / "docs" / "vms.md", "image": ROOT / "docs" / "images.md"}
LIBVIRT_PAGE = ROOT / "docs" / "libvirt.md"
LIBVIRT_SCHEMA = ROOT / "schemas" / "libvirt.schema.json"

HEAD = """# {name}.yml, field by field

Made from `schemas/{name}.schema.json` by `python -m docs.generate`; do not edit. `[]` means: each item of a list;
`<name>` stands for a key of your choice.

"""

Schema = Mapping[str, Any]


def read(name: str) -> Schema:
    """The schema called ``name``."""
    loaded: Schema = json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))
    return loaded


def page(name: str) -> str:
    """The whole reference page of schema ``name``."""
    schema = read(name)
    sections = [
        HEAD.format(name=name),
        WORDS if name == "vms" else "",
        section("The file", schema["description"], rows(schema, schema, "")),
    ]
    entry = schema["$defs"][SCHEMAS[name]]
    title = {"vm": "A VM", "image": "An image"}[SCHEMAS[name]]
    sections.append(section(title, entry["description"], rows(schema, entry, "")))
    for name, definition in schema["$defs"].items():
        if name.startswith("source_"):
            kind = name.removeprefix("source_")
            lines = rows(schema, definition, "source.")
            text, required = definition["description"], definition.get("required", [])
            sections.append(section(f"source.kind: {kind}", text, lines, required=required))
    return "".join(sections).rstrip() + "\n"


def libvirt_schema() -> str:
    """The text of the schema of ``libvirt:``."""
    from ovtasks.machine.schema import schema

    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def section(title: str, text: str, lines: Iterator[str], *, required: list[str] | None = None) -> str:
    """A heading, a text, and a table of these lines."""
    needed = [f"`source.{name}`" for name in required or [] if name != "kind"]
    text = f"{text} Required: {', '.join(needed)}." if needed else text
    return "\n".join(
        [f"## {title}", "", text, "", "| field | value | default | meaning |", "|---|---|---|---|", *lines, "", ""]
    )


def rows(root: Schema, schema: Schema, prefix: str) -> Iterator[str]:
    """A line for each field of ``schema``, which is a part of ``root``, and for the fields below it."""
    properties: Mapping[str, Schema] = schema.get("properties", {})
    for name, field in properties.items():
        if field.get("$comment") != UNUSED:
            yield from _field(root, f"{prefix}{name}", field)
    if unused := [f"`{prefix}{name}`" for name, field in properties.items() if field.get("$comment") == UNUSED]:
        yield f"| {', '.join(sorted(unused))} | anything |  | Accepted without effect on a VM. |"


def _field(root: Schema, path: str, field: Schema) -> Iterator[str]:
    if "$ref" in field:  # described in a section of its own
        yield _row(path, field if "description" in field else _resolve(root, field["$ref"]))
        return
    yield _row(path, field)
    yield from rows(root, field, f"{path}.")
    for branch in (*field.get("anyOf", ()), *field.get("oneOf", ())):
        yield from rows(root, branch, f"{path}.")
    if isinstance(items := field.get("items"), Mapping):
        for branch in (items, *items.get("anyOf", ()), *items.get("oneOf", ())):
            yield from rows(root, branch, f"{path}[].")
    if isinstance(values := field.get("additionalProperties"), Mapping) and "$ref" not in values:
        yield from rows(root, values, f"{path}.<name>.")


def _resolve(root: Schema, reference: str) -> Schema:
    node: Schema = root
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def _row(path: str, field: Schema) -> str:
    default = f"`{_text(field['default'])}`" if "default" in field else ""
    meaning = str(field.get("description", ""))
    if examples := field.get("examples"):
        meaning += f" Example: `{_text(examples[0])}`"
    cells = [f"`{path}`", _value(field), default, meaning]
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    return text.replace("|", chr(92) + "|").replace(chr(10), " ")


def _value(field: Schema) -> str:
    if "const" in field:
        return f"`{_text(field['const'])}`"
    if "enum" in field:
        return ", ".join(f"`{_text(value)}`" for value in field["enum"])
    kinds = field.get("type", "")
    text = kinds if isinstance(kinds, str) else " or ".join(kinds)
    items = field.get("items", {})
    if text == "array" and isinstance(kind := items.get("type"), str):
        return f"array of {kind}"
    return text


def _text(value: object) -> str:
    return value if value and isinstance(value, str) else json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    for name, path in PAGES.items():
        path.write_text(page(name), encoding="utf-8")
    from docs import commands_page, layers_page, libvirt_page, output_page, rooms

    LIBVIRT_SCHEMA.write_text(libvirt_schema(), encoding="utf-8")
    layers_page.PAGE.write_text(layers_page.page(), encoding="utf-8")
    LIBVIRT_PAGE.write_text(libvirt_page.page(), encoding="utf-8")
    commands_page.PAGE.write_text(commands_page.page(), encoding="utf-8")
    output_page.PAGE.write_text(output_page.page(), encoding="utf-8")
    rooms.PAGE.write_text(rooms.page(), encoding="utf-8")
