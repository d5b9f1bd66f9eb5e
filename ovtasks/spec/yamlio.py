"""YAML text → plain JSON-like data, and the line and column of every key and value.

Plain scalars follow the core of YAML 1.2's JSON schema: ``true``/``false`` (also capitalised), ``null``/``~``/nothing,
decimal integers, decimal fractions without an exponent. Everything else is the text that was written, so ``no``,
``on``, ``0644``, ``22:22``, ``1e3`` and ``2024-01-01`` mean what they look like. Keys are always text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ovtasks.errors import InputError, Where
from ovtasks.host.state import read_input
from ovtasks.jsonvalue import Json

MAX_BYTES = 16 << 20
MAX_NODES = 1_000_000
MAX_DEPTH = 64

Key = str | int
Position = tuple[int, int]

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})", re.ASCII)
_FRACTION = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,18}", re.ASCII)
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_TAG = "tag:yaml.org,2002:"


class Mark(NamedTuple):
    """Where one value stands. ``raw`` is the text of an unquoted scalar; ``keys`` the places of a mapping's keys.
    ``text`` is where a text begins, when its lines and columns in the file are its own from there on."""

    position: Position
    raw: str | None = None
    keys: dict[str, Position] | None = None
    items: dict[Key, Mark] | None = None
    text: Position | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: plain ``data`` and its shadow ``mark``."""

    file: str
    data: Json
    mark: Mark

    def where(self, *path: Key, key: bool = False, at: Position | None = None) -> Where:
        """The place of the value at ``path`` (of its key with ``key``; of line and column ``at`` in its text); of the
        nearest thing around it if not there."""
        mark, position = self.mark, self.mark.position
        for depth, step in enumerate(path):
            if key and depth == len(path) - 1 and isinstance(step, str) and mark.keys and step in mark.keys:
                return Where(self.file, *mark.keys[step])
            below = (mark.items or {}).get(step)
            if below is None:
                break
            mark, position = below, below.position
        else:
            if at is not None and mark.text is not None:
                line, column = mark.text
                position = (line + at[0] - 1, column + at[1] - 1)
        return Where(self.file, *position)

    def begins(self, *path: Key) -> Position | None:
        """Where the text at ``path`` begins; None when its lines in the file are not its own."""
        mark: Mark | None = self.mark
        for step in path:
            mark = (mark.items or {}).get(step) if mark else None
        return mark.text if mark else None

    def raw(self, *path: Key) -> str | None:
        """The text of the unquoted scalar at ``path`` as written; None for anything else."""
        mark: Mark | None = self.mark
        for step in path:
            mark = (mark.items or {}).get(step) if mark else None
        return mark.raw if mark else None


def read_yaml(path: Path, name: str) -> list[Document]:
    """The documents of a file; ``name`` is how errors call it. An empty file has none.

    :raises InputError: not readable, over 16 MiB, not UTF-8, not YAML, or YAML beyond what a spec may use.
    """
    try:
        data = read_input(path, MAX_BYTES)
    except OSError as e:
        raise InputError(f"cannot read the file: {e.strerror}", where=Where(name)) from None
    return parse_yaml(data, name)


def parse_yaml(data: bytes, name: str) -> list[Document]:
    """The documents of a YAML stream; see :func:`read_yaml`.

    :raises InputError: as there, with line and column.
    """
    if len(data) > MAX_BYTES:
        raise InputError(
            "the file is larger than 16 MiB", hint="split it and name the parts in includes:", where=Where(name)
        )
    text = _decode(data, name)
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Composer(name, loader(text), text).documents()
    except yaml.reader.ReaderError as e:
        raise _bad_character(text, e.position, e.character, name) from None
    except yaml.MarkedYAMLError as e:
        raise _not_yaml(e, text, name) from None


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        column = len(data[data.rfind(b"\n", 0, e.start) + 1 : e.start].decode("utf-8", "replace")) + 1
        wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        message = "the file is UTF-16, not UTF-8" if wide else f"byte 0x{data[e.start]:02x} is not UTF-8"
        raise InputError(message, hint="save the file as UTF-8", where=Where(name, line, column)) from None


def _bad_character(text: str, index: int, character: int | str, name: str) -> InputError:
    code = ord(character) if isinstance(character, str) else character
    found = text.find(chr(code)) if code < 0x110000 else -1  # the C reader counts bytes, so look for it
    index = found if found >= 0 else index
    where = Where(name, text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))
    return InputError(f"character U+{code:04X} is not allowed in YAML", hint="is this a text file?", where=where)


