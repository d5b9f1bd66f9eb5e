"""Changes one setting in the text of ``settings.yml``: ruamel.yaml keeps comments, order and layout of the rest.

Two things it does not do by itself. A comment behind a value stays two blanks away when the value's length changes,
and a comment below a removed entry, which belongs to what follows, stays.
"""

from __future__ import annotations

import io
from typing import Any

from ovtasks.host.paths import settings_file
from ovtasks.host.yamlfile import load_to_edit
from ovtasks.values.yamlio import Document

WIDTH = 1 << 16
"""No line is broken because it is long."""
BEHIND = 2
"""Where ruamel.yaml keeps the comment behind an entry's value, with the comment lines after it."""


def edited(text: str, document: Document | None, section: str, name: str, value: str | int | None) -> str:
    """``text`` with ``section.name`` set to ``value``; None: without it, and without a section that is then empty.

    ``document`` is what the text says.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap

    if "\r\n" in text:  # ruamel.yaml keeps them in comments only
        return edited(text.replace("\r\n", "\n"), document, section, name, value).replace("\n", "\r\n")
    if text and not text.endswith("\n"):
        text += "\n"
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = WIDTH
    yaml.indent(mapping=_indent(document, section))
    data: Any = next(iter(load_to_edit(yaml, text, str(settings_file()), f"{section}.{name}")), None)
    if data is None:  # nothing but comments
        return text if value is None else f"{text}{section}:\n  {name}: {value}\n"
    if value is not None:
        if data.get(section) is None:
            _open(data, section, CommentedMap(), name, value)
        _set(data, section, name, value)
    elif name in (data.get(section) or ()):
        whole = len(data[section]) == 1
        below = _remove(data, section) if whole else _remove(data[section], name)
        if not data:
            return _heading(text, document) + below
    out = io.StringIO()
    yaml.dump(data, out)
    return out.getvalue()


def _indent(document: Document | None, section: str) -> int:
    """How far entries stand behind their section: as in this section, else as in the first one."""
    if document is None or not isinstance(document.data, dict):
        return 2
    for one in (section, *document.data):
        below = document.data.get(one)
        if isinstance(below, dict) and below:
            key, first = document.where(one, key=True), document.where(one, next(iter(below)), key=True)
            if first.line > key.line:
                return first.column - key.column
    return 2


def _heading(text: str, document: Document | None) -> str:
    """The comments before the first entry."""
    first = document.mark.position[0] - 1 if document else 0
    return "".join(text.splitlines(keepends=True)[:first])


def _comment(text: str, column: int = 0) -> Any:
    from ruamel.yaml.error import CommentMark
    from ruamel.yaml.tokens import CommentToken

    return CommentToken(text, CommentMark(column), None)


def _open(data: Any, section: str, below: Any, name: str, value: str | int) -> None:
    """Put a mapping, ``below``, where nothing stands yet; comments on lines of their own come after its entry."""
    known = data.ca.items.get(section) if section in data else None
    data[section] = below
    below[name] = value
    if known and known[BEHIND] is not None:
        own, _, rest = known[BEHIND].value.partition("\n")
        known[BEHIND] = _comment(f"{own}\n", known[BEHIND].start_mark.column) if own else None
        if rest:
            below.ca.items[name] = [None, None, _comment(f"\n{rest}"), None]


def _set(data: Any, section: str, name: str, value: str | int) -> None:
    below = data[section]
    if name not in below:
        below.insert(0, name, value)
        return
    old, below[name] = below[name], None  # else the new value would get the old one's quotes
    below[name] = value
    flow = below.fa.flow_style()
    token = (data if flow else below).ca.items.get(section if flow else name)
    if token and token[BEHIND] is not None and isinstance(old, str):
        mark = token[BEHIND].start_mark
        quotes = 0 if type(old) is str else 2 + old.count("'")
        mark.column += len(str(value)) - len(old) - quotes


def _remove(mapping: Any, key: str) -> str:
    """Remove an entry; its comments on lines below it go to the entry before it, or are the result."""
    keys = [*mapping]
    rest = _last_comment(mapping, key)
    before = keys[keys.index(key) - 1] if keys.index(key) else None
    later = keys[keys.index(key) + 1] if key != keys[-1] else None
    del mapping[key]
    mapping.ca.items.pop(key, None)
    if not rest:
        return ""
    if before is not None:
        token = _tail(mapping, before)
        token[BEHIND] = _comment(
            (token[BEHIND].value if token[BEHIND] else "\n") + rest,
            token[BEHIND].start_mark.column if token[BEHIND] else 0,
        )
    elif later is not None:
        known = mapping.ca.items.setdefault(later, [None, None, None, None])
        known[1] = [_comment(rest), *(known[1] or [])]
    return rest


def _tail(mapping: Any, key: str) -> Any:
    """The comments of the last value in an entry."""
    while isinstance(mapping[key], dict) and mapping[key] and not mapping[key].fa.flow_style():
        mapping = mapping[key]
        key = [*mapping][-1]
    return mapping.ca.items.setdefault(key, [None, None, None, None])


def _last_comment(mapping: Any, key: str) -> str:
    token = _tail(mapping, key)[BEHIND]
    return token.value.partition("\n")[2] if token is not None else ""
