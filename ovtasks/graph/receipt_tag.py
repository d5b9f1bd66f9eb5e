"""Compares a receipt's inputs with the current ones quickly, even secrets, whose digests are slow.

A receipt has a tag: an HMAC with the user's key, which stays on this machine. It reveals nothing to others who have the
receipt, and saves the slow comparison on the machine where the receipt was made or found fresh.
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
    """The tag of a receipt of ``step`` with these inputs on this machine; empty if there is no key."""
    key = _key(data_home() / "receipts.key", make_key)
    return hmac.new(key, canonical([step, reveal(inputs)]).encode(), hashlib.sha256).hexdigest() if key else ""


@cache
def _key(path: Path, make: bool) -> bytes | None:
    """The user's key; None if there is none and none can be written.

    Losing it costs one slow comparison per receipt, so a damaged key is simply replaced.
    """
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
