"""``ov vm xml | argv | diff``: the definition that a VM has or would get."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from typing import TYPE_CHECKING

from ovtasks.cli.common import add_instance, note, output_json, project_around, read_project
from ovtasks.errors import EXIT_DONE, EXIT_STALE, InputError, OvError

if TYPE_CHECKING:
    from ovtasks.instance.preview import Preview
    from ovtasks.instance.record import Record
    from ovtasks.project.model import Project


def xml_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm xml``."""
    parser.description = (
        "Print the libvirt domain XML for NAME, from vms.yml and the current VM. This also works before "
        "create, and starts, defines and writes nothing."
    )
    add_instance(parser)
    _add_for_host(parser)
    parser.set_defaults(run=run_xml)


def argv_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm argv``."""
    parser.description = (
        "Print QEMU's command line for NAME, from vms.yml and the current VM; for a libvirt VM, the one "
        "that libvirt makes. This also works before create, and starts and writes nothing."
    )
    add_instance(parser)
    parser.add_argument("--json", action="store_true", help="print JSON: a list of words")
    _add_for_host(parser)
    parser.set_defaults(run=run_argv)


def _add_for_host(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "A note on stderr says what this host lacks."
    parser.add_argument("--for-host", action="store_true", help="fail, as create does, if this host cannot run it")


def diff_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm diff``."""
    parser.description = (
        "Show the differences between the current definition of NAME and the one that ov vm create would make."
    )
    parser.epilog = "exit codes: 0 the same, 4 it differs"
    add_instance(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_diff)


def run_xml(args: argparse.Namespace) -> int:
    """Print the domain XML."""
    try:
        found = _preview(args, "libvirt", for_host=args.for_host)
    except OvError as e:
        raise _with_other_verb(e, args, "qemu", "argv") from e
    sys.stdout.write(found.text)
    return EXIT_DONE


def run_argv(args: argparse.Namespace) -> int:
    """Print QEMU's command line, one option per line."""
    words = _argv(args)
    if args.json:
        output_json(words)
        return EXIT_DONE
    lines: list[list[str]] = [[]]
    for word in words:
        if word.startswith("-") and lines[-1]:
            lines.append([])
        lines[-1].append(shlex.quote(word))
    print(" \\\n  ".join(" ".join(line) for line in lines))
    return EXIT_DONE


def _argv(args: argparse.Namespace) -> list[str]:
    found = _preview(args, None, for_host=args.for_host)
    if found.backend == "libvirt":
        from ovtasks.backends.libvirt.native import argv

        try:
            return argv(found.text, found.record.domain, found.record.uri)
        except OvError as e:
            if args.for_host:
                raise _with_other_verb(e, args, "libvirt", "xml") from e
            note(args).note(f"libvirt cannot tell here what it would run: {e.message}")
            found = _preview(args, "qemu", for_host=False)
    try:
        words: list[str] = json.loads(found.text)
    except ValueError:
        message = f"{found.record.words} runs by {found.backend}, whose definition is not a command line"
        raise InputError(message, hint="backend: qemu, or backend: libvirt") from None
    return words


def _with_other_verb(error: OvError, args: argparse.Namespace, kind: str, verb: str) -> OvError:
    """The error, with a hint to the verb for backend ``kind``, if the VM has that backend."""
    from ovtasks.instance.find import find_or_none

    record = find_or_none(args.vm, args.instance)
    if record is not None and record.backend == kind:
        other = f"ov vm {verb} {record.words} prints what {kind} uses"
        error.hint = f"{error.hint}; {other}" if error.hint else other
    return error


def run_diff(args: argparse.Namespace) -> int:
    """Print how the definition differs from the spec."""
    from ovtasks.backends.contract import VmState, backend
    from ovtasks.instance.find import find_or_none
    from ovtasks.instance.redact import difference
    from ovtasks.instance.status import known

    found = _preview(args, None)
    record = find_or_none(args.vm, args.instance)
    old = backend(record.backend).defined(record.handle) if record is not None else None
    if old is not None:
        state = "same" if old == found.text else "differs"
    elif record is None:
        state = "not created"
    elif known(record).state is VmState.UNDEFINED:
        state = "not defined"
    else:
        state = "changed by others"
        note(args).note(f"{record.words}: another program changed its definition; ov vm create restores this one")
    text = difference(found.record.domain, old or "", found.text)
    if args.json:
        words = {"name": args.vm, "instance": args.instance, "domain": found.record.domain, "backend": found.backend}
        output_json({**words, "state": state, "same": not text, "diff": text})
    else:
        sys.stdout.write(text)
    return EXIT_STALE if text else EXIT_DONE


def _preview(args: argparse.Namespace, kind: str | None, *, for_host: bool = True) -> Preview:
    """The definition of an instance from its own project, or of a VM from the current project.

    :raises InputError: there is neither.
    """
    from ovtasks.instance.find import find, find_or_none
    from ovtasks.instance.preview import preview, saved_preview
    from ovtasks.project.load import unknown_vm

    record = find_or_none(args.vm, args.instance)
    project = _project(args, record)
    if project is not None and args.vm in project.vms:
        found = preview(project.vms[args.vm], args.instance, project.root, kind=kind, for_host=for_host)
    elif record is None and project is not None:
        raise unknown_vm(args.vm, project)
    else:
        found = saved_preview(record or find(args.vm, args.instance), kind=kind, for_host=for_host)
    for text in found.notes:
        note(args).note(text)
    return found


def _project(args: argparse.Namespace, record: Record | None) -> Project | None:
    """The instance's own project if it still exists, else the current one, else None.

    :raises InputError: its files are wrong.
    """
    from ovtasks.project.load import find_root

    if record is not None and record.project.is_dir():
        try:
            root = find_root(record.project)
        except InputError:
            return None
        return read_project(args, root, [args.vm])
    return project_around(args, [args.vm])
