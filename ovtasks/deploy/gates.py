"""What a deployment must allow, and what the system cannot do: refused by name before anything is done."""

from __future__ import annotations

from collections.abc import Sequence

from ovtasks.deploy.wanted import Wanted
from ovtasks.errors import RefusedError
from ovtasks.layers.operation import Gate, Operation
from ovtasks.layers.plan import LayerPlan

OPTIONS = {
    Gate.REPOSITORY: "--allow-repo-changes",
    Gate.ROOT_TASK: "--allow-root-tasks",
    Gate.SERVICE: "--with-services",
}
WORDS = {
    Gate.REPOSITORY: "changes package repositories",
    Gate.ROOT_TASK: "runs as root",
    Gate.SERVICE: "installs or changes a service",
}
SKIP = "--skip-incompatible"


def check_gates(wanted: Wanted, plans: Sequence[LayerPlan]) -> None:
    """Check that everything in ``plans`` is allowed, and can be done.

    :raises RefusedError: something is not, or snapshots are asked for where they could lose something. The message
        names each step and its place, the hint the option.
    """
    allowed = wanted.options
    if allowed.snapshots and not wanted.deployment.may_be_destroyed:
        raise RefusedError(
            f"{wanted.deployment.words} is not disposable, so its disk does not go back to earlier states",
            hint="leave out --snapshots (and install_opts.snapshots); or --disposable allows to lose what is in the VM",
            where=wanted.deployment.where,
        )
    closed = [
        (plan, one)
        for plan in plans
        for one in plan.operations
        if one.gate is not None and not getattr(allowed, one.gate.value)
    ]
    if closed:
        raise _closed(wanted, closed)
    skipped = [(plan, one) for plan in plans for one in plan.skipped]
    if skipped and not allowed.skip_incompatible:
        plan, first = skipped[0]
        others = "".join(f"\n  {one.where}: {other.name}: {one.what}: {one.why}" for other, one in skipped[1:])
        raise RefusedError(
            f"{plan.name}: {first.what} is not possible there: {first.why}{others}",
            hint=f"{SKIP} leaves it out, or skip_incompatible: true in {_place(wanted)}",
            where=first.where,
        )


def _closed(wanted: Wanted, closed: Sequence[tuple[LayerPlan, Operation]]) -> RefusedError:
    plan, first = closed[0]
    gates = list(dict.fromkeys(one.gate for _, one in closed if one.gate is not None))
    others = "".join(f"\n  {one.where}: {other.name}: {_said(one)}" for other, one in closed[1:])
    options = " ".join(OPTIONS[gate] for gate in gates)
    keys = ", ".join(f"{gate.value}: true" for gate in gates)
    return RefusedError(
        f"{plan.name}: {_said(first)}{others}",
        hint=f"{options}, or {keys} in {_place(wanted)}",
        where=first.where,
    )


def _said(operation: Operation) -> str:
    assert operation.gate is not None
    return f"'{operation.name}' {WORDS[operation.gate]}, which is not allowed"


def _place(wanted: Wanted) -> str:
    return f"install_opts of {wanted.deployment.name} ({wanted.deployment.where})"


def left_out(plans: Sequence[LayerPlan]) -> list[str]:
    """What is left out of ``plans`` because the system cannot do it, in words."""
    return [f"{plan.name}: left out: {one.what}: {one.why}" for plan in plans for one in plan.skipped]
