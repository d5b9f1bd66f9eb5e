"""Chooses an instance's vsock CID. It stays the same if possible, and no other guest has it now."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from ovtasks.errors import RefusedError
from ovtasks.host import vsock
from ovtasks.instance.record import Record
from ovtasks.values.jsonvalue import Json

CIDS = range(1 << 16, 1 << 31)
"""Far above the CIDs of other programs, which count up from 3. Nobody uses ports with these numbers either."""
TRIES = 100


def choose_cid(record: Record, libvirt: Mapping[str, Json]) -> int | None:
    """Choose the CID of an instance that is not running; None if guests have no vsock on this host.

    The CID in the spec's ``libvirt:`` mapping comes first, then the recorded one if it is free, then one derived from
    the UUID.

    :raises RefusedError: another guest has the CID that the spec names.
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
    """The CID in the spec. Anything but a number counts as absent here; the renderer refuses it."""
    found: Json = libvirt
    for key in ("devices", "vsock", "cid", "address"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return int(str(found)) if str(found).isascii() and str(found).isdigit() else None
