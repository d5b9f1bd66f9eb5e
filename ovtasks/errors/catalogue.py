"""The catalogue of errors: an id for each message, and what ``ov explain`` says about it.

``catalogue.json`` has a row for each message that the package can raise, with ``…`` where a value goes. An id is given
once: a message that is changed keeps it, and one that is given up is marked as retired. ``advice.md`` has a section for
each error that needs more words than its hint. ``python -m docs.catalogue`` keeps the rows in step with the code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ovtasks.errors import EXIT_FAILED, EXIT_INPUT, EXIT_REFUSED, InputErrors, OvError

ROWS = Path(__file__).with_name("catalogue.json")
ADVICE = Path(__file__).with_name("advice.md")
GAP = "…"
EXITS = {
    EXIT_FAILED: "something failed while it ran",
    EXIT_INPUT: "what was written is wrong: a file, an option or a setting",
    EXIT_REFUSED: "ov refused, because something in use would have been harmed",
}


@dataclass(frozen=True)
class ErrorGroup:
    """The errors of some rooms. Their ids begin with ``digit``; ``slug`` names their page."""

    digit: int
    slug: str
    title: str
    rooms: tuple[str, ...]


GROUPS = (
    ErrorGroup(1, "files", "Project files", ("project", "values", "seed", "migrate")),
    ErrorGroup(2, "downloads", "Downloads and trust", ("images",)),
    ErrorGroup(3, "machine", "The machine", ("machine",)),
    ErrorGroup(4, "builds", "Builds", ("sources", "containers", "graph", "registry", "plugin")),
    ErrorGroup(5, "backends", "libvirt and QEMU", ("backends",)),
    ErrorGroup(6, "instances", "VMs that exist", ("instance",)),
    ErrorGroup(7, "guests", "Guests and probes", ("guest", "probes")),
    ErrorGroup(8, "layers", "Layers and deployments", ("layers", "deploy")),
    ErrorGroup(9, "host", "This host and the command line", ("host", "cli", "errors")),
)


@dataclass(frozen=True)
class ErrorRow:
    """One error: its id, its message with gaps, what the hint may say, and the exit codes it can end with."""

    id: str
    text: str
    hints: tuple[str, ...] = ()
    exits: tuple[int, ...] = ()
    retired: bool = False
    weight: int = field(default=0, compare=False)

    @property
    def group(self) -> ErrorGroup:
        """The group that the id belongs to."""
        return GROUPS[int(self.id[3]) - 1]

    def fits(self, message: str) -> bool:
        """Whether this is the message, or a part of it."""
        parts = [part for part in self.text.split(GAP) if part]
        if not all(part in message for part in parts):  # spares most rows a pattern
            return False
        return re.search(".*?".join(re.escape(part) for part in parts), message, re.DOTALL) is not None


@cache
def rows() -> tuple[ErrorRow, ...]:
    """All rows in the order of their ids."""
    loaded = json.loads(ROWS.read_text(encoding="utf-8"))
    return tuple(
        ErrorRow(
            id=one["id"],
            text=one["text"],
            hints=tuple(one.get("hints", ())),
            exits=tuple(one.get("exits", ())),
            retired=bool(one.get("retired")),
            weight=len(one["text"].replace(GAP, "")),
        )
        for one in loaded
    )


def find(message: str) -> ErrorRow | None:
    """The row of a message: of those that fit, the one that says most."""
    fitting = [row for row in rows() if not row.retired and row.fits(message)]
    return max(fitting, key=lambda row: row.weight, default=None)


def by_id(word: str) -> ErrorRow | None:
    """The row of an id; ``ov-1001`` and ``1001`` will do."""
    wanted = "OV-" + word.upper().removeprefix("OV-")
    return next((row for row in rows() if row.id == wanted), None)


def error_ids(error: OvError) -> list[str]:
    """The ids of an error, or of the errors that it is made of, each once."""
    single = error.errors if isinstance(error, InputErrors) else (error,)
    found = (find(one.message) for one in single)
    return list(dict.fromkeys(row.id for row in found if row is not None))


def pointer(errors: Iterable[OvError]) -> str:
    """The last line below errors, which says where to read more; empty when no error is known."""
    ids = list(dict.fromkeys(name for error in errors for name in error_ids(error)))
    return f"  see: ov explain {' '.join(ids)}" if ids else ""


def told(error: OvError) -> str:
    """An error as it is printed: place, message, hint, and the line that says where to read more."""
    return "\n".join(line for line in (str(error), pointer([error])) if line)


def advice(name: str) -> str:
    """The section of ``advice.md`` for an id, without its heading; empty when there is none."""
    sections = re.split(r"^## (OV-\d+)\n", ADVICE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(sections[1::2], sections[2::2], strict=True)).get(name, "").strip()


def article(row: ErrorRow) -> str:
    """What there is to say about an error, as Markdown without a heading."""
    ways = "\n".join(f"* {hint}" for hint in row.hints)
    exits = ", or ".join(f"{code} ({EXITS[code]})" for code in row.exits if code in EXITS)
    parts = (
        "This version of ov does not say this any more." if row.retired else "",
        advice(row.id),
        f"ov's hint:\n\n{ways}" if ways else "",
        f"Exit code: {exits}." if exits else "",
    )
    return "\n\n".join(part for part in parts if part)
