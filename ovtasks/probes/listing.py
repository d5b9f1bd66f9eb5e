"""All VMs of this user, as ``ov eval libvirt list`` tells them."""

from __future__ import annotations

from ovtasks import registry
from ovtasks.backends.contract import ListedDomain, Lists, backend
from ovtasks.errors import OvError
from ovtasks.instance.find import every
from ovtasks.instance.status import status
from ovtasks.values.jsonvalue import Json


def domains(uri: str | None = None) -> list[Json]:
    """Name, state, uuid, backend and process id of each, sorted by name; ``ours``: it is an instance of ov's.

    Those of libvirt that are not ours are listed where its daemon runs. With ``uri``, all of that connection are.

    :raises OvError: the daemon at ``uri`` cannot be asked.
    """
    found: dict[str, dict[str, Json]] = {}
    for record in every():
        now = status(record)
        row: dict[str, Json] = {"name": record.domain, "state": now.state.value, "uuid": record.uuid}
        found[record.uuid] = {**row, "backend": record.backend, "pid": now.pid, "ours": True}
    there = _listed(uri)
    if uri is not None:
        found = {uuid: row for uuid, row in found.items() if uuid in {one.uuid for one in there}}
    for one in there:
        other: dict[str, Json] = {"name": one.name, "state": one.state.value, "uuid": one.uuid, "backend": "libvirt"}
        found.setdefault(one.uuid, {**other, "pid": None, "ours": False})["id"] = one.number
    return [*sorted(found.values(), key=lambda row: str(row["name"]))]


def _listed(uri: str | None) -> tuple[ListedDomain, ...]:
    """What libvirt has; nothing if it cannot be asked, unless ``uri`` says that it must be."""
    try:
        lists = backend("libvirt") if registry.find(registry.BACKENDS, "libvirt") else None
        return lists.domains(uri) if isinstance(lists, Lists) else ()
    except OvError:
        if uri is not None:
            raise
        return ()
