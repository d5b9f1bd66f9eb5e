"""An instance's vsock CID: mostly always the same, never one that another guest has now."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from ovtasks.errors import RefusedError
from ovtasks.host import vsock
from ovtasks.instance.record import Record
from ovtasks.values.jsonvalue import Json

CIDS = range(1 << 16, 1 << 31)
"""Far from those that others count up from 3; as numbers of ports, too, they are nobody else's."""
TRIES = 100


def choose_cid(record: Record, libvirt: Mapping[str, Json]) -> int | None:
    """The CID that is written in the spec's ``libvirt:`` mapping; else the one that it has, if that is free; else one
    that follows from its UUID. It does not run now. None: this host's guests have no vsock.

    :raises RefusedError: another guest has the written one.
    """
    if vsock.problem() is not None:
        return None
    if (written := _written(libvirt)) is not None:
        if not vsock.free(written):
            hint = "choose another one, or leave it out; or stop the other VM"
            raise RefusedError(f"libvirt.devices.vsock.cid.address: another VM has {written}", hint=hint)
        return written
    first = int.from_bytes(hashlib.sha256(record.uuid.encode()).digest()[:8])
    numbers = (CIDS[(first + step) % len(CIDS)] for step in range(TRIES))
    kept = (record.cid,) if record.cid is not None else ()
    return next((cid for cid in (*kept, *numbers) if vsock.free(cid)), None)


def _written(libvirt: Mapping[str, Json]) -> int | None:
    """What is no number is the renderer's to refuse."""
    found: Json = libvirt
    for key in ("devices", "vsock", "cid", "address"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return int(str(found)) if str(found).isascii() and str(found).isdigit() else None
