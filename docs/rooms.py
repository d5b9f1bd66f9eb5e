"""The picture of the house in ``docs/architecture.md``: the rooms, and what each one imports from.

Both come from the code: a room's text is the first paragraph of its docstring, and an arrow is an import.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

from tests.test_architecture import MODULES, PACKAGE, ROOMS, UPWARD_ON_CALL, imports, module_name, parsed, room

PAGE = Path(__file__).parent / "architecture.md"
BEGIN = "<!-- rooms:begin, made by python -m docs.generate -->\n"
END = "<!-- rooms:end -->\n"
ENTRY = "__init__"
"""The package itself, which does not count as a room."""

Needs = Mapping[str, frozenset[str]]


def needs() -> Needs:
    """Each room, from the top down, with the rooms that its files import from."""
    found: dict[str, set[str]] = {name: set() for name in reversed(ROOMS) if name != ENTRY}
    for path in MODULES:
        own = room(module_name(path))
        for module in imports(parsed(path)):
            other = room(module)
            if module.split(".")[0] == "ovtasks" and own != ENTRY and other not in {own, ENTRY}:
                found[own] |= {other} - {above for below, above in UPWARD_ON_CALL if below == own}
    return {name: frozenset(below) for name, below in found.items()}


def direct(rooms: Needs) -> Needs:
    """``rooms`` without the arrows that a longer way through other rooms already implies."""
    return {name: frozenset(below - _reached(rooms, below)) for name, below in rooms.items()}


def _reached(rooms: Needs, start: frozenset[str]) -> set[str]:
    """Every room below those of ``start``."""
    found: set[str] = set()
    waiting = [below for name in start for below in rooms[name]]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += rooms[name]
    return found


def sentence(name: str) -> str:
    """What a room is for: the first paragraph of its docstring, on one line.

    :raises ValueError: the room has no docstring.
    """
    folder = PACKAGE / name / "__init__.py"
    text = ast.get_docstring(parsed(folder if folder.exists() else PACKAGE / f"{name}.py"))
    if not text:
        raise ValueError(f"the room {name} has no docstring that says what it is for")
    return " ".join(text.partition("\n\n")[0].split()).replace("``", "`")


def picture() -> str:
    """The generated part of the page: the graph of rooms, then a table with a row for each."""
    rooms = needs()
    arrows = [
        f"  {name} --> {other}" for name, below in direct(rooms).items() for other in sorted(below, key=ROOMS.index)
    ]
    rows = [
        f"| `{name}` | {sentence(name)} | {', '.join(sorted(below, key=ROOMS.index)) or '(nothing)'} |"
        for name, below in rooms.items()
    ]
    table = ["| room | what it is for | imports from |", "|---|---|---|", *rows]
    return "\n".join(["```mermaid", "graph TD", *arrows, "```", "", *table, ""])


def page() -> str:
    """``docs/architecture.md`` with its generated part replaced; the rest stays as it is."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{picture()}\n{END}{tail}"