def _not_yaml(error: Any, text: str, name: str) -> InputError:
    mark = error.problem_mark or error.context_mark
    where = Where(name, mark.line + 1, mark.column + 1) if mark else Where(name)
    if "maximum nesting depth" in (error.problem or ""):  # newer libyamls give up themselves
        return InputError(f"nested more than {MAX_DEPTH} levels deep", where=where)
    lines = text.splitlines()
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    hint = None
    if line[: len(line) - len(line.lstrip())].count("\t") or (mark and line[mark.column : mark.column + 1] == "\t"):
        hint = "indent with spaces: YAML allows no tabs there"
    elif "mapping values are not allowed" in (error.problem or ""):
        hint = "a value that contains ': ' needs quotes; otherwise check the indentation"
    elif line.lstrip()[:1] in {"@", "`", "%"} or (mark and line[mark.column : mark.column + 1] in {"@", "`", "%"}):
        hint = "a value that begins with this character needs quotes"
    elif "undefined alias" in (error.problem or ""):
        hint = "an alias (*name) needs its anchor (&name) before it; quote the text if it is none"
    context = f" ({error.context})" if error.context else ""
    return InputError(f"not YAML: {error.problem or error}{context}", hint=hint, where=where)


def _scalar(text: str) -> Json:
    """What an unquoted scalar means."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if text[0] in "+-0123456789":
        if _INTEGER.fullmatch(text):
            return int(text)
        if "." in text and _FRACTION.fullmatch(text):
            return float(text)
    return text


class _Frame:
    """A mapping or list whose end has not been seen yet."""

    __slots__ = ("anchor", "data", "is_map", "items", "key", "key_at", "keys", "merged", "position", "start")

    def __init__(self, is_map: bool, position: Position, anchor: str | None, start: int) -> None:
        self.is_map = is_map
        self.position = position
        self.anchor = anchor
        self.start = start  # nodes seen before: the size of an anchor's tree
        self.data: Any = {} if is_map else []
        self.items: dict[Key, Mark] = {}
        self.keys: dict[str, Position] = {}
        self.merged: list[tuple[Mapping[str, Json], Mark]] = []
        self.key: str | None = None
        self.key_at: Position = position


class _MergeKey(str):
    __slots__ = ()


_MERGE = _MergeKey("<<")  # known by identity: a quoted "<<" is a key like any other


class _Composer:
    """Builds data from events with a stack of its own: nesting cannot exhaust the C stack, aliases cannot explode."""

    def __init__(self, name: str, loader: Any, source: str) -> None:
        self.name = name
        self.loader = loader
        self.source = source
        self.lines: list[str] = []  # of the source, once a block of text is met
        self.nodes = 0
        self.stack: list[_Frame] = []
        self.anchors: dict[str, tuple[Json, Mark, int] | None] = {}
        self.result: tuple[Json, Mark] | None = None

    def documents(self) -> list[Document]:
        found: list[Document] = []
        get_event = self.loader.get_event
        while (event := get_event()) is not None:
            kind = type(event).__name__
            if kind == "ScalarEvent":
                self.scalar(event)
            elif kind in {"MappingStartEvent", "SequenceStartEvent"}:
                self.open(event, kind == "MappingStartEvent")
            elif kind in {"MappingEndEvent", "SequenceEndEvent"}:
                self.close()
            elif kind == "AliasEvent":
                self.alias(event)
            elif kind == "DocumentEndEvent" and self.result is not None:
                data, mark = self.result
                if data is not None:  # a document of comments only
                    found.append(Document(self.name, data, mark))
                self.anchors, self.result = {}, None
            elif kind == "StreamEndEvent":
                break
        return found

    def fail(self, message: str, position: Position, hint: str | None = None) -> InputError:
        return InputError(message, hint=hint, where=Where(self.name, *position))

    def count(self, nodes: int, position: Position) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            raise self.fail(f"more than {MAX_NODES:,} values, counting what aliases repeat", position)

    def scalar(self, event: Any) -> None:
        position = (event.start_mark.line + 1, event.start_mark.column + 1)
        self.count(1, position)
        text: str = event.value
        plain = event.implicit[0] and not event.style
        frame = self.stack[-1] if self.stack else None
        if frame is not None and frame.is_map and frame.key is None:
            self.key(frame, text, plain, position)
            return
        value: Json
        if event.tag is not None and event.tag != "!":
            value = self.tagged(event.tag, text, position)
        else:
            value = _scalar(text) if plain else text
        mark = Mark(position, text if plain else None, text=self.text_place(event))
        if event.anchor:
            self.anchors[event.anchor] = (value, mark, 1)
        self.put(value, mark)

    def text_place(self, event: Any) -> Position | None:
        """Where the scalar's text begins, if the file has it as it is: a literal block, or a line without escapes."""
        start, end, value = event.start_mark, event.end_mark, event.value
        if event.style == "|":
            self.lines = self.lines or self.source.replace("\r\n", "\n").split("\n")
            first = next((line for line in value.split("\n") if line.strip()), None)
            written = next((line for line in self.lines[start.line + 1 :] if line.strip()), "")
            if first is None or not written.endswith(first):
                return None
            return start.line + 2, len(written) - len(first) + 1
        quotes = 2 if event.style else 0
        if start.line != end.line or end.column - start.column != len(value) + quotes:
            return None
        return start.line + 1, start.column + 1 + quotes // 2

    def tagged(self, tag: str, text: str, position: Position) -> Json:
        if tag == _TAG + "str":
            return text
        value = _scalar(text)
        wanted: dict[str, tuple[type, ...]] = {
            "int": (int,),
            "float": (int, float),
            "bool": (bool,),
            "null": (type(None),),
        }
        name = tag.removeprefix(_TAG)
        if name not in wanted:
            raise self.fail(f"tag {tag.replace(_TAG, '!!')} is not supported", position, "write a plain value")
        if type(value) not in wanted[name]:
            raise self.fail(f"{text!r} is no {name}", position)
        return value

    def key(self, frame: _Frame, text: str, plain: bool, position: Position) -> None:
        frame.key_at = position
        if plain and text == "<<":
            frame.key = _MERGE
            return
        if text in frame.keys:
            first = Where(self.name, *frame.keys[text])
            raise self.fail(f"key {text!r} is there twice", position, f"first at {first}; keep one of them")
        frame.key = text
        frame.keys[text] = position

    def open(self, event: Any, is_map: bool) -> None:
        position = (event.start_mark.line + 1, event.start_mark.column + 1)
        self.count(1, position)
        if len(self.stack) >= MAX_DEPTH:
            raise self.fail(f"nested more than {MAX_DEPTH} levels deep", position)
        if event.tag not in {None, "!", _TAG + ("map" if is_map else "seq")}:
            raise self.fail(f"tag {event.tag.replace(_TAG, '!!')} is not supported", position, "write a plain value")
        self.need_text_key(position)
        if event.anchor:
            self.anchors[event.anchor] = None  # not finished: an alias to it is recursive
        self.stack.append(_Frame(is_map, position, event.anchor, self.nodes))

    def need_text_key(self, position: Position) -> None:
        if self.stack and self.stack[-1].is_map and self.stack[-1].key is None:
            raise self.fail("a key must be text", position, "quote a key that begins with [, { or *")

    def close(self) -> None:
        frame = self.stack.pop()
        for data, mark in frame.merged:  # written keys win, then the first merged mapping that has the key
            for key, value in data.items():
                if key not in frame.data:
                    frame.data[key] = value
                    frame.keys[key] = (mark.keys or {}).get(key, mark.position)
                    if mark.items and key in mark.items:
                        frame.items[key] = mark.items[key]
        mark = Mark(frame.position, None, frame.keys if frame.is_map else None, frame.items)
        if frame.anchor:
            self.anchors[frame.anchor] = (frame.data, mark, self.nodes - frame.start + 1)
        self.put(frame.data, mark)

    def alias(self, event: Any) -> None:
        position = (event.start_mark.line + 1, event.start_mark.column + 1)
        self.need_text_key(position)
        if event.anchor not in self.anchors:
            raise self.fail(
                f"alias *{event.anchor} has no anchor before it", position, f"put &{event.anchor} first, or quote it"
            )
        anchored = self.anchors[event.anchor]
        if anchored is None:
            raise self.fail(f"alias *{event.anchor} stands inside its own anchor", position)
        data, mark, nodes = anchored
        self.count(nodes, position)
        self.put(data, mark)

    def put(self, value: Json, mark: Mark) -> None:
        if not self.stack:
            self.result = (value, mark)
            return
        frame = self.stack[-1]
        if not frame.is_map:
            frame.items[len(frame.data)] = mark
            frame.data.append(value)
        elif frame.key is _MERGE:
            self.merge(frame, value, mark)
            frame.key = None
        else:
            assert frame.key is not None
            frame.data[frame.key] = value
            frame.items[frame.key] = mark
            frame.key = None

    def merge(self, frame: _Frame, value: Json, mark: Mark) -> None:
        parts = [(value, mark)]
        if isinstance(value, list):
            parts = [(item, (mark.items or {})[index]) for index, item in enumerate(value)]
        for data, place in parts:
            if not isinstance(data, Mapping):
                raise self.fail("<<: needs a mapping or a list of mappings", frame.key_at, "<<: *anchor")
            self.count(len(data), frame.key_at)
            frame.merged.append((data, place))
