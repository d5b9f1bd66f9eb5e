"""``ov plan``: what would run, and why, key by key."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

from ovtasks.cli.common import open_project, output_json
from ovtasks.cli.deploy_show import makes_vm, plan_json, print_plan, would_do
from ovtasks.cli.goals import add_build_options, goals, open_graph
from ovtasks.errors import EXIT_DONE, EXIT_STALE
from ovtasks.graph.chains import Chain, Graph, StepState, StepStatus
from ovtasks.host.colour import Hue, painted

if TYPE_CHECKING:
    from ovtasks.deploy.report import DeployPlan

DEPLOY = "deploy:"
_HUES = {StepState.RUN: Hue.STALE, StepState.MAYBE: Hue.STALE, StepState.FRESH: Hue.GOOD}


def arguments(parser: argparse.ArgumentParser) -> None:
    """``ov plan``."""
    parser.description = (
        "Show what would run, and why. run: the step will run; maybe: an earlier step runs, and may "
        "produce the same result; fresh: the step will not run."
    )
    parser.add_argument(
        "goals",
        nargs="*",
        metavar="GOAL",
        help="arch, build:arch, disk:arch, create:arch, deploy:arch-vm (default: every VM's build)",
    )
    add_build_options(parser)
    parser.add_argument("-i", "--instance", metavar="INSTANCE", help="with create:NAME, which of its VMs")
    parser.add_argument("--all", action="store_true", help="show fresh steps too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--exit-code", action="store_true", help="end with 4 if something would run")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the plan."""
    graph = open_graph(args, open_project(args, args.goals))
    deployments = _deployments(graph, args.goals)
    builds = [f"build:{one.wanted.deployment.vm}" for one in deployments if makes_vm(one)]
    words = [*(word for word in args.goals if not word.startswith(DEPLOY)), *builds]
    chains, steps = goals(graph, words) if words or not deployments else ([], [])
    statuses = graph.status(steps)
    users = _users(chains)
    creates = _creates(graph, args)
    if args.json:
        found: dict[str, object] = {"steps": [as_json(status, users) for status in statuses]}
        found |= {"creates": creates} if creates else {}
        found |= {"deployments": [plan_json(one) for one in deployments]} if deployments else {}
        output_json(found)
    else:
        sys.stdout.write(as_text(statuses, users, everything=args.all) if steps or not deployments else "")
        for one in creates:
            sys.stdout.write(f"{one['goal']}: {', '.join(one['changes']) or 'nothing to do'}\n")
            sys.stdout.writelines(f"  {note}\n" for note in one["notes"])
            sys.stdout.write(one["diff"])
        for plan in deployments:
            print_plan(plan, as_json=False)
    stale = any(status.state is StepState.RUN for status in statuses) or any(one["changes"] for one in creates)
    stale = stale or any(map(would_do, deployments))
    return EXIT_STALE if stale and args.exit_code else EXIT_DONE


def _deployments(graph: Graph, words: Sequence[str]) -> list[DeployPlan]:
    """The plans of the goals ``deploy:NAME``."""
    names = [word.removeprefix(DEPLOY) for word in words if word.startswith(DEPLOY)]
    if not names:
        return []
    from ovtasks.deploy.report import plan_of
    from ovtasks.deploy.wanted import find_deployment, read_wanted
    from ovtasks.project.deploy_model import InstallOptions

    project = graph.project
    return [plan_of(read_wanted(project, find_deployment(project, name), InstallOptions())) for name in names]


class Create(TypedDict):
    """The changes that ``create`` would make to an instance."""

    goal: str
    changes: list[str]
    notes: list[str]
    diff: str


def _creates(graph: Graph, args: argparse.Namespace) -> list[Create]:
    """The changes for the goals ``create:NAME`` and ``define:NAME``."""
    creates: list[Create] = []
    for word in args.goals:
        verb, _, vm = word.partition(":")
        if verb not in {"create", "define"}:
            continue
        from ovtasks.instance.pending import pending

        found = pending(graph.project.vms[vm], args.instance)
        changes = list(found.changes)
        if verb == "create" and not found.running and not changes:
            changes = ["start"]
        creates.append({"goal": word, "changes": changes, "notes": [*found.notes], "diff": found.diff})
    return creates


def _users(chains: Sequence[Chain]) -> dict[str, list[str]]:
    users: dict[str, dict[str, None]] = {}
    for chain in chains:
        for step in chain:
            users.setdefault(step.name, {})[chain.vm] = None
    return {name: list(vms) for name, vms in users.items()}


def as_json(status: StepStatus, users: dict[str, list[str]]) -> dict[str, object]:
    """One step's plan as JSON data."""
    fetched = age_seconds(status)
    return {
        "step": status.step.name,
        "title": status.step.title,
        "state": status.state.value,
        "reasons": [{"text": r.text, "key": r.key, "old": r.old, "new": r.new} for r in status.reasons],
        "targets": [str(target) for target in status.step.targets],
        "vms": users.get(status.step.name, []),
        **({"age_seconds": round(fetched)} if fetched is not None else {}),
    }


def as_text(statuses: Sequence[StepStatus], users: dict[str, list[str]], *, everything: bool = False) -> str:
    """The plan for people; base images are always shown, with their age."""
    lines: list[str] = []
    width = max((len(name_of(s, users)) for s in statuses), default=0)
    for status in statuses:
        age = age_seconds(status)
        reasons = [reason.text for reason in status.reasons]
        if status.state is StepState.FRESH:
            if age is None and not everything:
                continue
            reasons = [f"fetched {ago(age)}"] if age is not None else []
        head = (
            f"{painted(f'{status.state.value:<6}', _HUES[status.state], sys.stdout)} {name_of(status, users):<{width}}"
        )
        lines += [f"{head}  {reasons[0] if reasons else status.step.title}".rstrip()]
        lines += [f"{'':<6} {'':<{width}}  {reason}" for reason in reasons[1:]]
    counts = {state: sum(status.state is state for status in statuses) for state in StepState}
    if counts[StepState.RUN] or counts[StepState.MAYBE]:
        maybe = f", {counts[StepState.MAYBE]} maybe" if counts[StepState.MAYBE] else ""
        lines.append(f"{counts[StepState.RUN]} to run{maybe}, {counts[StepState.FRESH]} fresh")
    else:
        lines.append(f"nothing to do: {counts[StepState.FRESH]} fresh")
    return "\n".join(lines) + "\n"


def name_of(status: StepStatus, users: dict[str, list[str]]) -> str:
    """A step's name. A shared one has its users behind it: ``fetch:@3fa9… (arch, web)``."""
    name = status.step.name
    if "@" not in name:
        return name
    vms = users.get(name, [])
    return f"{name} ({', '.join(vms[:3])}{', …' if len(vms) > 3 else ''})"


def age_seconds(status: StepStatus) -> float | None:
    """How long ago the image behind a step was fetched; None for other steps."""
    fetched = status.receipt.facts.get("fetched_epoch") if status.receipt else None
    return max(0.0, time.time() - float(fetched)) if isinstance(fetched, int | float) else None


def ago(seconds: float) -> str:
    """A time span in words: ``3 days ago``."""
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"
