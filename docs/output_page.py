"""Writes ``docs/json.md``: what verbs print with ``--json``, from ``schemas/output.schema.json``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from docs.generate import Schema, read, rows

PAGE: Path = Path(__file__).parent / "json.md"
HEAD = """# What verbs print with --json

Made from `schemas/output.schema.json` by `python -m docs.generate`; do not edit. The schema has a definition for each
verb. For example, a program can check the output of `ov vm list --json` against `output.schema.json#/$defs/ov vm list`.
`[]` means: each item of a list; `<name>` stands for any key. Sizes are in bytes, and times in seconds. Later versions
may add fields, but keep the existing ones and their meanings.

JSON goes to stdout, notes and errors to stderr. The exit code is the same as without `--json`. `images.schema.json`
describes `ov images --json`. `ov vm snapshot info`, `ov eval libvirt` and `ov eval spice` always print JSON; the page
[Looking into a running VM](probes.md) describes the last two.

"""
TABLE = "| field | value | default | meaning |\n|---|---|---|---|\n"


def page() -> str:
    """The whole page."""
    schema = read("output")
    verbs = {name: one for name, one in schema["$defs"].items() if name.startswith("ov ")}
    parts = {name: one for name, one in schema["$defs"].items() if name not in verbs}
    sections = [_section(schema, f"{name}", one) for name, one in verbs.items()]
    sections.append("## Parts\n\nObjects that several verbs print.\n\n")
    sections += [_section(schema, name, one, level="###") for name, one in parts.items()]
    return HEAD + "".join(sections).rstrip() + "\n"


def _section(root: Schema, name: str, one: Schema, *, level: str = "##") -> str:
    lines = list(_lines(root, one, ""))
    table = TABLE + "".join(f"{line}\n" for line in lines) + "\n" if lines else ""
    parts = "".join(f"{text}\n\n" for text in _parts(one))
    text = one.get("description", "")
    return f"{level} {name}\n\n{text}{chr(10) * 2 if text else ''}{parts}{table}"


def _parts(one: Schema) -> Iterator[str]:
    """Which parts the whole is, when it has no fields of its own."""
    for branch in (one, *one.get("anyOf", ())):
        if "$ref" in branch:
            yield f"Is one of {_part(branch)}."
        elif "$ref" in branch.get("items", {}):
            yield f"A list; each item is one of {_part(branch['items'])}."


def _part(one: Schema) -> str:
    name = one["$ref"].rpartition("/")[2]
    return f"[{name}](#{name})"


def _lines(root: Schema, one: Schema, prefix: str) -> Iterator[str]:
    yield from rows(root, one, prefix)
    for branch in one.get("anyOf", ()):
        yield from _lines(root, branch, prefix)
    if "items" in one and "$ref" not in one["items"]:
        yield from _lines(root, one["items"], f"{prefix}[].")
