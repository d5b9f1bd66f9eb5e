"""``ov deploy list | status | plan``, and how plans of deployments are printed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ovtasks.cli.common import note, open_project, output_json
from ovtasks.errors import EXIT_DONE, EXIT_STALE

if TYPE_CHECKING:
    from ovtasks.deploy.changes import Changes, LayerChange
    from ovtasks.deploy.deploy import Deployed
    from ovtasks.deploy.report import DeployPlan
    from ovtasks.deploy.undo import Undone
    from ovtasks.instance.record import Record
    from ovtasks.layers.checks.model import CheckResult
    from ovtasks.project.deploy_model import Deployment


def list_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov deploy list``."""
    parser.description = "List the deployments of deploy.yml and their states, from the records of this host."
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_list)


def status_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov deploy status``."""
    parser.description = (
        "Show the layers in a VM from the records of this host. With --drift, compare them with the "
        "guest, name each operation that differs, and end with 4 if there is one."
    )
    parser.add_argument("name", metavar="NAME", help="vm:VM, vm:VM/INSTANCE, or a deployment of deploy.yml")
    parser.add_argument("--drift", action="store_true", help="look into the guest")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_status)


def plan_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov deploy plan``."""
    parser.description = "Show what ov deploy add NAME would do, and why, operation by operation."
    parser.add_argument("name", metavar="NAME", help="vm:VM, vm:VM/INSTANCE, or a deployment of deploy.yml")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--exit-code", action="store_true", help="end with 4 if something would be done")
    parser.set_defaults(run=run_plan)


def run_list(args: argparse.Namespace) -> int:
    """Print a line for each deployment."""
    from ovtasks.deploy.report import row_of

    project = open_project(args)
    rows = [row_of(project, one) for one in project.deployments.values()]
    if args.json:
        output_json(
            [
                {
                    "name": row.deployment.name,
                    "vm": row.deployment.vm,
                    "instance": row.deployment.instance,
                    "layers": [layer.name for layer in row.deployment.layers],
                    "disposable": row.deployment.may_be_destroyed,
                    "lifecycle": row.deployment.lifecycle,
                    "state": row.state,
                }
                for row in rows
            ]
        )
        return EXIT_DONE
    table = [("NAME", "VM", "STATE", "LIFECYCLE", "LAYERS")]
    for row in rows:
        one = row.deployment
        tags = [*([one.lifecycle] if one.lifecycle else []), *(["disposable"] if one.may_be_destroyed else [])]
        layers = ", ".join(layer.name for layer in one.layers)
        table.append((one.name, one.words, row.state, ", ".join(tags) or "-", layers or "-"))
    if not rows:
        note(args).note("no deployments: ov deploy add vm:VM LAYER makes one")
    widths = [max(len(cells[column]) for cells in table) for column in range(len(table[0]))]
    for cells in table if rows else ():
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
    return EXIT_DONE


def run_status(args: argparse.Namespace) -> int:
    """Print the layers of one instance."""
    from ovtasks.deploy.receipts import receipts_of
    from ovtasks.deploy.report import row_of
    from ovtasks.deploy.wanted import find_leftover

    project = open_project(args, [args.name])
    deployment = find_leftover(project, args.name)
    row = row_of(project, deployment)
    receipts = receipts_of(row.record) if row.record is not None else {}
    wanted = {layer.name for layer in deployment.layers}
    drifts = _drift(args, row.record) if args.drift else None
    if args.json:
        layers = [
            {
                "layer": one.layer,
                "state": one.state.value,
                "applied": one.applied,
                "operations": [name for name, _ in one.operations],
                "skipped": list(one.skipped),
            }
            for one in receipts.values()
        ]
        found: dict[str, object] = {"name": deployment.name, "vm": deployment.vm, "instance": deployment.instance}
        found["expires"] = row.record.expires if row.record is not None else None
        found |= {"state": row.state, "layers": layers, **({} if drifts is None else {"drift": drifts})}
        output_json(found)
    else:
        expires = row.record.expires if row.record is not None else None
        print(f"{deployment.name}: {deployment.words}: {row.state}{f', expires {expires}' if expires else ''}")
        for one in receipts.values():
            asked = "" if one.layer in wanted else ", needed by another"
            count = f"{len(one.operations)} operation{'' if len(one.operations) == 1 else 's'}"
            print(f"  {one.layer}: {one.state.value}, {count}, {one.applied[:19]}{asked}")
        for layer in deployment.layers:
            if layer.name not in receipts:
                print(f"  {layer.name}: not applied")
        for drift in drifts or ():
            print(f"  {drift['layer']}: {drift['operation']}: {drift['now']}")
        if drifts == []:
            print("  all is as it was put")
    return EXIT_STALE if drifts else EXIT_DONE


def _drift(args: argparse.Namespace, record: Record | None) -> list[dict[str, str]]:
    from ovtasks.deploy.report import drift
    from ovtasks.errors import OvError
    from ovtasks.layers.events import What

    if record is None:
        raise OvError("the VM does not exist", hint=f"ov deploy add {args.name}")
    words = {What.DIFFERS: "is no longer as it was put", What.BEGUN: "was begun and not finished"}
    return [
        {"layer": event.layer, "operation": event.operation, "now": words[event.what]}
        for event in drift(record, note(args))
        if event.what in words
    ]


def run_plan(args: argparse.Namespace) -> int:
    """Print the plan of one deployment."""
    from ovtasks.deploy.report import plan_of
    from ovtasks.deploy.wanted import find_deployment, read_wanted
    from ovtasks.project.deploy_model import InstallOptions

    project = open_project(args, [args.name])
    plan = plan_of(read_wanted(project, find_deployment(project, args.name), InstallOptions()))
    print_plan(plan, as_json=args.json)
    return EXIT_STALE if args.exit_code and would_do(plan) else EXIT_DONE


