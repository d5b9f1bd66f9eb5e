"""An entry at the end of a section of a file, which may not be there yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ovtasks.migrate.edit import Edits
from ovtasks.migrate.files import Texts
from ovtasks.migrate.tree import YamlNode, entries, nodes
from ovtasks.migrate.verify import content, verified


def append_entry(texts: Texts, path: Path, section: str, lines: list[str], header: str) -> None:
    """Put an entry (its lines, the first one with its name) at the end of ``section:`` (or its singular) of a file.

    :raises InputError: the section is written in braces. :raises OvError: something else would change, too.
    """
    text = texts.now.get(path, "")
    edits = Edits(path, text)
    names = (section, section.removesuffix("s"))
    pairs = [pair for root in nodes(text) for name in names if (pair := root.get(name))]
    found = next((pair for pair in pairs if entries(pair) == pair[1].pairs), None)
    if found is not None:
        _add(edits, section, found[0], found[1], lines)
        new = edits.done()
    else:
        head = f"{header}\n" if not text else "" if text.endswith("\n") else edits.newline
        indented = [f"  {line}" if line else line for line in lines]
        new = text + head + "".join(f"{line}{edits.newline}" for line in (f"{section}:", *indented))
    entry = content(path, "".join(f"{line}\n" for line in lines))[0]
    name = found[0].value if found else section

    def change(data: Any) -> Any:
        return {**data, name: {**(data.get(name) or {}), **entry}} if name in data or not found else data

    texts.now[path] = verified(path, text, new, change) if content(path, text) else new


def _add(edits: Edits, section: str, key: YamlNode, value: YamlNode, lines: list[str]) -> None:
    if value.kind == "map" and value.flow and value.pairs:
        hint = f"write {section}: with each entry on lines of its own"
        raise edits.error(value, f"a VM or deployment has to be added to '{section}', which is in braces", hint)
    if value.pairs:
        column = edits.column(value.pairs[0][0])
    else:
        column = edits.column(key) + 2
        edits.put(value.start, value.end, "")
    end = edits.line_end(value.end)
    new = "" if edits.text[value.end : end].endswith("\n") else edits.newline
    new += "".join(f"{' ' * column + line if line else line}{edits.newline}" for line in lines)
    edits.put(end, end, new)
