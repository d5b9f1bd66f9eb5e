"""``ov vm edit``: the VM's lines in an editor, then what a build and the VM's next start would change."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.cli.common import note, open_project, output_json
from ovtasks.cli.goals import open_graph
from ovtasks.errors import EXIT_DONE, InputError, InputErrors, OvError, Where

if TYPE_CHECKING:
    from ovtasks.graph.chains import Graph
    from ovtasks.values.jsonvalue import Json

_LINE = frozenset(
    (
        "vi",
        "vim",
        "nvim",
        "gvim",
        "view",
        "ex",
        "nano",
        "pico",
        "emacs",
        "emacsclient",
        "joe",
        "jed",
        "mg",
        "micro",
        "kak",
    )
)
"""Editors that take ``+N FILE``."""
_COLON = frozenset(["hx", "helix", "subl", "zed"])
"""Those that take ``FILE:N``."""
_GOTO = frozenset(["code", "codium", "code-insiders"])
"""Those that take ``--goto FILE:N``; they return at once unless told to wait."""


def edit_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm edit``."""
    parser.description = (
        "Open $VISUAL or $EDITOR at the VM's lines in its file. Afterwards, check the file and print "
        "what a build and a create would change. This builds and restarts nothing. Without an editor, "
        "print FILE:LINE."
    )
    parser.add_argument("vm", metavar="NAME", help="the VM")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_edit)


def run_edit(args: argparse.Namespace) -> int:
    """Edit, check, tell.

    :raises InputError: there is no such VM, or the file is wrong after the edit.
    :raises OvError: the editor failed.
    """
    from ovtasks.host.foreground import foreground

    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "")
    where = _place(args, broken=bool(editor))
    if not editor:
        if args.json:
            output_json({"file": where.file, "line": where.line})
        else:
            print(f"{where.file}:{where.line}")
        return EXIT_DONE
    if (code := foreground(editor_words(editor, where))) != EXIT_DONE:
        raise OvError(f"{editor[0]} ended with {code}", hint="$VISUAL or $EDITOR names the editor")
    graph = open_graph(args, open_project(args, [args.vm]))
    graph.chain(args.vm)
    _tell(args, graph, where)
    return EXIT_DONE


def editor_words(editor: list[str], where: Where) -> list[str]:
    """The command that opens the file at its line. An editor that is not known gets the file alone."""
    name = Path(editor[0]).name
    if name in _LINE:
        return [*editor, f"+{where.line}", where.file]
    if name in _GOTO:
        wait = [] if {"-w", "--wait"} & set(editor) else ["--wait"]
        return [*editor, *wait, "--goto", f"{where.file}:{where.line}"]
    return [*editor, f"{where.file}:{where.line}" if name in _COLON else where.file]


def _place(args: argparse.Namespace, *, broken: bool) -> Where:
    """Where the VM's name stands; if the VM is wrong and may be ``broken``: its first mistake.

    :raises InputError: there is no such VM.
    """
    try:
        graph = open_graph(args, open_project(args, [args.vm]))
    except InputError as e:
        errors = e.errors if isinstance(e, InputErrors) else (e,)
        first = next((one.where for one in errors if one.where is not None and one.where.line), None)
        if first is None or not broken:
            raise
        return first
    graph.chain(args.vm)
    return graph.project.vms[args.vm].where


def _tell(args: argparse.Namespace, graph: Graph, where: Where) -> None:
    """Print what would run, and what would become of each instance."""
    from ovtasks.cli.plan import as_json, as_text

    statuses = graph.status(graph.chain(args.vm).steps)
    users = {step.name: [args.vm] for step in graph.chain(args.vm)}
    instances = _instances(args, graph)
    if args.json:
        steps = [as_json(status, users) for status in statuses]
        output_json({"file": where.file, "line": where.line, "steps": steps, "instances": instances})
        return
    sys.stdout.write(f"ov vm build {args.vm}:\n{as_text(statuses, users)}")
    for one in instances:
        what = ", ".join(map(str, one["changes"])) if isinstance(one["changes"], list) else ""
        later = "; what is defined is in effect from its next start" if what and one["running"] else ""
        print(f"ov vm create {one['words']}: {what or 'nothing to do'}{later}")


def _instances(args: argparse.Namespace, graph: Graph) -> list[dict[str, Json]]:
    """What ``create`` would change of those that exist. One that cannot be asked about is a note."""
    from ovtasks.instance.find import every
    from ovtasks.instance.pending import pending

    project, found = graph.project, list[dict[str, "Json"]]()
    for record in every([]):
        if (record.vm, record.project) != (args.vm, project.root):
            continue
        try:
            now = pending(project.vms[args.vm], record.instance)
        except OvError as e:
            note(args).note(f"{record.words}: {e}")
            continue
        found.append({"words": record.words, "changes": list(now.changes), "running": now.running})
    return found
