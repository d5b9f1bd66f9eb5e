"""Learns from the guest's own record which layers are in it: of another host, or when this one lost its receipts."""

from __future__ import annotations

from dataclasses import replace

from ovtasks.deploy.changes import SHORT
from ovtasks.deploy.receipts import LayerReceipt, LayerState, receipts_of, restored, save_facts, save_receipt
from ovtasks.guest.connection import Connection
from ovtasks.instance.record import Record
from ovtasks.layers.facts import SystemFacts
from ovtasks.layers.guest import GuestShell, LayerRun, installed
from ovtasks.layers.probe import probe


def first_look(record: Record, connection: Connection) -> SystemFacts:
    """Ask a guest that this host does not know yet, also for layers that another host has put there.

    :raises OvError: the guest cannot be asked, or the answer cannot be written.
    """
    facts = probe(connection)
    learn(record, connection, facts)
    save_facts(record, facts)
    return facts


def learn(record: Record, shell: GuestShell, facts: SystemFacts) -> None:
    """Write receipts of the layers that the guest has and this host has no receipt of.

    It is safe to repeat after a kill. A layer that is not whole there is noted as begun. Secrets of a layer cannot be
    compared if another instance-id sealed them, so it is done again.

    :raises OvError: the guest cannot be asked, or a receipt cannot be written.
    """
    known = receipts_of(record)
    for layer in installed(shell, how=LayerRun(root=facts.root)):
        if layer.name in known:
            continue
        receipt = restored(layer.receipt) if layer.receipt else None
        if receipt is None:
            operations = tuple((one.name, one.digest[:SHORT]) for one in layer.operations)
            receipt = LayerReceipt(layer.name, str(record.instance_id), LayerState.BEGUN, operations=operations)
        save_receipt(record, replace(receipt, layer=layer.name, instance_id=str(record.instance_id)))
