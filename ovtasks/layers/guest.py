"""Puts layers into a running guest, takes them out again, and asks what is there. Each is one script, one round trip.

The guest keeps the record of what was done (``driver.sh`` says where), so everything here may be cut off at any moment:
:func:`apply` once more goes on from there, and :func:`undo` restores from there.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ovtasks.errors import OvError, Where
from ovtasks.guest.connection import Finished
from ovtasks.guest.exchange import Take
from ovtasks.layers import script
from ovtasks.layers.events import EventReader, GuestEvent, What
from ovtasks.layers.operation import Gate, Upload
from ovtasks.layers.plan import LayerPlan

Hear = Callable[[GuestEvent], None]


class GuestShell(Protocol):
    """What we need of a :class:`ovtasks.guest.connection.Connection`."""

    def run(
        self,
        script: str | bytes,
        *,
        root: bool = False,
        on_output: Take | None = None,
        check: Callable[[], None] | None = None,
    ) -> Finished:
        """Run a script of ``sh``."""

    def upload(
        self,
        content: bytes | Path,
        path: str,
        *,
        mode: int = 0o644,
        root: bool = False,
        check: Callable[[], None] | None = None,
    ) -> None:
        """Write one file."""


class LayerFailedError(OvError):
    """An operation failed in the guest. ``phase`` is ``save``, ``do``, ``undo``, ``upload`` or ``record``; ``tail`` are
    the last lines that it said."""

    def __init__(self, event: GuestEvent, tail: Sequence[str], where: Where | None) -> None:
        self.layer = event.layer
        self.operation = event.operation
        self.phase = event.phase
        self.status = event.status
        self.tail = tuple(tail)
        phases = {"save": " (keeping what was there)", "undo": " (undoing it)", "upload": " (its files)"}
        said = "".join(f"\n    {line}" for line in tail)
        message = f"{self.layer}: {self.operation}{phases.get(self.phase, '')} failed with exit status {self.status}"
        super().__init__(
            message + said,
            hint=f"the layers before it are in; correct {self.layer}, then go on with --from {self.layer}",
            where=where,
        )


@dataclass(frozen=True)
class RecordedOperation:
    """An operation in the guest's record. ``state`` is ``done``, ``kept`` (was so already) or ``begun``."""

    name: str
    digest: str
    state: str


@dataclass(frozen=True)
class RecordedLayer:
    """A layer in the guest's record. ``receipt`` is the host's line of JSON; empty: the layer is not whole."""

    name: str
    receipt: str
    operations: tuple[RecordedOperation, ...] = ()


@dataclass(frozen=True)
class LayerRun:
    """How scripts run in a guest: as root or not; ``check`` is called about twice a second and may raise. ``base`` is
    where the record is, if not at its usual place."""

    root: bool = True
    check: Callable[[], None] | None = None
    base: str = ""


USUAL = LayerRun()
UPLOAD = "upload"


def apply(
    shell: GuestShell,
    plans: Sequence[LayerPlan],
    say: Hear,
    *,
    receipts: Mapping[str, str] | None = None,
    remove: Iterable[str] = (),
    how: LayerRun = USUAL,
) -> None:
    """Undo the layers ``remove``, then make the guest as ``plans`` say, in their order.

    Operations that are done already stay; changed ones, and those of the same layer after them, are undone and redone.
    ``receipts`` has a line of JSON for each layer, which the guest keeps when the layer is whole.

    :raises LayerFailedError: an operation failed; the layers before it are whole.
    :raises OvError: a layer needs root, and ``how`` has none. Whatever the connection raises.
    """
    for plan in plans:
        needing = next((one for one in plan.operations if one.user == "root"), None)
        if needing is not None and not how.root:
            raise OvError(
                f"{plan.name}: {needing.name} needs root, and the guest's user cannot become root",
                hint="log in as root (ssh.user), or let the user use sudo without a password",
                where=needing.where,
            )
    remove = tuple(remove)
    big = script.to_stage(plans)
    there = _there(installed(shell, how=how), plans, remove) if big else frozenset()
    places = {(plan.name, one.name): one.where for plan in plans for one in plan.operations}

    def once(left_out: frozenset[str], hear: Hear) -> None:
        token = _token()
        staged = _stage(shell, big, left_out, token, how)
        text = script.apply_script(plans, token, receipts=receipts, staged=staged, remove=remove, base=how.base)
        _run(shell, text, token, hear, how, places)

    def quiet(event: GuestEvent) -> None:
        if not (event.what is What.FAILED and event.phase == UPLOAD):
            say(event)

    try:
        once(there, quiet if there else say)
    except LayerFailedError as e:
        if e.phase != UPLOAD or not there:
            raise
        once(frozenset(), say)  # somebody has changed what was put there, so it is needed after all


