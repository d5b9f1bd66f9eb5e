"""The state of instances. Each backend is asked about its own."""

from __future__ import annotations

from collections.abc import Iterable

from ovtasks.backends.contract import Handle, VmState, VmStatus, backend
from ovtasks.errors import OvError
from ovtasks.host.accel import EMULATED, SLOWNESS
from ovtasks.host.state import try_load_state
from ovtasks.instance.record import Record


def status(record: Record) -> VmStatus:
    """The state of the instance now; unknown if its backend cannot be asked."""
    return statuses([record])[record.domain]


def statuses(records: Iterable[Record]) -> dict[str, VmStatus]:
    """The states of instances, by domain. Each backend is asked once, and only about its own instances."""
    by_backend: dict[str, list[Handle]] = {}
    for record in records:
        by_backend.setdefault(record.backend, []).append(record.handle)
    found: dict[str, VmStatus] = {}
    for kind, handles in by_backend.items():
        try:
            found |= backend(kind).states(handles)
        except OvError as e:
            found |= {handle.domain: VmStatus(VmState.UNKNOWN, note=e.message) for handle in handles}
    return found


def known(record: Record) -> VmStatus:
    """Like :func:`status`, for verbs that must know the state.

    :raises OvError: the backend cannot be asked.
    """
    now = status(record)
    if now.state is VmState.UNKNOWN:
        raise OvError(f"the state of {record.words} cannot be asked: {now.note}", hint="ov doctor")
    return now


def slowness(record: Record) -> float:
    """How many times longer everything may take than with KVM."""
    return 1.0 if accelerator(record) == "kvm" else float(SLOWNESS)


def accelerator(record: Record) -> str | None:
    """``kvm`` or ``tcg``, as it was last defined; None: it was not, or nobody can tell."""
    machine = try_load_state(record.folder.machine)  # a damaged file counts as missing
    found = machine.get("accel", "tcg") if machine is not None else None  # a default is not written
    return found if isinstance(found, str) else None


def emulated(record: Record) -> str | None:
    """What a user is told about the speed of a guest that is emulated; None for others."""
    return f"the guest is {EMULATED}" if accelerator(record) == "tcg" else None
