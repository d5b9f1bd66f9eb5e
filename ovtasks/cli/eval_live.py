"""``ov eval live``: the checks of a VM that runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.cli.common import add_instance, find_record, open_project, output_json
from ovtasks.errors import EXIT_DONE, EXIT_FAILED, InputError

if TYPE_CHECKING:
    from ovtasks.project.deploy_model import Deployment
    from ovtasks.project.model import Project


def arguments(parser: argparse.ArgumentParser) -> None:
    """``ov eval live``."""
    parser.description = (
        "Run the checks (eval:) of a running VM: those of its layers, of its deployment and of vms.yml. "
        "This changes and starts nothing. NAME is a VM or a deployment. Ends with 1 if a check fails."
    )
    add_instance(parser)
    parser.add_argument("--tag", action="append", default=[], metavar="WORD", help="only checks with this tag")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="also write the results as JUnit XML")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry out the checks, and print how each ended."""
    from ovtasks.cli.deploy_show import check_json, check_line
    from ovtasks.cli.reach import need_running
    from ovtasks.deploy.live import live_checks
    from ovtasks.deploy.wanted import read_wanted
    from ovtasks.layers.checks.model import CheckOutcome
    from ovtasks.project.deploy_model import InstallOptions

    project = open_project(args, [args.vm])
    deployment = _deployment(project, args.vm, args.instance)
    args.vm, args.instance = deployment.vm, deployment.instance
    record = find_record(args)
    need_running(record)
    results = live_checks(read_wanted(project, deployment, InstallOptions()), record, args.tag)
    if args.junit is not None:
        from ovtasks.cli.junit import junit_xml
        from ovtasks.probes.output import save

        save(args.junit, junit_xml(record.words, results).encode())
    failed = sum(one.outcome is CheckOutcome.FAILED for one in results)
    if args.json:
        output_json(
            {
                "vm": record.vm,
                "instance": record.instance,
                "failed": failed,
                "checks": [{**check_json(one), "seconds": one.seconds, "where": str(one.where)} for one in results],
            }
        )
    else:
        for one in results:
            print(check_line(one))
        print(f"{len(results)} checks, {failed} failed" if results else "no checks")
    return EXIT_FAILED if failed else EXIT_DONE


def _deployment(project: Project, name: str, instance: str | None) -> Deployment:
    """The deployment called so, or the one of the instance; without an entry, an empty one."""
    from ovtasks.deploy.wanted import find_deployment

    if name in project.deployments:
        if instance is not None and project.deployments[name].instance != instance:
            raise InputError(f"the deployment {name} is for one instance", hint="leave -i out, or name the VM")
        return project.deployments[name]
    return find_deployment(project, f"vm:{name}/{instance}" if instance else f"vm:{name}")
