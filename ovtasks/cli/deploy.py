"""``ov deploy add | del``: what a deployment puts into an instance, and takes out of it again."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from ovtasks.cli.common import agreed, note, open_project, output_json
from ovtasks.errors import EXIT_DONE, EXIT_FAILED, InputError

if TYPE_CHECKING:
    from ovtasks.deploy.wanted import Wanted
    from ovtasks.instance.record import Record
    from ovtasks.project.deploy_model import Deployment, InstallOptions
    from ovtasks.project.deploy_write import EntryChange
    from ovtasks.project.model import Project


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov deploy add``."""
    parser.description = (
        "Apply layers to a VM. First, add the named layers to the deployment's entry in deploy.yml. "
        "Then make the VM match the entry: apply new layers, undo and apply changed ones, undo removed "
        "ones. A VM that is off is started. A VM that does not exist is built and created."
    )
    _add_name(parser)
    parser.add_argument("layers", nargs="*", metavar="LAYER", help="a layer, or an image of image.yml for its layers")
    parser.add_argument("--add-layer", action="append", default=[], metavar="LAYER", help="one more; may be repeated")
    parser.add_argument("--with-services", action="store_true", help="allow layers to install and start services")
    parser.add_argument("--allow-repo-changes", action="store_true", help="allow layers to add package repositories")
    parser.add_argument("--allow-root-tasks", action="store_true", help="allow layers to run commands as root")
    parser.add_argument("--skip-incompatible", action="store_true", help="skip what the VM's system cannot do")
    parser.add_argument(
        "--snapshots",
        action="store_true",
        help="keep the disk after each layer, to go back to it (disposable VMs only)",
    )
    parser.add_argument("--builder-image", metavar="IMAGE", help="the image that builds AUR packages")
    parser.add_argument("--verify", action="store_true", help="run the checks of the layers and of the deployment")
    parser.add_argument("--disposable", action="store_true", default=None, help="permit ov update to destroy the VM")
    parser.add_argument("--lifecycle", metavar="TAG", help="set a tag such as dev or prod")
    parser.add_argument("--from", dest="start_at", metavar="LAYER", help="leave the layers before this one as they are")
    parser.add_argument("--dry-run", action="store_true", help="show what would be done; write and start nothing")
    parser.add_argument("-y", "--yes", action="store_true", help="no effect: add never asks")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_add)


