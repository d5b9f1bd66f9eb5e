"""Carries out the checks ``libvirt`` and ``spice`` of a VM that runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from ovtasks.errors import InputError, OvError
from ovtasks.instance.record import Record
from ovtasks.instance.status import slowness
from ovtasks.layers.checks.model import MachineAsker, ProbeFacts
from ovtasks.layers.checks.script import MISSING_TOOL
from ovtasks.probes.libvirt_methods import LIBVIRT, named_snapshots
from ovtasks.probes.listing import domains
from ovtasks.probes.machine import UnableError
from ovtasks.probes.method import Method, MethodValues, Said
from ovtasks.probes.output import save
from ovtasks.probes.picture import read_picture
from ovtasks.probes.spice_methods import SPICE
from ovtasks.values.jsonvalue import Json

METHODS: Mapping[str, Mapping[str, Method]] = {
    verb: {one.name: one for one in methods if one.checked}
    for verb, methods in (("libvirt", LIBVIRT), ("spice", SPICE))
}
_SECONDS = ("timeout", "wait")
"""The arguments by which a check's own time reaches a method."""
_MOST = 32 << 20
"""Bytes of what a method says that are looked at."""


def asker(record: Record) -> MachineAsker:
    """What asks this VM. An answer that is none is a failure of the check, no error."""

    def ask(verb: str, name: str, data: Mapping[str, Json], seconds: float) -> ProbeFacts:
        method: Method | None = None
        said: Iterable[Said]
        try:
            if (verb, name) == ("libvirt", "list"):
                said = [Said(data=domains())]
            elif (verb, name) == ("libvirt", "snapshot/info"):
                said = [_snapshot_info(record, str(data["target"]))]
            else:
                if (method := METHODS[verb].get(name)) is None:
                    return {MISSING_TOOL: f"{name} changes the VM; ov vm snapshot does that".encode()}
                found = method.run(record, _values(record, method, data, seconds))
                said = [found] if isinstance(found, Said) else found
            return _facts(record, method, said, data)
        except UnableError as e:
            return {MISSING_TOOL: e.message.encode()}
        except OvError as e:
            return {"status": str(e.exit_code).encode(), "stderr": e.message.encode("utf-8", "replace")}

    return ask


def _snapshot_info(record: Record, name: str) -> Said:
    there = {str(one["name"]): one for one in named_snapshots(record)}
    if name not in there:
        hint = f"there are: {', '.join(there)}" if there else f"ov vm snapshot create {record.words} {name}"
        raise InputError(f"{record.words} has no snapshot {name}", hint=hint)
    return Said(data=there[name])


def _values(record: Record, method: Method, data: Mapping[str, Json], seconds: float) -> MethodValues:
    values: dict[str, object] = {}
    for one in method.arguments:
        values[one.field] = one.default
        if one.key is not None and one.key in data:
            written = data[one.key]
            text = json.dumps(written) if isinstance(written, dict | list) else str(written)
            values[one.field] = text.split() if one.many else one.read(text)
        elif one.field in _SECONDS and isinstance(one.default, float):
            values[one.field] = seconds if "timeout" in data else one.default * slowness(record)
    return values


def _facts(record: Record, method: Method | None, said: Iterable[Said], data: Mapping[str, Json]) -> ProbeFacts:
    out, errors, code = bytearray(), bytearray(), 0
    for one in said:
        out += one.out + (_line(one.data) if one.data is not None else b"")
        errors += one.errors + (f"{one.note}\n".encode() if one.note else b"")
        code = one.code or code
        if len(out) + len(errors) > _MOST:
            raise OvError(f"it prints more than {_MOST >> 20} MiB", hint="use a shorter timeout, or another command")
    facts = {"status": str(code).encode(), "stderr": bytes(errors), "size": str(len(out)).encode()}
    if method is not None and method.picture:
        picture = read_picture(bytes(out))
        facts["dimensions"] = f"{picture.width}x{picture.height}".encode()
        facts["uniform"] = b"yes" if picture.uniform else b"no"
    else:
        facts["stdout"] = bytes(out)
    if (file := data.get("artifact")) is not None:
        save(record.project / str(file), bytes(out))
    return facts


def _line(data: Json) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
