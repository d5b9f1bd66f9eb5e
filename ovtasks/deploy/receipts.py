"""What this host knows about the layers in an instance: a receipt for each, and the system's facts.

They lie in the instance's folder and count for one instance-id: a VM that was made anew has none of its old layers. A
receipt is written before the guest is touched (``begun``), and again when its layer is whole.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path

from ovtasks.host.files import write_atomic, write_changed
from ovtasks.host.oserrors import explaining
from ovtasks.host.state import try_load_state
from ovtasks.instance.record import Record
from ovtasks.layers.facts import SystemFacts
from ovtasks.values.jsonvalue import plain, restore, state_text

FOLDER = "layers"
FACTS = "layers.facts.json"
ASKED = tuple(field.name for field in fields(SystemFacts))
VERSION = 1


class LayerState(StrEnum):
    """How far a layer has come in the guest."""

    BEGUN = "begun"  # it may be there in part
    WHOLE = "whole"


@dataclass(frozen=True)
class LayerReceipt:
    """A layer in an instance.

    ``digest`` is its plan's, ``requires`` has those of the layers that it needs, ``operations`` that of each operation
    behind its name, in their order; what is secret is sealed. ``skipped`` is what the system cannot do.
    """

    layer: str
    instance_id: str
    state: LayerState = LayerState.BEGUN
    digest: str = ""
    requires: Mapping[str, str] = field(default_factory=dict)
    operations: tuple[tuple[str, str], ...] = ()
    skipped: tuple[str, ...] = ()
    applied: str = ""

    def line(self) -> str:
        """The receipt as one line of JSON, as the guest keeps it."""
        data = plain(self)
        assert isinstance(data, dict)
        return state_text({"version": VERSION, **data}).strip()


@dataclass(frozen=True)
class GuestFacts:
    """The facts of one instance's system, asked once. ``asked`` are the names of all: another version asks for more."""

    instance_id: str
    facts: SystemFacts
    asked: tuple[str, ...] = ()


def receipts_of(record: Record) -> dict[str, LayerReceipt]:
    """The receipts of the layers in this instance, by name. Those of a VM that was there before do not count."""
    found = (_load(path, record) for path in _files(record))
    return {one.layer: one for one in found if one.instance_id == record.instance_id}


def had_layers(record: Record) -> bool:
    """Whether there are receipts of the instance that was there before this one was made anew."""
    return any(True for _ in _files(record)) and not receipts_of(record)


def save_receipt(record: Record, receipt: LayerReceipt) -> None:
    """Write a receipt.

    :raises OvError: it cannot be written.
    """
    path = _path(record, receipt.layer)
    with explaining(f"cannot note the layers of {record.words}", path):
        write_changed(path, receipt.line() + "\n", mode=0o600)


def drop_receipt(record: Record, layer: str) -> None:
    """Forget a layer.

    :raises OvError: the receipt cannot be removed.
    """
    path = _path(record, layer)
    with explaining(f"cannot note the layers of {record.words}", path):
        path.unlink(missing_ok=True)


def drop_older(record: Record) -> None:
    """Forget the layers of a VM that was there before this one.

    :raises OvError: as :func:`drop_receipt`.
    """
    known = receipts_of(record)
    for path in _files(record):
        if path.stem not in known:
            drop_receipt(record, path.stem)


def restored(line: str) -> LayerReceipt | None:
    """The receipt that :meth:`LayerReceipt.line` wrote; None if it is none of this version."""
    from ovtasks.values.jsonvalue import parse

    with contextlib.suppress(ValueError, TypeError):
        data = parse(line)
        if isinstance(data, dict) and data.get("version") == VERSION:
            return restore(LayerReceipt, {key: value for key, value in data.items() if key != "version"})
    return None


def facts_of(record: Record) -> SystemFacts | None:
    """The system's facts; None if nobody has asked this instance yet."""
    data = try_load_state(record.folder.path / FACTS)
    with contextlib.suppress(ValueError, TypeError):
        found = restore(GuestFacts, data) if data is not None else None
        same = found is not None and (found.instance_id, found.asked) == (record.instance_id, ASKED)
        return found.facts if found is not None and same else None
    return None


def save_facts(record: Record, facts: SystemFacts) -> None:
    """Keep the facts.

    :raises OvError: they cannot be written.
    """
    path = record.folder.path / FACTS
    with explaining(f"cannot note what {record.words} is", path):
        known = GuestFacts(str(record.instance_id), facts, ASKED)
        write_atomic(path, state_text(plain(known), lines=True), mode=0o600)


def drop_all(record: Record) -> None:
    """Forget the layers and the facts: the next deployment asks the guest, which has a record of its own.

    :raises OvError: a file cannot be removed.
    """
    with explaining(f"cannot forget the layers of {record.words}", record.folder.path):
        (record.folder.path / FACTS).unlink(missing_ok=True)
        for path in list(_files(record)):
            path.unlink()


def _files(record: Record) -> Iterator[Path]:
    folder = record.folder.path / FOLDER
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        yield from sorted(path for path in folder.iterdir() if path.suffix == ".json")


def _path(record: Record, layer: str) -> Path:
    return record.folder.path / FOLDER / f"{layer}.json"


def _load(path: Path, record: Record) -> LayerReceipt:
    """The receipt at ``path``; a damaged one says only that the layer may be there in part."""
    data = try_load_state(path) or {}
    with contextlib.suppress(ValueError, TypeError):
        if data.pop("version", None) == VERSION:
            return restore(LayerReceipt, data)
    return LayerReceipt(path.stem, str(record.instance_id))
