"""All VMs of this user, as ``ov eval libvirt list`` tells them."""

from __future__ import annotations

from ovtasks.instance.find import every
from ovtasks.instance.status import status
from ovtasks.values.jsonvalue import Json


def domains() -> list[Json]:
    """Name, state, uuid, backend and process id of each, sorted by name."""
    found: list[Json] = []
    for record in every():
        now = status(record)
        row = {"name": record.domain, "state": now.state.value, "uuid": record.uuid}
        found.append({**row, "backend": record.backend, "pid": now.pid})
    return found
