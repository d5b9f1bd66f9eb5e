"""An instance's vsock CID: mostly always the same, never one that another guest has now."""

from __future__ import annotations

import hashlib

from ovtasks.host import vsock
from ovtasks.instance.record import Record

CIDS = range(1 << 16, 1 << 31)
"""Far from those that others count up from 3; as numbers of ports, too, they are nobody else's."""
TRIES = 100


def choose_cid(record: Record) -> int | None:
    """The CID that it has, if that is free; else one that follows from its UUID. It does not run now.

    None: this host's guests have no vsock.
    """
    if vsock.problem() is not None:
        return None
    first = int.from_bytes(hashlib.sha256(record.uuid.encode()).digest()[:8])
    numbers = (CIDS[(first + step) % len(CIDS)] for step in range(TRIES))
    kept = (record.cid,) if record.cid is not None else ()
    return next((cid for cid in (*kept, *numbers) if vsock.free(cid)), None)
