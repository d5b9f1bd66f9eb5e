"""Keeps the catalogue of errors in step with the code: ``python -m docs.catalogue``.

A message that is new gets the next free id of its group. One that was changed a little keeps its id. One that is gone
is marked as retired, so that its id is never given again.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterable
from functools import cache

from docs.raise_sites import GAP, RaiseSite, raise_sites
from ovtasks.errors import EXIT_FAILED, EXIT_INPUT, EXIT_REFUSED
from ovtasks.errors.catalogue import GROUPS, ROWS, ErrorGroup, ErrorRow, article, rows

_ALIKE = 0.75
"""From this ratio on, two messages are one that was edited."""
INTRODUCTION = """# {title}

Errors of this kind have ids from OV-{digit}001 on. `{gap}` stands for a name, a number or a path. `ov explain` with an
id prints the same without network.
"""


@cache
def sites() -> tuple[RaiseSite, ...]:
    """Each place that makes an error."""
    return tuple(raise_sites())


def group_of(file: str) -> ErrorGroup:
    """The group of a file below the package."""
    room = file.partition("/")[0].removesuffix(".py")
    return next(group for group in GROUPS if room in group.rooms)


def wanted() -> list[ErrorRow]:
    """What the code can say, as rows whose id is only that of their group: ``OV-1``."""
    found: dict[str, list[RaiseSite]] = {}
    for site in sites():
        for text in site.messages:
            found.setdefault(text, []).append(site)
    wrapped = {text for text in found if _wraps(text, found.keys())}
    made = []
    for text in sorted(found.keys() - wrapped):
        places = found[text]
        hints = dict.fromkeys(hint for site in places if len(site.messages) == 1 for hint in site.hints)
        made.append(
            ErrorRow(
                id=f"OV-{group_of(places[0].file).digit}",
                text=text,
                hints=tuple(hints)[:3],
                exits=tuple(sorted({_exit_code(site.base) for site in places})),
            )
        )
    return made


def _wraps(text: str, known: Collection[str]) -> bool:
    """Whether a text is another one with words around its first gap, or before it."""
    behind = {text[at + 2 :] for at in range(len(text)) if text.startswith(": ", at)}
    plain = re.sub(rf"^\S*{GAP}\S*", GAP, text)
    return bool((behind | ({plain} - {text})) & {*known})


def renewed() -> list[ErrorRow]:
    """The rows as they must be, in the order of their ids."""
    old = {row.text: row for row in rows()}
    kept = {row.text: _with_id(row, old[row.text].id) for row in wanted() if row.text in old}
    free = [row for row in rows() if row.text not in kept and not row.retired]
    used = {row.id for row in rows()}
    for row in wanted():
        if row.text not in kept:
            same = [one for one in free if one.id.startswith(row.id)]
            near = max(same, key=lambda one: _alike(one.text, row.text), default=None)
            if near is not None and _alike(near.text, row.text) >= _ALIKE:
                free.remove(near)
                kept[row.text] = _with_id(row, near.id)
            else:
                name = _next(row.id, used)
                used.add(name)
                kept[row.text] = _with_id(row, name)
    gone = [one for one in rows() if one.retired and one.text not in kept] + free
    retired = [ErrorRow(one.id, one.text, one.hints, one.exits, retired=True) for one in gone]
    return sorted([*kept.values(), *retired], key=lambda row: row.id)


def written(made: Iterable[ErrorRow]) -> str:
    """Rows as the text of ``catalogue.json``, one a line."""
    return "[\n" + ",\n".join(json.dumps(_as_json(row), ensure_ascii=False) for row in made) + "\n]\n"


def page(group: ErrorGroup) -> str:
    """The page of a group, with a section for each of its errors."""
    head = INTRODUCTION.format(title=f"Errors: {group.title}", digit=group.digit, gap=GAP)
    body = [f"## {row.id}\n\n{_quoted(row.text)}\n\n{article(row)}\n" for row in rows() if row.group == group]
    return "\n".join([head, *body])


def _quoted(text: str) -> str:
    return "\n".join(["```text", *text.splitlines(), "```"])


def _with_id(row: ErrorRow, name: str) -> ErrorRow:
    return ErrorRow(name, row.text, row.hints, row.exits)


def _alike(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a, b, autojunk=False).ratio()


def _next(group: str, used: set[str]) -> str:
    number = max((int(name.removeprefix("OV-")) for name in used if name.startswith(group)), default=0)
    return f"OV-{max(number, int(group[-1]) * 1000) + 1}"


def _exit_code(base: str) -> int:
    return {"InputError": EXIT_INPUT, "RefusedError": EXIT_REFUSED}.get(base, EXIT_FAILED)


def _as_json(row: ErrorRow) -> dict[str, object]:
    made: dict[str, object] = {"id": row.id, "text": row.text}
    if row.hints:
        made["hints"] = row.hints
    if row.exits:
        made["exits"] = row.exits
    if row.retired:
        made["retired"] = True
    return made


if __name__ == "__main__":
    ROWS.write_text(written(renewed()), encoding="utf-8")