def del_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov deploy del``."""
    parser.description = (
        "Remove layers from a VM: undo them in reverse order, and restore files, packages and services. "
        "Without LAYER, remove all layers and the entry in deploy.yml. A VM that is off is started for "
        "this, and stopped afterwards."
    )
    _add_name(parser)
    parser.add_argument("layers", nargs="*", metavar="LAYER", help="remove only these")
    parser.add_argument("--keep-services", action="store_true", help="leave the layers' services as they are")
    parser.add_argument("--keep-repo-changes", action="store_true", help="leave package repositories as they are")
    parser.add_argument(
        "--purge", action="store_true", help="also remove folders that layers made, with their contents"
    )
    parser.add_argument("--forget", action="store_true", help="remove only the entry and the records (for a lost VM)")
    parser.add_argument("--dry-run", action="store_true", help="show what would be undone")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_del)


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="vm:VM, vm:VM/INSTANCE, or a deployment of deploy.yml")


def run_add(args: argparse.Namespace) -> int:
    """Write the entry, then deploy it."""
    from ovtasks.cli.deploy_show import print_plan
    from ovtasks.deploy.changes import starting_at
    from ovtasks.deploy.gates import check_gates
    from ovtasks.deploy.report import plan_of
    from ovtasks.deploy.stamp import was_of
    from ovtasks.deploy.wanted import find_deployment, read_wanted, with_layers
    from ovtasks.project.deploy_write import EntryChange

    if args.lifecycle == "":
        raise InputError("--lifecycle is empty", hint="for example --lifecycle dev")
    project = open_project(args, [args.name])
    options = _options(args)
    deployment = with_layers(project, find_deployment(project, args.name), [*args.layers, *args.add_layer])
    if args.disposable:
        deployment = replace(deployment, disposable=True)
    _settle(args, deployment)
    wanted = read_wanted(project, deployment, options)
    plan = plan_of(wanted)
    if args.start_at is not None:
        starting_at(plan.changes, args.start_at)
    check_gates(wanted, plan.changes.plans)
    if args.dry_run:
        print_plan(plan, as_json=args.json)
        return EXIT_DONE
    if plan.record is not None and plan.record.is_over:
        from ovtasks.deploy.ephemeral import drop_expired

        drop_expired(deployment, note(args))
        plan = plan_of(wanted)
    names = tuple(layer.name for layer in deployment.layers)
    written = _write(args, project, deployment, EntryChange(names, args.disposable, args.lifecycle))
    if written:
        project = open_project(args, [args.name])
        wanted = read_wanted(project, find_deployment(project, deployment.name), options)
    record = plan.record
    if record is None or written or not plan.changes.nothing or not was_of(record, wanted.deployment, wanted.vm):
        found = _bring_up(args, project, wanted.deployment, record)
        if isinstance(found, int):
            return found
        record = found
    return _deploy(args, wanted, record)


def _settle(args: argparse.Namespace, deployment: Deployment) -> None:
    """Put the VM back that an update has kept aside, if it was killed. A dry run leaves that alone."""
    from ovtasks.instance.aside import settle
    from ovtasks.instance.record import domain_of

    if not args.dry_run:
        settle(domain_of(deployment.vm, deployment.instance), note(args))


def _options(args: argparse.Namespace) -> InstallOptions:
    from ovtasks.project.deploy_model import InstallOptions

    return InstallOptions(
        with_services=args.with_services,
        allow_repo_changes=args.allow_repo_changes,
        allow_root_tasks=args.allow_root_tasks,
        skip_incompatible=args.skip_incompatible,
        snapshots=args.snapshots,
        builder_image=args.builder_image,
    )


def _write(args: argparse.Namespace, project: Project, deployment: Deployment, change: EntryChange) -> bool:
    """Write the entry, if that changes anything."""
    from ovtasks.project.deploy_write import change_entry
    from ovtasks.project.places import display

    say = note(args).note
    lock = project.state / "deploy.lock"
    written = change_entry(deployment.file, deployment.name, change, lock, lambda who: say(f"waiting for {who}"))
    if written:
        say(f"{display(deployment.file)}: wrote {deployment.name}")
    return written


def _bring_up(
    args: argparse.Namespace, project: Project, deployment: Deployment, record: Record | None
) -> Record | int:
    """The instance; an exit code if its build failed."""
    from ovtasks.cli.build import run_goals
    from ovtasks.cli.goals import open_graph
    from ovtasks.deploy.instances import bring_up
    from ovtasks.deploy.missing import needs_create

    graph = open_graph(args, project)
    if needs_create(record):
        graph.chain(deployment.vm)
        if (code := run_goals(graph, [f"build:{deployment.vm}"], quiet=args.quiet, idle="")) != EXIT_DONE:
            return code
    return bring_up(graph, deployment, record, note(args))


def _deploy(args: argparse.Namespace, wanted: Wanted, record: Record) -> int:
    from ovtasks.cli.deploy_show import check_line, deployed_json, said
    from ovtasks.deploy.deploy import deploy, failed_checks

    done = deploy(wanted, record, note(args), start_at=args.start_at, verify=args.verify)
    if args.json:
        output_json(deployed_json(wanted.deployment, done))
    else:
        for check in done.checks:
            print(check_line(check))
        note(args).note(f"{record.words}: {said(done.changes)} ({done.seconds:.1f} s)")
    if (error := failed_checks(done)) is not None:
        raise error
    return EXIT_DONE


def run_del(args: argparse.Namespace) -> int:
    """Undo the layers, then remove the entry."""
    from ovtasks.cli.deploy_show import print_undo
    from ovtasks.deploy.wanted import find_leftover
    from ovtasks.instance.find import find_or_none

    if args.forget and (args.keep_services or args.keep_repo_changes or args.purge):
        raise InputError("--forget undoes nothing, so no other option says how", hint="leave out one of the two")
    project = open_project(args, [args.name])
    deployment = find_leftover(project, args.name)
    _settle(args, deployment)
    record = find_or_none(deployment.vm, deployment.instance)
    if args.layers:
        return _take_out(args, project, deployment)
    if args.dry_run:
        print_undo(record, instead=_instead(args, deployment), as_json=args.json)
        return EXIT_DONE
    if not _agreed(args, deployment):
        return EXIT_FAILED
    return _remove(args, project, deployment, record)


def _take_out(args: argparse.Namespace, project: Project, deployment: Deployment) -> int:
    """Take single layers out of the entry, and deploy what remains."""
    from ovtasks.cli.deploy_show import deployed_json, print_plan
    from ovtasks.deploy.changes import Changes
    from ovtasks.deploy.deploy import Deployed
    from ovtasks.deploy.gates import check_gates
    from ovtasks.deploy.report import plan_of
    from ovtasks.deploy.wanted import find_deployment, read_wanted, without_layers
    from ovtasks.project.deploy_model import InstallOptions
    from ovtasks.project.deploy_write import EntryChange

    for option in ("purge", "forget", "keep_services", "keep_repo_changes"):
        if getattr(args, option):
            raise InputError(f"--{option.replace('_', '-')} is for all layers", hint="leave out the names of layers")
    rest = without_layers(deployment, project, args.layers)
    wanted = read_wanted(project, rest, InstallOptions())
    plan = plan_of(wanted)
    check_gates(wanted, plan.changes.plans if plan.record is not None else ())
    if args.dry_run:
        print_plan(plan, as_json=args.json)
        return EXIT_DONE
    _write(args, project, deployment, EntryChange(tuple(layer.name for layer in rest.layers)))
    project = open_project(args, [args.name])
    wanted = read_wanted(project, find_deployment(project, deployment.name), InstallOptions())
    record = plan_of(wanted).record
    if record is None:
        note(args).note(f"{deployment.words} does not exist: nothing to undo")
        if args.json:
            output_json(deployed_json(deployment, Deployed(Changes(()))))
        return EXIT_DONE
    args.start_at, args.verify = None, False
    return _deploy(args, wanted, record)


def _agreed(args: argparse.Namespace, deployment: Deployment) -> bool:
    """Whether the user wants it."""
    what = _instead(args, deployment) or f"undo all layers of {deployment.words}"
    entry = f" and remove {deployment.name} from {deployment.file.name}"
    return args.yes or agreed(f"{what}{entry}")


def _instead(args: argparse.Namespace, deployment: Deployment) -> str | None:
    """What is done instead of undoing the layers; None if they are undone."""
    if args.forget:
        return f"forget all layers of {deployment.words}"
    return f"destroy {deployment.words} with its disk" if deployment.ephemeral is not None else None


def _remove(args: argparse.Namespace, project: Project, deployment: Deployment, record: Record | None) -> int:
    from ovtasks.cli.deploy_show import undone_json
    from ovtasks.deploy.undo import Undone, forget, undo_layers
    from ovtasks.instance.aside import destroy_alone
    from ovtasks.layers.operation import Gate
    from ovtasks.project.deploy_write import remove_entry
    from ovtasks.project.places import display

    say = note(args).note
    done = Undone(())
    if record is None:
        say(f"{deployment.words} does not exist: nothing to undo")
    elif args.forget:
        forget(record, progress=note(args))
    elif deployment.ephemeral is not None:
        destroy_alone(record, note(args), disk=True)
        say(f"{deployment.words}: ephemeral: destroyed with its disk")
    else:
        keep = [Gate.SERVICE] if args.keep_services else []
        keep += [Gate.REPOSITORY] if args.keep_repo_changes else []
        done = undo_layers(record, note(args), keep=keep, purging=args.purge)
    if args.json:
        output_json({"deployment": deployment.name, **undone_json(done)})
    if done.failed:
        count = f"{len(done.failed)} operation{'s' if len(done.failed) > 1 else ''}"
        say(f"{deployment.words}: {count} could not be undone; the entry {deployment.name} stays")
        return EXIT_FAILED
    lock = project.state / "deploy.lock"
    if remove_entry(deployment.file, deployment.name, lock, lambda who: say(f"waiting for {who}")):
        say(f"{display(deployment.file)}: removed {deployment.name}")
    if record is not None and not args.forget and deployment.ephemeral is None:
        names = ", ".join(done.layers)
        say(f"{deployment.words}: {f'undone {names}' if names else 'nothing to undo'}")
    return EXIT_DONE
