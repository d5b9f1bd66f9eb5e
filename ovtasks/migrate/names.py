"""``names``: every key gets today's name, by the one table that reading uses."""

from __future__ import annotations

from pathlib import Path

from ovtasks.errors import InputErrors, OvError, Where
from ovtasks.migrate.edit import Edits
from ovtasks.migrate.tree import YamlNode, filled
from ovtasks.project.file_names import file_names
from ovtasks.project.layer_file import ROOT
from ovtasks.project.layer_names import LAYER
from ovtasks.project.names import KeyNames, renamed
from ovtasks.project.places import LAYER_FILE, display
from ovtasks.values.yamlio import Document, parse_yaml


def migrate_names(path: Path, text: str) -> str:
    """The text with today's names.

    :raises InputErrors: a key has two of its names at once. :raises OvError: something else would change, too.
    """
    edits = Edits(path, text)
    wanted = []
    for document, node in zip(parse_yaml(text.encode(), display(path)), filled(text), strict=True):
        block = _block(path, document)
        ours, errors = renamed(document, block)
        if errors:
            raise InputErrors(errors)
        wanted.append(ours.data)
        _rename(edits, node, block)
    new = edits.done()
    if new != text and [one.data for one in parse_yaml(new.encode(), display(path))] != wanted:
        hint = "an anchor (&name) is used in places that have other names: write its value out there"
        raise OvError("the names cannot be changed alone", hint=hint, where=Where(display(path)))
    return new


def _block(path: Path, document: Document) -> KeyNames:
    if path.name != LAYER_FILE:
        return file_names(document.data, path.name)
    data = document.data
    wrapped = isinstance(data, dict) and ROOT in data and not isinstance(data[ROOT], list)
    return KeyNames(below={ROOT: LAYER}) if wrapped else LAYER


def _rename(edits: Edits, node: YamlNode, block: KeyNames) -> None:
    if node.target is not None:
        _rename(edits, node.target, block)
    for item in node.items:
        _rename(edits, item, block)
    for key, value in node.pairs:
        if key.value == "<<":
            _rename(edits, value, block)
            continue
        name = block.names.get(key.value, key.value)
        if name != key.value:
            edits.scalar(key, name)
        below = block.below.get(name, block.every)
        if below is not None:
            _rename(edits, value, below)