def would_do(plan: DeployPlan) -> bool:
    """Whether a deployment would do anything."""
    return plan.record is None or plan.unknown or not plan.changes.nothing


def makes_vm(plan: DeployPlan) -> bool:
    """Whether a deployment would build and create the VM: it does not exist, or is no longer defined."""
    from ovtasks.deploy.missing import needs_create

    return would_do(plan) and needs_create(plan.record)


def print_plan(plan: DeployPlan, *, as_json: bool) -> None:
    """Print what a deployment would do."""
    if as_json:
        output_json(plan_json(plan))
    else:
        sys.stdout.writelines(f"{line}\n" for line in plan_lines(plan))


def plan_json(plan: DeployPlan) -> dict[str, object]:
    """A plan as JSON data."""
    deployment = plan.wanted.deployment
    return {
        "deployment": deployment.name,
        "vm": deployment.vm,
        "instance": deployment.instance,
        "creates": makes_vm(plan),
        "guessed": plan.guessed,
        "layers": changes_json(plan.changes),
    }


def deployed_json(deployment: Deployment, done: Deployed) -> dict[str, object]:
    """What a deployment did, as JSON data."""
    return {
        "deployment": deployment.name,
        "vm": deployment.vm,
        "instance": deployment.instance,
        "layers": changes_json(done.changes),
        "checks": [check_json(check) for check in done.checks],
        "seconds": round(done.seconds, 1),
    }


def changes_json(changes: Changes) -> list[dict[str, object]]:
    """What becomes of each layer, as JSON data."""
    return [
        {
            "layer": one.layer,
            "action": one.action.value,
            "reasons": list(one.reasons),
            "operations": [
                {"name": operation.name, "kind": operation.kind, "user": operation.user, "gate": operation.gate}
                for operation in (one.plan.operations if one.plan else ())
            ],
            "skipped": [{"what": left.what, "why": left.why} for left in (one.plan.skipped if one.plan else ())],
        }
        for one in changes.layers
    ]


def plan_lines(plan: DeployPlan) -> Iterator[str]:
    """The plan for people."""
    deployment = plan.wanted.deployment
    if plan.record is None:
        yield f"{deployment.words}: does not exist: it is built and created"
    elif makes_vm(plan):
        yield f"{deployment.words}: is not defined: it is created again"
    if plan.unknown or plan.guessed:
        what = "what it runs is not known" if plan.unknown else "what it runs is a guess"
        yield f"{deployment.words}: was never asked: {what}"
    if plan.anew:
        yield f"{deployment.words}: was made anew: no layer is in it"
    width = max((len(one.layer) for one in plan.changes.layers), default=0)
    for one in plan.changes.layers:
        yield from _change_lines(one, width)
    if not would_do(plan):
        count = len(plan.changes.layers)
        layers = "1 layer is" if count == 1 else f"{count or 'no'} layers are"
        yield f"{deployment.name}: nothing to do: {layers} in {deployment.words}"


def _change_lines(change: LayerChange, width: int) -> Iterator[str]:
    from ovtasks.deploy.changes import LayerAction

    first, *more = change.reasons or ("unchanged",)
    yield f"{change.action.value:<6} {change.layer:<{width}}  {first}"
    yield from (f"{'':<6} {'':<{width}}  {reason}" for reason in more)
    if change.action in {LayerAction.APPLY, LayerAction.REDO} and change.plan is not None:
        for operation in change.plan.operations:
            gate = f"  ({operation.gate.value})" if operation.gate else ""
            yield f"{'':<6} {'':<{width}}    {operation.name}{gate}"
        for left in change.plan.skipped:
            yield f"{'':<6} {'':<{width}}    left out: {left.what}: {left.why}"


def said(changes: Changes) -> str:
    """What was done, in one line."""
    from ovtasks.deploy.changes import LayerAction

    words = {LayerAction.UNDO: "undone", LayerAction.REDO: "redone", LayerAction.APPLY: "applied"}
    parts = []
    for action, word in words.items():
        names = [one.layer for one in changes.layers if one.action is action]
        parts += [f"{word} {', '.join(names)}"] if names else []
    return "; ".join(parts) or "nothing to do"


def check_line(check: CheckResult) -> str:
    """How a check ended, for people."""
    return f"{check.outcome.value:<8} {check.name}{f'  {check.told}' if check.told else ''}"


def check_json(check: CheckResult) -> dict[str, object]:
    """How a check ended, as JSON data."""
    return {"name": check.name, "verb": check.verb, "outcome": check.outcome.value, "told": check.told}


def print_undo(record: Record | None, *, instead: str | None, as_json: bool) -> None:
    """Print what ``ov deploy del`` would undo. ``instead``: what it does without an undo."""
    from ovtasks.deploy.changes import undo_order
    from ovtasks.deploy.receipts import receipts_of

    receipts = receipts_of(record) if record is not None else {}
    found = [(name, [one for one, _ in reversed(receipts[name].operations)]) for name in undo_order(receipts)]
    if as_json:
        output_json([{"layer": name, "operations": operations} for name, operations in found])
        return
    if instead is not None and record is not None:
        print(instead)
        return
    for name, operations in found:
        print(f"undo {name}")
        for operation in operations:
            print(f"       {operation}")
    if not found:
        print("nothing to undo")


def undone_json(done: Undone) -> dict[str, object]:
    """What was undone, as JSON data."""
    return {
        "undone": list(done.layers),
        "failed": [{"layer": one.layer, "operation": one.operation, "status": one.status} for one in done.failed],
        "kept": [{"layer": one.layer, "operation": one.operation} for one in done.kept],
    }
