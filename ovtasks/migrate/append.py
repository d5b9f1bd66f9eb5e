"""An entry at the end of a section of a file, which may not be there yet."""

from __future__ import annotations

from pathlib import Path

from ovtasks.migrate.edit import Edits
from ovtasks.migrate.files import Texts
from ovtasks.migrate.tree import nodes


def append_entry(texts: Texts, path: Path, section: str, lines: list[str], header: str) -> None:
    """Put an entry (its lines, the first one with its name) at the end of ``section:`` (or its singular) of a file.

    :raises InputError: the section is written in braces, or in the middle of another document.
    """
    text = texts.now.get(path, "")
    edits = Edits(path, text)
    found = next((pair for root in nodes(text) if (pair := root.get(section, section.removesuffix("s")))), None)
    if found is None:
        head = f"{header}\n" if not text else "" if text.endswith("\n") else edits.newline
        indented = [f"  {line}" if line else line for line in lines]
        texts.now[path] = text + head + "".join(f"{line}{edits.newline}" for line in (f"{section}:", *indented))
        return
    value = found[1]
    if value.kind == "map" and value.flow and value.pairs:
        hint = f"write {section}: with each entry on lines of its own"
        raise edits.error(value, f"a VM or deployment has to be added to '{section}', which is in braces", hint)
    if value.kind != "map" or not value.pairs:
        if value.start < value.end:
            edits.put(value.start, value.end, "")
        at, column, end = value.end, edits.column(found[0]) + 2, edits.line_end(value.end)
    else:
        at, column, end = value.end, edits.column(value.pairs[0][0]), edits.line_end(value.end)
    new = "" if edits.text[at:end].endswith("\n") else edits.newline
    new += "".join(f"{' ' * column + line if line else line}{edits.newline}" for line in lines)
    edits.put(end, end, new)
    texts.now[path] = edits.done()
