"""Reads what ``cloud-init status`` (22.x to 25.x) prints, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class CloudInitState(StrEnum):
    """The state of cloud-init. ``DEGRADED``: finished, after recoverable errors (exit status 2 since 23.4)."""

    DONE = "done"
    DEGRADED = "degraded"
    ERROR = "error"
    DISABLED = "disabled"
    ABSENT = "absent"
    RUNNING = "running"


@dataclass(frozen=True)
class CloudInitStatus:
    """The status of cloud-init. ``errors`` are in its own words."""

    state: CloudInitState
    errors: tuple[str, ...] = ()


# One connection waits inside the guest, then asks. Before 22.x there is no --format; then the long text is read.
SCRIPT = """\
command -v cloud-init >/dev/null 2>&1 || { echo absent; exit 0; }
cloud-init status --wait >/dev/null 2>&1
out=$(cloud-init status --format=json 2>/dev/null); r=$?
[ -n "$out" ] || { out=$(cloud-init status --long 2>/dev/null); r=$?; }
printf '%s\\n' "$out"; exit $r
"""


def parse(output: str, returncode: int) -> CloudInitStatus:
    """The status, from the output and exit status of :data:`SCRIPT`."""
    text = output.strip()
    if text == "absent":
        return CloudInitStatus(CloudInitState.ABSENT)
    data = _json(text) if text.startswith("{") else _long(text)
    errors = [str(error) for error in _list(data.get("errors"))]
    recoverable = data.get("recoverable_errors")
    warnings = (
        [str(one) for some in recoverable.values() for one in _list(some)] if isinstance(recoverable, dict) else []
    )
    word = str(data.get("status", ""))
    extended = str(data.get("extended_status", ""))
    if word.startswith("disabled") or extended.startswith("disabled"):
        return CloudInitStatus(CloudInitState.DISABLED)
    if word == "error" or returncode == 1:
        return CloudInitStatus(CloudInitState.ERROR, tuple(errors or [str(data.get("detail") or "no details")]))
    if word == "done":
        degraded = returncode == 2 or "degraded" in extended or bool(warnings)
        return CloudInitStatus(CloudInitState.DEGRADED if degraded else CloudInitState.DONE, (*errors, *warnings))
    return CloudInitStatus(CloudInitState.RUNNING)


def _json(text: str) -> Mapping[str, object]:
    try:
        data = json.loads(text)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _long(text: str) -> Mapping[str, object]:
    """``key: value`` lines; a key without value begins a block."""
    data: dict[str, object] = {}
    key = ""
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and name.isidentifier():
            key = name
            data[key] = value.strip()
        elif key:
            data[key] = f"{data[key]} {line.strip()}".strip()
    return data


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