def _there(recorded: Iterable[RecordedLayer], plans: Iterable[LayerPlan], remove: Sequence[str]) -> frozenset[str]:
    """Digests of the uploads of operations that the guest has done, and that nothing is going to undo."""
    had = {layer.name: layer.operations for layer in recorded if layer.name not in remove}
    done: set[str] = set()
    needed: set[str] = set()
    for plan in plans:
        same = True
        operations = had.get(plan.name, ())
        for number, (operation, digest) in enumerate(zip(plan.operations, plan.digests, strict=True)):
            old = operations[number] if number < len(operations) else None
            same = same and old is not None and old.digest == digest
            stays = same and old is not None and old.state != "begun"
            (done if stays else needed).update(upload.digest for upload in operation.uploads)
    return frozenset(done - needed)


def undo(
    shell: GuestShell, layers: Sequence[str], say: Hear, *, keep: Iterable[Gate] = (), how: LayerRun = USUAL
) -> tuple[GuestEvent, ...]:
    """Undo whole layers in this order, from what the guest keeps; nothing of the host's files is needed.

    Returns what failed; the rest is undone, and what failed stays in the record. Operations of the gates ``keep`` stay
    as they are.
    """
    failed: list[GuestEvent] = []

    def hear(event: GuestEvent) -> None:
        if event.what is What.UNDO_FAILED:
            failed.append(event)
        say(event)

    token = _token()
    status, reader = _talk(shell, script.undo_script(layers, token, keep=keep, base=how.base), token, hear, how)
    if status and not failed:
        raise _broken(status, reader)
    return tuple(failed)


def look(shell: GuestShell, layers: Sequence[str], *, how: LayerRun = USUAL) -> tuple[GuestEvent, ...]:
    """Whether each operation of these layers is as it was put: ``SO``, ``DIFFERS``, ``UNSEEN`` (nobody can tell) or
    ``BEGUN``."""
    found: list[GuestEvent] = []
    token = _token()
    _run(shell, script.look_script(layers, token, base=how.base), token, found.append, how)
    return tuple(event for event in found if event.what in {What.SO, What.DIFFERS, What.UNSEEN, What.BEGUN})


def forget(shell: GuestShell, layers: Sequence[str], *, how: LayerRun = USUAL) -> None:
    """Drop the guest's record of these layers. What they did stays, and can no longer be undone."""
    token = _token()
    _run(shell, script.forget_script(layers, token, base=how.base), token, _silent, how)


def installed(shell: GuestShell, *, how: LayerRun = USUAL) -> tuple[RecordedLayer, ...]:
    """What the guest's record says, by the names of the layers."""
    events: list[GuestEvent] = []
    token = _token()
    _run(shell, script.installed_script(token, base=how.base), token, events.append, how)
    found: list[RecordedLayer] = []
    for event in events:
        if event.what is What.RECORD:
            name, _, receipt = event.text.partition(" ")
            found.append(RecordedLayer(name, receipt))
        elif event.what is What.RECORDED:
            state, digest, name = event.text.split(" ", 2)
            last = found.pop()
            operations = (*last.operations, RecordedOperation(name, digest, state))
            found.append(RecordedLayer(last.name, last.receipt, operations))
    return tuple(found)


def _stage(
    shell: GuestShell, uploads: Mapping[str, Upload], left_out: frozenset[str], token: str, how: LayerRun
) -> dict[str, str]:
    """Bring what is too big for the script, but for what is ``left_out``; returns where it lies, by digest."""
    if not uploads:
        return {}
    said: list[GuestEvent] = []
    _run(shell, script.stage_script(token, base=how.base), token, said.append, how)
    folder = next(event.text for event in said if event.what is What.STAGING)
    staged = {}
    for number, (digest, upload) in enumerate(uploads.items()):
        staged[digest] = f"{folder}/{number}"
        if digest not in left_out:
            shell.upload(upload.content, staged[digest], mode=0o600, root=how.root, check=how.check)
    return staged


def _run(
    shell: GuestShell,
    text: bytes,
    token: str,
    say: Hear,
    how: LayerRun,
    places: Mapping[tuple[str, str], Where] | None = None,
) -> None:
    status, reader = _talk(shell, text, token, say, how)
    failure = reader.failure
    if failure is not None:
        raise LayerFailedError(failure, reader.tail, (places or {}).get((failure.layer, failure.operation)))
    if status:
        raise _broken(status, reader)


def _talk(shell: GuestShell, text: bytes, token: str, say: Hear, how: LayerRun) -> tuple[int, EventReader]:
    reader = EventReader(token, say)
    done = shell.run(text, root=how.root, on_output=lambda data, _: reader.feed(data), check=how.check)
    reader.close()
    return done.status, reader


def _broken(status: int, reader: EventReader) -> OvError:
    """The script itself ended: it was killed, or could not keep its record."""
    said = "".join(f"\n    {line}" for line in reader.tail)
    return OvError(
        f"the guest's side of the deployment ended with status {status}{said}",
        hint="run the same command again: it goes on where this ended",
    )


def _token() -> str:
    return secrets.token_hex(16)


def _silent(event: GuestEvent) -> None:
    pass
