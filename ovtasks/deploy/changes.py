"""Which layers of an instance have to be undone and done, and why: plans compared with receipts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from ovtasks.deploy.receipts import LayerReceipt, LayerState
from ovtasks.errors import InputError
from ovtasks.layers.plan import LayerPlan
from ovtasks.values.hidden import slow_digest

SHORT = 16
"""Hexadecimal digits of an operation's digest that a receipt keeps."""


class LayerAction(StrEnum):
    """What becomes of a layer."""

    KEEP = "keep"
    APPLY = "apply"
    REDO = "redo"
    UNDO = "undo"


@dataclass(frozen=True)
class LayerChange:
    """What becomes of one layer, and why. ``plan`` is None for one that is undone."""

    layer: str
    action: LayerAction
    reasons: tuple[str, ...] = ()
    plan: LayerPlan | None = None


@dataclass(frozen=True)
class Changes:
    """What becomes of all layers: those to be undone for good first, then the others in the order of their needs.

    ``remove`` are the layers to undo before anything is done, in this order.
    """

    layers: tuple[LayerChange, ...]
    remove: tuple[str, ...] = ()

    @property
    def plans(self) -> tuple[LayerPlan, ...]:
        """The plans to apply, in this order."""
        active = (one.plan for one in self.layers if one.action in {LayerAction.APPLY, LayerAction.REDO})
        return tuple(plan for plan in active if plan is not None)

    @property
    def nothing(self) -> bool:
        """Whether nothing has to be done."""
        return not self.remove and not self.plans


def changes(plans: Sequence[LayerPlan], receipts: Mapping[str, LayerReceipt], salt: str) -> Changes:
    """Compare. ``salt`` is the instance-id, with which secrets are sealed.

    An edited layer is undone and redone together with those that require it, at any distance; so is one whose needed
    layer goes away. The order of layers that do not need each other counts for nothing.
    """
    wanted = {plan.name: plan for plan in plans}
    reasons: dict[str, list[str]] = {}
    for plan in plans:
        receipt = receipts.get(plan.name)
        found = _own_reasons(plan, receipt, salt)
        below = [name for name in plan.requires if name in reasons]
        gone = [name for name in receipt.requires if name not in wanted and name in receipts] if receipt else []
        found += [f"it needs {name}, which is {'redone' if name in receipts else 'applied'}" for name in below]
        found += [f"it needed {name}, which is undone" for name in gone]
        if found:
            reasons[plan.name] = found
    leaving = [name for name in receipts if name not in wanted]
    redone = {name for name in reasons if name in receipts}
    layers = [LayerChange(name, LayerAction.UNDO, ("it is no longer wanted",)) for name in leaving]
    for plan in plans:
        action = LayerAction.KEEP
        if plan.name in reasons:
            action = LayerAction.REDO if plan.name in redone else LayerAction.APPLY
        layers.append(LayerChange(plan.name, action, tuple(reasons.get(plan.name, ())), plan))
    return Changes(tuple(layers), _to_undo(receipts, leaving, redone))


def _own_reasons(plan: LayerPlan, receipt: LayerReceipt | None, salt: str) -> list[str]:
    if receipt is None:
        return ["it is not applied yet"]
    if receipt.state is not LayerState.WHOLE:
        return ["it was begun and not finished"]
    if receipt.digest == sealed_digest(plan, salt):
        return []
    old, new = dict(receipt.operations), dict(sealed_operations(plan, salt))
    found = [f"{name}: {'changed' if name in old else 'new'}" for name in new if old.get(name) != new[name]]
    found += [f"{name}: taken out" for name in old if name not in new]
    return found or ["its operations come in another order"]


def _to_undo(receipts: Mapping[str, LayerReceipt], leaving: Sequence[str], redone: set[str]) -> tuple[str, ...]:
    """Layers to undo first: those that leave, and those that need something that is undone or redone.

    The guest itself undoes a redone layer from its first changed operation on, so it is not among them, unless
    something that it needs goes before it.
    """
    touched = {*leaving, *redone}
    dependent = {name for name in redone if any(need in touched for need in receipts[name].requires)}
    gone = {*leaving, *dependent}
    return tuple(name for name in undo_order(receipts) if name in gone)


def undo_order(receipts: Mapping[str, LayerReceipt]) -> tuple[str, ...]:
    """All layers, each before those that it needs."""
    found: dict[str, None] = {}

    def visit(name: str, above: frozenset[str]) -> None:
        if name in receipts and name not in found and name not in above:
            for need in receipts[name].requires:
                visit(need, above | {name})
            found[name] = None

    for name in sorted(receipts, key=lambda one: (receipts[one].applied, one)):
        visit(name, frozenset())
    return tuple(reversed(found))


def starting_at(found: Changes, layer: str) -> Changes:
    """The changes without those of the layers before ``layer``, which stay as they are.

    :raises InputError: there is no such layer.
    """
    order = [one.layer for one in found.layers if one.plan is not None]
    if layer not in order:
        hint = f"they are {', '.join(order)}" if order else "the deployment has none"
        raise InputError(f"--from {layer}: there is no such layer", hint=hint)
    before = {*order[: order.index(layer)]}
    kept = ("left as it is, as it stands before --from",)
    layers = [
        replace(one, action=LayerAction.KEEP, reasons=kept)
        if one.layer in before and one.action is not LayerAction.KEEP
        else one
        for one in found.layers
    ]
    return Changes(tuple(layers), tuple(name for name in found.remove if name not in before))


def receipt_for(plan: LayerPlan, plans: Iterable[LayerPlan], instance_id: str) -> LayerReceipt:
    """The receipt of ``plan`` when it is whole; ``plans`` are those of all layers of the deployment."""
    from datetime import UTC, datetime

    digests = {one.name: sealed_digest(one, instance_id) for one in plans}
    return LayerReceipt(
        layer=plan.name,
        instance_id=instance_id,
        state=LayerState.WHOLE,
        digest=digests[plan.name],
        requires={name: digests[name] for name in plan.requires if name in digests},
        operations=sealed_operations(plan, instance_id),
        skipped=tuple(one.what for one in plan.skipped),
        applied=datetime.now(UTC).isoformat(timespec="microseconds"),
    )


def sealed_digest(plan: LayerPlan, salt: str) -> str:
    """The plan's digest; a slow one if an operation holds a secret."""
    return slow_digest(plan.digest, salt) if any(one.secret for one in plan.operations) else plan.digest


def sealed_operations(plan: LayerPlan, salt: str) -> tuple[tuple[str, str], ...]:
    """Each operation's name and digest, as far as it may be kept."""
    return tuple(
        (one.name, slow_digest(digest, salt) if one.secret else digest[:SHORT])
        for one, digest in zip(plan.operations, plan.digests, strict=True)
    )
