"""``ov init``: the first files of a project."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ovtasks.errors import EXIT_DONE, InputError

TEMPLATES = Path(__file__).with_name("templates")
OTHERS = {
    "bootc": ("box", "a bootc VM from a containerfile; needs podman and root"),
    "cluster": (
        "node1 node2 node3",
        "three VMs on a private network; the file shows how to create its bridge",
    ),
    "ci": ("ci", "a VM with a check, and a job that builds, starts and checks it; commit ovtasks.lock after ov lock"),
}
"""Templates besides official images: their VMs, and what they are."""
DEFAULT = "debian:13"
DODO = "from ovtasks import load_tasks\n\nload_tasks(globals())\n"
SCHEMAS = {"vms.yml": "vms", "image.yml": "image"}
ROOT_FILES = ("vms.yml", "vm.yml", "overthink.yml")


def arguments(parser: argparse.ArgumentParser) -> None:
    """``ov init``."""
    kinds = "; ".join(f"{name}: {text}" for name, (_, text) in OTHERS.items())
    parser.description = (
        f"Write the first files of a project: vms.yml, dodo.py, and what the template needs. TEMPLATE is a name of "
        f"ov images, or one of these: {kinds}. No file is overwritten."
    )
    parser.add_argument("template", nargs="?", default=DEFAULT, metavar="TEMPLATE", help=f"default: {DEFAULT}")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write what is not there yet, and say what comes next.

    :raises InputError: there is no such template, or a file is there that says something else.
    """
    folder: Path = args.directory.absolute()
    files, vms, what = _files(args.template, folder)
    own = folder / "dodo.py"
    files[own] = own.read_text(encoding="utf-8", errors="replace") if own.is_file() else DODO
    _check(folder, files)
    folder.mkdir(parents=True, exist_ok=True)
    new = [path for path in files if not path.exists()]
    for path in new:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(files[path])
    if not args.quiet:
        print(
            f"wrote {', '.join(_short(path, folder) for path in new)}" if new else "nothing to write", file=sys.stderr
        )
        print(f"{args.template}: {what}\nnext: ov doctor, then", file=sys.stderr)
        for vm in vms.split():
            print(f"  ov vm create {vm} && ov vm wait {vm} && ov vm ssh {vm}", file=sys.stderr)
    return EXIT_DONE


def _files(template: str, folder: Path) -> tuple[dict[Path, str], str, str]:
    """The template's files for ``folder``, ``vms.yml`` last; its VMs, and what it is.

    :raises InputError: there is no such template.
    """
    from ovtasks.project.official import near_official, official_image

    row = official_image(template)
    if row is None and template not in OTHERS:
        from ovtasks.values.words import did_you_mean

        hint = did_you_mean(template, OTHERS, most=1) or near_official(template)
        raise InputError(f"no template is named '{template}'", hint=f"{hint}; others: {', '.join(OTHERS)}")
    name = template.partition(":")[0] if row else ""
    vms, what = OTHERS.get(template, (name, row.title if row else ""))
    place = TEMPLATES / ("vm" if row else template)
    found = sorted((path for path in place.rglob("*") if path.is_file()), key=lambda path: path.name == "vms.yml")
    return {folder / path.relative_to(place): _text(path, folder, name, template) for path in found}, vms, what


def _text(path: Path, folder: Path, name: str, image: str) -> str:
    text = path.read_text(encoding="utf-8").replace("@name@", name).replace("@image@", image)
    if schema := SCHEMAS.get(path.name):
        from ovtasks.project.schema import schema_path

        where = schema_path(schema).resolve()
        shown = where.relative_to(folder.resolve()) if where.is_relative_to(folder.resolve()) else where
        text = f"# yaml-language-server: $schema={shown}\n{text}"
    return text


def _check(folder: Path, files: dict[Path, str]) -> None:
    """:raises InputError: a file is there already, and says something else."""
    for path in (*(folder / name for name in ROOT_FILES), *files):
        if not os.path.lexists(path):
            continue
        if path not in files or not path.is_file() or path.read_bytes() != files[path].encode():
            hint = "nothing was written; take an empty folder: ov -C FOLDER init"
            raise InputError(f"{_short(path, folder)} is there already", hint=hint)


def _short(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder))
