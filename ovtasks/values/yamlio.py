"""YAML text → plain JSON-like data, and the line and column of every key and value.

Plain scalars follow the core of YAML 1.2's JSON schema: ``true``/``false`` (also capitalised), ``null``/``~``/nothing,
decimal integers, decimal fractions without an exponent. Everything else is the text that was written, so ``no``,
``on``, ``0644``, ``22:22``, ``1e3`` and ``2024-01-01`` mean what they look like. Keys are always text.

Blocks that another program reads (:func:`.passed.is_passed`) are read here for their places only; :mod:`.passed` reads
their values.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ovtasks.errors import InputError, Where
from ovtasks.values.diagnosis import MAX_DEPTH, TOO_DEEP, bad_character, decoded, not_yaml
from ovtasks.values.document import Document as Document
from ovtasks.values.document import Key as Key
from ovtasks.values.document import Mark as Mark
from ovtasks.values.document import Mistake as Mistake
from ovtasks.values.document import Position as Position
from ovtasks.values.jsonvalue import Json
from ovtasks.values.passed import Written, is_passed

MAX_BYTES = 16 << 20
MAX_NODES = 1_000_000

IsPassed = Callable[[Sequence[Key]], bool]

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})", re.ASCII)
_FRACTION = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,18}", re.ASCII)
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_TAG = "tag:yaml.org,2002:"


def parse_yaml(data: bytes, name: str, passed: IsPassed = is_passed, *, with_mistakes: bool = False) -> list[Document]:
    """The documents of a YAML stream. ``passed`` says which paths are another program's.

    ``with_mistakes``: what can be read around a mistake is read, and the documents say what was wrong.

    :raises InputError: over 16 MiB, not UTF-8, not YAML, or YAML beyond what a spec may use; with line and column.
    """
    if len(data) > MAX_BYTES:
        raise InputError(
            "the file is larger than 16 MiB", hint="split it and name the parts in includes:", where=Where(name)
        )
    text = decoded(data, name)
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        documents = _Composer(name, loader(text), text, passed).documents()
    except yaml.reader.ReaderError as e:
        raise bad_character(text, e.position, e.character, name) from None
    except yaml.MarkedYAMLError as e:
        raise not_yaml(e, text, name) from None
    if not with_mistakes and (wrong := next((one for document in documents for one in document.mistakes), None)):
        raise wrong.error
    return documents


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

    __slots__ = ("anchor", "data", "is_map", "items", "key", "key_at", "keys", "merged", "position", "since", "start")

    def __init__(
        self, is_map: bool, position: Position, anchor: str | None, start: int, since: tuple[int, int]
    ) -> None:
        self.is_map = is_map
        self.position = position
        self.anchor = anchor
        self.start = start  # nodes counted so far: gives the size of an anchor's tree
        self.since = since  # how many tags and mistakes were noted before it
        self.data: Any = {} if is_map else []
        self.items: dict[Key, Mark] = {}
        self.keys: dict[str, Position] = {}
        self.merged: list[tuple[Mapping[str, Json], Mark]] = []
        self.key: str | None = None
        self.key_at: Position = position


class _Tag(NamedTuple):
    """A tag that only another program understands, and the error for places where no other program reads."""

    path: tuple[Key, ...]
    error: InputError


class _Anchored(NamedTuple):
    """What an alias repeats: ``nodes`` values; the paths of its ``tags`` begin there. ``mistakes`` are repeated."""

    data: Json
    mark: Mark
    nodes: int
    tags: list[_Tag]
    mistakes: list[Mistake]


class _SpecialKey(str):
    __slots__ = ()


_MERGE = _SpecialKey("<<")  # known by identity: a quoted "<<" is a key like any other
_DROPPED = _SpecialKey("?")  # the key is a mistake: its value is read and dropped


class _Composer:
    """Builds data from events on a stack of its own.

    So deep nesting cannot exhaust the C stack, and aliases cannot explode.
    """

    def __init__(self, name: str, loader: Any, source: str, passed: IsPassed) -> None:
        self.name = name
        self.loader = loader
        self.source = source
        self.passed = passed
        self.lines: list[str] = []  # of the source; filled when a block of text is met
        self.nodes = 0
        self.stack: list[_Frame] = []
        self.anchors: dict[str, _Anchored | None] = {}
        self.tags: list[_Tag] = []  # tags that are errors unless another program reads them
        self.mistakes: list[Mistake] = []
        self.result: tuple[Json, Mark] | None = None

    def documents(self) -> list[Document]:
        found: list[Document] = []
        number = 0
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
                if data is not None or self.mistakes:  # None: only comments
                    found.append(Document(self.name, data, mark, Written(self.source, number), (*self.mistakes,)))
                self.anchors, self.result, self.mistakes = {}, None, []
                number += 1
            elif kind == "StreamEndEvent":
                break
        return found

    def fail(self, message: str, position: Position, hint: str | None = None) -> InputError:
        return InputError(message, hint=hint, where=Where(self.name, *position))

    def wrong(self, error: InputError, *key: Key) -> None:
        """Note a mistake at the path of the next value, or at a ``key`` beside it."""
        path = self.path()
        self.mistakes.append(Mistake((*path[: len(path) - len(key)], *key), error))

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
        before = len(self.tags), len(self.mistakes)
        if event.tag is not None and event.tag != "!":
            value = self.tagged(event.tag, text, position)
        else:
            value = _scalar(text) if plain else text
        mark = Mark(position, text if plain else None, text=self.text_place(event))
        if event.anchor:
            self.anchors[event.anchor] = _Anchored(value, mark, 1, self.noted(before[0]), self.mistakes[before[1] :])
        self.put(value, mark)

    def text_place(self, event: Any) -> Position | None:
        """Where the scalar's text begins, if the file holds it unchanged: a literal block or a line without escapes."""
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
            self.odd_tag(tag, position)
        elif type(value) not in wanted[name]:
            self.note(_Tag(self.path(), self.fail(f"{text!r} is not of type {name}", position)))
        return value

    def odd_tag(self, tag: str, position: Position) -> None:
        error = self.fail(f"tag {tag.replace(_TAG, '!!')} is not supported", position, "write a plain value")
        self.note(_Tag(self.path(), error))

    def path(self) -> tuple[Key, ...]:
        """The path of the next value; a merged mapping has the path of the one that it is merged into."""
        frames = itertools.takewhile(lambda frame: frame.key is not _MERGE, self.stack)
        return tuple(len(frame.data) if frame.key is None else frame.key for frame in frames)

    def note(self, *tags: _Tag) -> None:
        """Remember tags that only another program understands; they are mistakes where no other program reads."""
        for tag in tags:
            if self.passed(tag.path):
                self.tags.append(tag)
            else:
                self.mistakes.append(Mistake(tag.path, tag.error))

    def noted(self, since: int) -> list[_Tag]:
        """The tags noted inside the value that is about to be put, with paths relative to it."""
        if len(self.tags) == since:
            return []
        depth = len(self.path())
        return [_Tag(tag.path[depth:], tag.error) for tag in self.tags[since:]]

    def key(self, frame: _Frame, text: str, plain: bool, position: Position) -> None:
        frame.key_at = position
        if plain and text == "<<":
            frame.key = _MERGE
            return
        if text in frame.keys and not self.passed(self.path()):  # to another program 1 and "1" may be two keys
            first = Where(self.name, *frame.keys[text])
            hint = f"first at {first}; keep one of them"
            self.wrong(self.fail(f"key {text!r} appears twice", position, hint), text)
            frame.key = _DROPPED
            return
        frame.key = text
        frame.keys[text] = position

    def open(self, event: Any, is_map: bool) -> None:
        position = (event.start_mark.line + 1, event.start_mark.column + 1)
        self.count(1, position)
        if len(self.stack) >= MAX_DEPTH:
            raise self.fail(f"nested more than {MAX_DEPTH} levels deep", position, TOO_DEEP)
        before = len(self.tags), len(self.mistakes)
        self.need_text_key(position)
        if event.tag not in {None, "!", _TAG + ("map" if is_map else "seq")}:
            self.odd_tag(event.tag, position)
        if event.anchor:
            self.anchors[event.anchor] = None  # not finished: an alias to it is recursive
        self.stack.append(_Frame(is_map, position, event.anchor, self.nodes, before))

    def need_text_key(self, position: Position) -> None:
        if self.stack and self.stack[-1].is_map and self.stack[-1].key is None:
            self.wrong(self.fail("a key must be text", position, "quote a key that begins with [, { or *"))

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
            nodes, (tags, mistakes) = self.nodes - frame.start + 1, frame.since
            self.anchors[frame.anchor] = _Anchored(frame.data, mark, nodes, self.noted(tags), self.mistakes[mistakes:])
        self.put(frame.data, mark)

    def alias(self, event: Any) -> None:
        position = (event.start_mark.line + 1, event.start_mark.column + 1)
        self.need_text_key(position)
        anchored = self.anchors.get(event.anchor)
        if anchored is None:
            message, hint = f"alias *{event.anchor} has no anchor before it", f"put &{event.anchor} first, or quote it"
            if event.anchor in self.anchors:
                message = f"alias *{event.anchor} stands inside its own anchor"
                hint = "write out what it is to repeat: it cannot hold itself"
            self.wrong(self.fail(message, position, hint))
            self.put(None, Mark(position))
            return
        for one in anchored.mistakes:
            self.wrong(one.error)
        self.count(anchored.nodes, position)
        if anchored.tags:
            here = self.path()
            self.note(*(_Tag((*here, *tag.path), tag.error) for tag in anchored.tags))
        self.put(anchored.data, anchored.mark)

    def put(self, value: Json, mark: Mark) -> None:
        if not self.stack:
            self.result = (value, mark)
            return
        frame = self.stack[-1]
        if not frame.is_map:
            frame.items[len(frame.data)] = mark
            frame.data.append(value)
        elif frame.key is None or frame.key is _DROPPED:  # a key that is no text, or the value of a wrong key
            frame.key = _DROPPED if frame.key is None else None
        elif frame.key is _MERGE:
            self.merge(frame, value, mark)
            frame.key = None
        else:
            frame.data[frame.key] = value
            frame.items[frame.key] = mark
            frame.key = None

    def merge(self, frame: _Frame, value: Json, mark: Mark) -> None:
        parts = [(value, mark)]
        if isinstance(value, list):
            parts = [(item, (mark.items or {})[index]) for index, item in enumerate(value)]
        for data, place in parts:
            if not isinstance(data, Mapping):
                error = self.fail("<<: needs a mapping or a list of mappings", frame.key_at, "<<: *anchor")
                self.mistakes.append(Mistake(self.path(), error))
                return
            self.count(len(data), frame.key_at)
            frame.merged.append((data, place))
