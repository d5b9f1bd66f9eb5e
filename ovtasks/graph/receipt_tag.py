"""Whether a receipt's inputs are the present ones, at a glance: also the hidden ones, whose digests are slow.

A receipt carries a tag: an HMAC under a key that stays on this machine, the user's own. It tells nothing to whoever has
the receipt alone, and saves the slow comparison where the receipt was made or found fresh before.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.host.files import write_atomic
from ovtasks.host.paths import data_home
from ovtasks.host.state import read_state
from ovtasks.values.hidden import Input, reveal
from ovtasks.values.jsonvalue import canonical

KEY_BYTES = 32


def tag(step: str, inputs: Mapping[str, Input], *, make_key: bool = False) -> str:
    """What a receipt of ``step`` with these inputs carries on this machine; empty: there is no key."""
    key = _key(data_home() / "receipts.key", make_key)
    return hmac.new(key, canonical([step, reveal(inputs)]).encode(), hashlib.sha256).hexdigest() if key else ""


@cache
def _key(path: Path, make: bool) -> bytes | None:
    """The user's key. Losing it costs one slow comparison a receipt: so a damaged one is replaced, and without a place
    to write it there is none."""
    try:
        key = read_state(path, private=True)
    except OvError:
        key = None
    if key is not None and len(key) == KEY_BYTES:
        return key
    if not make:
        return None
    key = os.urandom(KEY_BYTES)
    try:
        write_atomic(path, key, mode=0o600)
    except (OSError, OvError):
        return None
    return key
