"""With ``--snapshots`` the disk is kept after each layer, and a deployment begins anew from the last state that is
still wanted, instead of undoing what came after it. For disposable instances only: what else has been done in the guest
since then is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ovtasks.deploy.changes import Changes, LayerAction, sealed_digest
from ovtasks.deploy.receipts import LayerReceipt, LayerState, drop_receipt, receipts_of, save_receipt
from ovtasks.guest.connection import Connection
from ovtasks.host.progress import Progress
from ovtasks.instance.overlays import KeptState, go_back, keep_state, kept_states
from ovtasks.instance.power import stop
from ovtasks.instance.record import Record
from ovtasks.layers.plan import LayerPlan


def state_to_go_back_to(record: Record, plans: Sequence[LayerPlan], found: Changes) -> KeptState | None:
    """The newest state that has only what is wanted; None if nothing has to be undone, or no state would do."""
    redone = any(one.action in {LayerAction.REDO, LayerAction.UNDO} for one in found.layers)
    if not redone and not found.remove:
        return None
    wanted = {(plan.name, sealed_digest(plan, str(record.instance_id))) for plan in plans}
    fitting = [state for state in kept_states(record) if wanted.issuperset(state.content)]
    return fitting[-1] if fitting else None


def rewind(record: Record, state: KeptState, progress: Progress) -> None:
    """Switch the VM off, and make its disk what it was at ``state``. The layers after it are no longer there.

    A kill leaves these layers marked as begun, so that the next run comes here again.

    :raises OvError: the disk is full, or the VM cannot be switched off.
    """
    after = [one for one in receipts_of(record).values() if (one.layer, one.digest) not in state.content]
    for receipt in after:
        save_receipt(record, replace(receipt, state=LayerState.BEGUN))
    progress.note(f"{record.words}: goes back to its disk {state.label}")
    stop(record, progress, force=True)
    go_back(record, state)
    for receipt in after:
        drop_receipt(record, receipt.layer)


def keep_first(record: Record, connection: Connection, receipts: Mapping[str, LayerReceipt]) -> None:
    """Keep the disk as it is before anything is done, if no state is kept yet and every layer is whole.

    :raises OvError: it cannot be kept.
    """
    if kept_states(record) or any(one.state is not LayerState.WHOLE for one in receipts.values()):
        return
    _keep(record, connection, "before its layers" if not receipts else f"after {_last(receipts)}")


def keep_after(record: Record, connection: Connection, layer: str) -> None:
    """Keep the disk after a layer has become whole.

    :raises OvError: it cannot be kept.
    """
    _keep(record, connection, f"after {layer}")


def _keep(record: Record, connection: Connection, label: str) -> None:
    connection.run("sync")
    whole = [one for one in receipts_of(record).values() if one.state is LayerState.WHOLE]
    keep_state(record, label, sorted((one.layer, one.digest) for one in whole))


def _last(receipts: Mapping[str, LayerReceipt]) -> str:
    return max(receipts.values(), key=lambda one: one.applied).layer
