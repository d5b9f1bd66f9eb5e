"""``ov update``: makes a disposable VM anew, with its layers."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ovtasks.cli.common import note, open_project, output_json, seconds
from ovtasks.cli.deploy_show import changes_json, check_json, check_line, said
from ovtasks.errors import EXIT_DONE

if TYPE_CHECKING:
    from ovtasks.deploy.report import DeployPlan
    from ovtasks.deploy.update import Updated
    from ovtasks.graph.chains import Graph


def arguments(parser: argparse.ArgumentParser) -> None:
    """``ov update``."""
    parser.description = (
        "Destroy and remake a VM: build what is stale, destroy the VM with its disk, create it again, "
        "apply the layers of its deployment and run their checks. The VM's own entry in deploy.yml must "
        "say disposable: true (or ephemeral); otherwise the exit code is 3. The VM keeps its name, "
        "ports and MAC address, and the options that ov vm create remembered. If anything fails before "
        "all layers are applied, the old VM is restored; after a failed build it keeps running."
    )
    parser.add_argument("name", metavar="NAME", help="a VM, or a deployment of deploy.yml")
    parser.add_argument("-i", "--instance", metavar="INSTANCE", help="another VM of NAME, with its own disk")
    image = parser.add_mutually_exclusive_group()
    image.add_argument(
        "--rebuild-image",
        action="store_true",
        help="also check whether the base image changed, as build --refresh does",
    )
    image.add_argument("--reuse-image", action="store_true", help="build nothing: use the last built disk")
    parser.add_argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="until the old VM is powered off (default 60; ten times that under emulation)",
    )
    parser.add_argument("--dry-run", action="store_true", help="show each step and why; build and change nothing")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask whether it may be done, build, then replace the VM."""
    from ovtasks.cli.build import run_goals
    from ovtasks.deploy.deploy import failed_checks
    from ovtasks.deploy.disposable import find_disposable
    from ovtasks.deploy.gates import check_gates
    from ovtasks.deploy.report import plan_of
    from ovtasks.deploy.update import update
    from ovtasks.deploy.wanted import read_wanted
    from ovtasks.graph.chains import Graph
    from ovtasks.graph.options import OptionsByVm
    from ovtasks.project.deploy_model import InstallOptions

    project = open_project(args, [args.name])
    deployment = find_disposable(project, args.name, args.instance)
    wanted = read_wanted(project, deployment, InstallOptions())
    plan = plan_of(wanted)
    check_gates(wanted, plan.plans)
    options = OptionsByVm()
    options.set(None, {"refresh": args.rebuild_image})
    graph = Graph(project, options)
    graph.chain(deployment.vm)
    if args.dry_run:
        _print_steps(args, graph, plan)
        return EXIT_DONE
    if not args.reuse_image:
        goals = [f"build:{deployment.vm}", *(["--refresh"] if args.rebuild_image else [])]
        if (code := run_goals(graph, goals, quiet=args.quiet, idle="")) != EXIT_DONE:
            return code
    done = update(graph, wanted, note(args), timeout=args.timeout)
    _print_done(args, done)
    if (error := failed_checks(done.deployed)) is not None:
        raise error
    return EXIT_DONE


@dataclass(frozen=True)
class UpdateStep:
    """One step of an update: ``does`` says what, ``reasons`` why."""

    name: str
    does: str
    reasons: tuple[str, ...] = ()


def _steps(graph: Graph, plan: DeployPlan, *, reuse: bool) -> list[UpdateStep]:
    from ovtasks.instance.status import status

    deployment, record = plan.wanted.deployment, plan.record
    steps = [_build_step(graph, deployment.vm, reuse=reuse)]
    words = deployment.words
    if record is None:
        steps.append(UpdateStep("create", f"{words}: new instance", ("it does not exist",)))
    else:
        now = status(record)
        does = f"{words}: power the guest off" if now.active else f"{words}: nothing to do"
        steps.append(UpdateStep("stop", does, (f"it is {now.state.value}",)))
        steps.append(UpdateStep("keep aside", f"{words}: its folder, until the layers are in the new VM"))
        port = f", port {record.ssh_port}" if record.ssh_port else ""
        kept = " ".join(["its name", f"MAC address {record.mac}{port}", *record.overrides.words()]).replace(
            " MAC", ", MAC"
        )
        steps.append(UpdateStep("create", f"{words}: fresh disk, seed and host key; {kept} stay"))
    steps.append(UpdateStep("wait", f"{words}: until the guest is ready"))
    steps += [UpdateStep("apply", layer.name, ("the disk is fresh",)) for layer in plan.wanted.layers]
    count = sum(len(layer.checks) for layer in plan.wanted.layers) + len(deployment.checks)
    if record is not None:
        steps.append(UpdateStep("remove", f"{words}: the old instance with its disk"))
    steps.append(UpdateStep("check", f"{count} check{'' if count == 1 else 's'}"))
    return steps


def _build_step(graph: Graph, vm: str, *, reuse: bool) -> UpdateStep:
    from ovtasks.graph.chains import StepState

    if reuse:
        return UpdateStep("build", f"{vm}: nothing", ("--reuse-image",))
    stale = [one for one in graph.status(graph.chain(vm).steps) if one.state is not StepState.FRESH]
    reasons = [f"{one.step.name}: {reason.text}" for one in stale for reason in one.reasons]
    names = ", ".join(one.step.name for one in stale)
    return UpdateStep("build", f"{vm}: {names or 'nothing'}", tuple(reasons) or ("everything is fresh",))


def _print_steps(args: argparse.Namespace, graph: Graph, plan: DeployPlan) -> None:
    deployment = plan.wanted.deployment
    steps = _steps(graph, plan, reuse=args.reuse_image)
    if args.json:
        facts = {"vm": deployment.vm, "instance": deployment.instance, "deployment": deployment.name}
        rows = [{"step": one.name, "does": one.does, "reasons": list(one.reasons)} for one in steps]
        output_json({**facts, "lifecycle": deployment.lifecycle, "dry_run": True, "steps": rows})
        return
    print(f"{deployment.words} is disposable by {deployment.name} ({deployment.disposable_where or deployment.where})")
    for one in steps:
        print(f"{one.name:<10}  {one.does}")
        for reason in one.reasons:
            print(f"{'':<10}    {reason}")


def _print_done(args: argparse.Namespace, done: Updated) -> None:
    if args.json:
        output_json(
            {
                "vm": done.record.vm,
                "instance": done.record.instance,
                "replaced": done.replaced,
                "layers": changes_json(done.deployed.changes),
                "checks": [check_json(one) for one in done.deployed.checks],
                "seconds": round(done.seconds, 1),
            }
        )
        return
    for check in done.deployed.checks:
        print(check_line(check))
    what = "made anew" if done.replaced else "made"
    note(args).note(f"{done.record.words}: {what}; {said(done.deployed.changes)} ({done.seconds:.1f} s)")
