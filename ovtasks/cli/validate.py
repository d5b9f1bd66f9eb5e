"""``ov validate``: everything that is wrong in the project's files, at once."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ovtasks.cli.streams import output_json
from ovtasks.errors import EXIT_DONE, EXIT_INPUT, InputError, InputErrors, Where
from ovtasks.graph import plugins
from ovtasks.project.load import Checked, check, check_layer, find_root
from ovtasks.project.places import LAYER_FILE


def arguments(parser: argparse.ArgumentParser) -> None:
    """``ov validate``."""
    parser.description = "Check the project's files and print every error as file:line:column: message."
    parser.add_argument(
        "path", nargs="?", type=Path, metavar="PATH", help="a file, or a project's folder (default: this project)"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="also name the fields without effect")
    parser.add_argument("--json", action="store_true", help="print JSON on stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check, print, and return 0 when all is valid, else 2.

    :raises InputError: there is no project, or no such file.
    """
    checked = _check(args.directory, args.path)
    if not checked.errors:
        checked = replace(checked, errors=tuple(_wrong_checks(checked, args.directory, args.path)))
    if args.json:
        report: dict[str, object] = {
            "valid": not checked.errors,
            "errors": [as_json(error) for error in checked.errors],
            "vms": list(checked.names),
            "images": list(checked.image_names),
        }
        if checked.layers:
            layers = {layer.name: {"ignored": [field.name for field in layer.ignored]} for layer in checked.layers}
            report["layers"] = layers
        if args.verbose:
            report["ignored"] = [{"field": field.name, **place_of(field.where)} for field in checked.ignored]
        output_json(report)
    else:
        for error in checked.errors:
            print(error, file=sys.stderr)
        if checked.errors and (args.verbose or sys.stderr.isatty()):  # editors and scripts read places and messages
            from ovtasks.errors.catalogue import pointer

            print(pointer(checked.errors), file=sys.stderr)
        for layer in checked.layers if args.verbose else ():
            if layer.ignored:
                fields = ", ".join(field.name for field in layer.ignored)
                print(f"{layer.ignored[0].where}: only containers have this, a VM ignores it: {fields}")
        for field in checked.ignored if args.verbose else ():
            print(f"{field.where}: '{field.name}' changes nothing")
        if checked.ignored and not args.verbose:
            print(_note(checked), file=sys.stderr)
        print(_summary(checked), file=sys.stderr if checked.errors else sys.stdout)
    return EXIT_INPUT if checked.errors else EXIT_DONE


def _check(directory: Path, path: Path | None) -> Checked:
    if path is not None:
        path = (directory / path).absolute()
        if not path.exists():
            raise InputError(f"{path} does not exist", hint="name a file or a project's folder")
        if path.name == LAYER_FILE and path.is_file():
            return check_layer(path)
        if not path.is_dir():
            return check((path,), kinds=plugins.schema)
    return check((), find_root(path or directory.absolute()), kinds=plugins.schema, all_layers=True)


def _wrong_checks(checked: Checked, directory: Path, path: Path | None) -> Iterator[InputError]:
    """Checks (``eval``) of layers, VMs and deployments that the schema lets pass, and that could not be carried out."""
    parts = [one for layer in checked.layers for one in layer.checks]
    folder = directory / path if path is not None else directory
    if folder.is_dir() and _has_checks(checked):
        from ovtasks.project.load import load_project
        from ovtasks.project.vm_checks import vm_checks

        project = load_project(find_root(folder.absolute()), kinds=plugins.schema, cache=False)
        for vm in project.vms.values():
            try:
                parts += vm_checks(vm) if vm.eval or vm.deploy_eval else ()
            except InputErrors as e:
                yield from e.errors
        parts += [one for deployment in project.deployments.values() for one in deployment.checks]
    if not parts:
        return
    from ovtasks.layers.checks.model import CheckContext
    from ovtasks.layers.checks.reading import read_check
    from ovtasks.layers.facts import SystemFacts

    context = CheckContext(SystemFacts("unknown"))
    for part in parts:
        try:
            read_check(part, context)
        except InputError as e:
            yield e


def _has_checks(checked: Checked) -> bool:
    """Whether a VM or a deployment has some."""
    keys = ("eval", "deploy_eval", "checks")
    entries = (*checked.entries.values(), *checked.deployments.values())
    return any(data.get(key) for data in (entry.data() for entry in entries) for key in keys)


def _summary(checked: Checked) -> str:
    if checked.errors:
        return _count(checked.errors, "error")
    images = f", {_count(checked.image_names, 'image')}" if checked.image_names else ""
    layers = f", {_count(checked.layers, 'layer')}" if checked.layers else ""
    return f"{_count(checked.names, 'VM')}{images}{layers} valid"


def _note(checked: Checked) -> str:
    """One line about everything that changes nothing, each name once."""
    names = sorted({field.name for field in checked.ignored})
    return f"note: accepted, and without effect on a VM: {', '.join(names)} (ov validate -v says where)"


def _count(items: Sequence[object], word: str) -> str:
    return f"{len(items)} {word}{'' if len(items) == 1 else 's'}"


def as_json(error: InputError) -> dict[str, object]:
    """One error as JSON data; line and column 0 mean: not known. ``id`` is what ``ov explain`` takes."""
    from ovtasks.errors.catalogue import find

    row = find(error.message)
    return {**place_of(error.where), "message": error.message, "hint": error.hint, "id": row.id if row else None}


def place_of(where: Where | None) -> dict[str, object]:
    """A place as JSON data."""
    return {
        "file": where.file if where else None,
        "line": where.line if where else 0,
        "column": where.column if where else 0,
    }
