"""``ov doctor``: tries everything that VMs need on this host."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.cli.streams import output_json
from ovtasks.errors import EXIT_DONE, EXIT_FAILED, InputError, OvError

if TYPE_CHECKING:
    from ovtasks.host.doctor import Check, Finding, Verdict


def arguments(parser: argparse.ArgumentParser) -> None:
    """``ov doctor``."""
    parser.description = (
        "Check everything that VMs may need on this host. ok and note: nothing to do; missing and "
        "broken: the hint says what to do. Fails only if something essential is missing (marked *)."
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the checks and print them; returns 0 if VMs can run here, else 1."""
    from ovtasks.host.doctor import Check, checks, examine, healthy

    session = Check("libvirt session", _session)
    findings = examine(checks(_output(args.directory), session=session, sources=source_checks()))
    if args.json:
        output_json([asdict(finding) for finding in findings])
    else:
        sys.stdout.write(as_text(findings, quiet=args.quiet))
    return EXIT_DONE if healthy(findings) else EXIT_FAILED


def _output(directory: Path) -> Path:
    from ovtasks.project.load import find_root

    try:
        return find_root(directory.absolute()) / "output"
    except InputError:  # not in a project; a project would be made here
        return directory.absolute() / "output"


def _session(scratch: Path) -> Verdict:
    from ovtasks.backends.libvirt.check import session
    from ovtasks.host.doctor import CheckState, Verdict
    from ovtasks.host.packages import INSTALL

    try:
        return Verdict(CheckState.OK, session())
    except OvError as e:
        hint = e.hint or "backend: qemu needs no libvirt"
        absent = hint.startswith((*INSTALL.values(), "pip install"))
        return Verdict(CheckState.MISSING if absent else CheckState.BROKEN, " ".join(e.message.split()), hint)


def source_checks() -> list[Check]:
    """A check for each kind of source, plugins included: whether the programs it needs are installed."""
    from ovtasks import registry
    from ovtasks.host.doctor import Check

    return [Check(f"source {kind}", partial(_source, kind)) for kind in registry.names(registry.SOURCES)]


def _source(kind: str, scratch: Path) -> Verdict:
    from ovtasks.graph import plugins
    from ovtasks.host.doctor import CheckState, Verdict
    from ovtasks.host.programs import as_program, install_hint

    needs = [as_program(need) for need in plugins.source(kind).programs({})]
    absent = [need for need in needs if need.find() is None]
    if not absent:
        return Verdict(
            CheckState.OK, f"all programs are here: {', '.join(need.name for need in needs) or 'it needs none'}"
        )
    are = "is" if len(absent) == 1 else "are"
    detail = f"{', '.join(need.name for need in absent)} {are} not installed; only VMs of source.kind {kind} need that"
    return Verdict(CheckState.MISSING, detail, install_hint(absent))


def as_text(findings: Sequence[Finding], *, quiet: bool = False) -> str:
    """A line for each finding, with its hint below. ``quiet``: only what is missing or broken."""
    shown = [finding for finding in findings if not (quiet and finding.well)]
    width = max((len(finding.name) for finding in shown), default=0)
    lines: list[str] = []
    for finding in shown:
        mark = "*" if finding.needed else " "
        lines.append(f"{finding.state:<8}{mark}{finding.name:<{width}}  {finding.detail}")
        if finding.hint:
            lines.append(f"{'':{width + 11}}hint: {finding.hint}")
    return "".join(f"{line}\n" for line in lines)
