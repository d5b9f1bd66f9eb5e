"""``ov why``: one step's inputs, receipt and reason."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

from ovtasks.cli.common import open_project
from ovtasks.cli.goals import add_build_options, open_graph
from ovtasks.cli.streams import output_json
from ovtasks.errors import EXIT_DONE
from ovtasks.graph.chains import StepStatus
from ovtasks.graph.freshness import show
from ovtasks.project.locate import inherited
from ovtasks.values.hidden import redact_all
from ovtasks.values.jsonvalue import Json


def arguments(parser: argparse.ArgumentParser) -> None:
    """``ov why``."""
    parser.add_argument("step", metavar="STEP", help="for example disk:arch")
    add_build_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what is known about one step."""
    graph = open_graph(args, open_project(args, [args.step]))
    status = graph.status([graph.find(args.step)])[-1]
    vm = graph.project.vms.get(args.step.partition(":")[2].partition(":")[0])
    fields = inherited(vm) if vm is not None else {}
    if args.json:
        output_json(as_json(status, fields))
    else:
        sys.stdout.write(as_text(status, fields))
    return EXIT_DONE


def as_json(status: StepStatus, fields: Mapping[str, str]) -> dict[str, Json]:
    """The step as JSON data; leaves out the inputs of a receipt of format 1, whose secrets are not marked.

    ``fields`` are those that the VM inherits, with the places where they stand.
    """
    step, receipt = status.step, status.receipt
    return {
        "step": step.name,
        "state": status.state.value,
        "reasons": [reason.text for reason in status.reasons],
        "inputs": redact_all(step.inputs),
        "inherited": dict(fields),
        "needs": list(step.needs),
        "targets": [str(target) for target in step.targets],
        "receipt": None
        if receipt is None
        else {
            "path": str(step.receipt),
            "inputs": redact_all(receipt.inputs) if receipt.salt is not None else None,
            "needs": receipt.needs,
            "digest": receipt.digest,
            "facts": receipt.facts,
            "started": receipt.started,
            "duration": receipt.duration,
            "version": receipt.version,
        },
    }


def from_elsewhere(key: str, fields: Mapping[str, str]) -> str:
    """Which of the inherited ``fields`` an input is about, in words; empty if none is."""
    key = key.partition("[")[0]
    for field, place in fields.items():
        if field == key or field.endswith(f".{key}") or f"{key}.".startswith(f"{field}."):
            return f" (inherited from {place})"
    return ""


def as_text(status: StepStatus, fields: Mapping[str, str]) -> str:
    """The step for people."""
    step, receipt = status.step, status.receipt
    lines = [f"{step.name}: {step.title}", f"state: {status.state.value}"]
    lines += [f"  {reason.text}{from_elsewhere(reason.key, fields)}" for reason in status.reasons]
    lines += ["inputs:", *(f"  {key}: {show(value, key)}" for key, value in sorted(redact_all(step.inputs).items()))]
    if fields:
        lines += ["inherited by the VM:", *(f"  {field} from {place}" for field, place in fields.items())]
    if step.needs:
        lines += ["needs:", *(f"  {need}" for need in step.needs)]
    lines += ["targets:", *(f"  {target}" for target in step.targets)]
    if receipt is None:
        lines.append("receipt: none")
    else:
        when = datetime.fromtimestamp(receipt.started, UTC).astimezone().isoformat(" ", "seconds")
        lines += [f"receipt: {step.receipt}", f"  made {when} in {receipt.duration:.1f} s by version {receipt.version}"]
        lines += [f"  result {receipt.digest}"]
        lines += [f"  {key}: {show(value, key)}" for key, value in sorted(receipt.facts.items())]
    return "\n".join(lines) + "\n"
