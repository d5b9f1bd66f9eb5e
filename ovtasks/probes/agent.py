"""What the guest agent does in several steps: run a command, read and write files, freeze file systems."""

from __future__ import annotations

import base64
import binascii
import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from ovtasks.backends.qemu.qmp import mapping
from ovtasks.errors import OvError
from ovtasks.host.patience import waiting_for
from ovtasks.instance.record import Record
from ovtasks.probes.machine import ask_agent
from ovtasks.values.jsonvalue import Json

CHUNK = 256 << 10
"""Bytes of a file in one message. libvirt takes messages of 4 MiB at most."""
_ODD = "is it qemu-guest-agent? guest info tells its version"
SECONDS = 30.0
"""Seconds for each answer of the agent. One that does not run is told at once; a busy guest takes its time."""


@dataclass(frozen=True)
class Ended:
    """How a command in the guest ended. ``code`` is its exit status, 128 and the signal's number if that ended it, and
    255 for one that no process of this host can have (Windows).

    ``cut``: it said more than the agent keeps, which is 16 MiB of each output.
    """

    code: int
    out: bytes
    errors: bytes
    cut: bool = False


def run_in_guest(record: Record, argv: Sequence[str], *, seconds: float = 60.0, capture: bool = True) -> Ended:
    """Run a command through the agent, without a shell, and wait for its end.

    :raises OvError: no agent answers, it cannot run the command, or the command takes longer than ``seconds``.
    """
    words: dict[str, Json] = {"path": argv[0], "arg": list(argv[1:]), "capture-output": capture}
    with waiting_for(f"{argv[0]} in {record.words}"):
        pid = mapping(ask_agent(record, "guest-exec", SECONDS, words)).get("pid")
        status = _until_exited(record, pid, argv[0], seconds)
    signal = status.get("signal")
    code = 128 + signal if isinstance(signal, int) else whole(status.get("exitcode", 0))
    cut = bool(status.get("out-truncated") or status.get("err-truncated"))
    return Ended(code if 0 <= code <= 255 else 255, _bytes(status.get("out-data")), _bytes(status.get("err-data")), cut)


def _until_exited(record: Record, pid: Json, name: str, seconds: float) -> Mapping[str, Json]:
    until = time.monotonic() + seconds
    pause = 0.02
    while not (status := mapping(ask_agent(record, "guest-exec-status", SECONDS, {"pid": pid}))).get("exited"):
        if time.monotonic() > until:
            hint = f"it goes on in the guest as process {pid}; --wait gives it more time"
            raise OvError(f"{name} has not ended within {seconds:g} s", hint=hint)
        time.sleep(pause)
        pause = min(pause * 1.5, 1.0)
    return status


def read_guest_file(record: Record, path: str) -> Iterator[bytes]:
    """The content of a file in the guest, chunk by chunk."""
    with _opened(record, path, "r") as handle:
        while True:
            arguments: dict[str, Json] = {"handle": handle, "count": CHUNK}
            answer = mapping(ask_agent(record, "guest-file-read", SECONDS, arguments))
            if data := _bytes(answer.get("buf-b64")):
                yield data
            if answer.get("eof") or not data:
                return


def write_guest_file(record: Record, path: str, source: BinaryIO) -> int:
    """Write all of ``source`` into a file of the guest. Returns how many bytes these were."""
    total = 0
    with _opened(record, path, "w") as handle:
        while data := source.read(CHUNK):
            while data:
                arguments: dict[str, Json] = {"handle": handle, "buf-b64": base64.b64encode(data).decode()}
                count = mapping(ask_agent(record, "guest-file-write", SECONDS, arguments)).get("count")
                if not isinstance(count, int) or count < 1:
                    raise OvError(f"the guest wrote nothing to {path}", hint="is its disk full?")
                total += count
                data = data[count:]
        ask_agent(record, "guest-file-flush", SECONDS, {"handle": handle})
    return total


@contextlib.contextmanager
def _opened(record: Record, path: str, mode: str) -> Iterator[Json]:
    handle = ask_agent(record, "guest-file-open", SECONDS, {"path": path, "mode": mode})
    try:
        yield handle
    finally:
        ask_agent(record, "guest-file-close", SECONDS, {"handle": handle})


@contextlib.contextmanager
def frozen(record: Record) -> Iterator[int]:
    """The guest's file systems hold still inside the block, and are thawed however it ends. Yields how many."""
    ask_agent(record, "guest-ping", SECONDS)  # without an agent there is nothing to thaw, and it is known at once
    try:
        count = ask_agent(record, "guest-fsfreeze-freeze", 60.0)
        yield whole(count)
    finally:
        thaw(record)


def thaw(record: Record) -> int:
    """Thaw the guest's file systems. Returns how many were frozen."""
    return whole(ask_agent(record, "guest-fsfreeze-thaw", 60.0))


def whole(value: Json) -> int:
    """A number in an answer.

    :raises OvError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise OvError(f"the guest agent answers {str(value)[:60]!r} where a number must be", hint=_ODD)
    return value


def _bytes(value: Json) -> bytes:
    try:
        return base64.b64decode(value) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        raise OvError("the guest agent answers with something other than base64", hint=_ODD) from None
