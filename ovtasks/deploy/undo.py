"""``ov deploy del``: takes layers out of an instance again, in reverse order, each operation with its result."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ovtasks.deploy.changes import undo_order
from ovtasks.deploy.inputs import FILE as SECRETS
from ovtasks.deploy.learn import first_look
from ovtasks.deploy.purge import made_folders, purge
from ovtasks.deploy.reach import reach
from ovtasks.deploy.receipts import FACTS, FOLDER, drop_older, drop_receipt, facts_of, receipts_of
from ovtasks.deploy.stamp import drop_stamp
from ovtasks.deploy.telling import telling
from ovtasks.guest.connection import Connection
from ovtasks.host.oserrors import explaining
from ovtasks.host.progress import Progress
from ovtasks.instance.aside import deploying
from ovtasks.instance.power import reread, stop
from ovtasks.instance.record import Record
from ovtasks.instance.status import known
from ovtasks.layers.events import GuestEvent, What
from ovtasks.layers.facts import SystemFacts
from ovtasks.layers.guest import LayerRun, undo
from ovtasks.layers.operation import Gate


@dataclass(frozen=True)
class Undone:
    """``layers`` were undone in this order; ``failed`` are the operations that could not be, ``kept`` those that were
    left as they are or cannot be undone."""

    layers: tuple[str, ...]
    failed: tuple[GuestEvent, ...] = ()
    kept: tuple[GuestEvent, ...] = ()


def undo_layers(record: Record, progress: Progress, *, keep: Collection[Gate] = (), purging: bool = False) -> Undone:
    """Undo all layers of an instance. A stopped VM is started for that, and stopped again afterwards.

    ``keep``: operations of these gates stay. ``purging``: folders that layers made go with all that is in them, and
    what this host and the guest know about layers goes, too.

    :raises InputError: it is not defined. :raises OvError: the guest cannot be reached.
    """
    with deploying(record.domain, progress):
        record = reread(record)
        drop_older(record)
        facts = facts_of(record)
        if facts is not None and not receipts_of(record) and not purging:
            return Undone(())
        was_off = not known(record).active
        if was_off:
            progress.note(f"{record.words}: is off; starting it for this, and stopping it afterwards")
        try:
            with reach(record, progress, known_guest=facts is not None) as connection:
                facts = facts or first_look(record, connection)
                made = made_folders(connection, root=facts.root) if purging else ()
                done = _undo(record, connection, facts, progress, keep)
                if purging and not done.failed:
                    purge(connection, made, root=facts.root)
        finally:
            if was_off and known(record).active:
                stop(record, progress)
                progress.note(f"{record.words}: stopped")
        if purging and not done.failed:
            forget(record, locked=True)
        return done


def _undo(
    record: Record, connection: Connection, facts: SystemFacts, progress: Progress, keep: Collection[Gate]
) -> Undone:
    order = undo_order(receipts_of(record))
    if not order:
        return Undone(())
    drop_stamp(record)
    kept: list[GuestEvent] = []
    with telling(record, progress) as teller:
        teller.each = True
        teller.on_removed = lambda layer: drop_receipt(record, layer)

        def hear(event: GuestEvent) -> None:
            if event.what in {What.LEFT, What.CANNOT}:
                kept.append(event)
            teller.hear(event)

        failed = undo(connection, order, hear, keep=keep, how=LayerRun(root=facts.root))
    left = receipts_of(record)
    return Undone(tuple(name for name in order if name not in left), failed, tuple(kept))


def forget(record: Record, *, locked: bool = False, progress: Progress | None = None) -> None:
    """Remove what this host knows about the layers of an instance. The guest stays as it is.

    ``locked``: the caller holds the lock of deployments.

    :raises OvError: a file cannot be removed.
    """
    if not locked:
        assert progress is not None
        with deploying(record.domain, progress):
            forget(record, locked=True)
        return
    folder = record.folder.path
    drop_stamp(record)
    with explaining(f"cannot forget the layers of {record.words}", folder):
        for path in (*(folder / FOLDER).glob("*"), folder / FACTS, folder / SECRETS):
            path.unlink(missing_ok=True)
        if (folder / FOLDER).is_dir():
            (folder / FOLDER).rmdir()
