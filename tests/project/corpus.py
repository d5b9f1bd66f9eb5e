"""How a folder of real projects fares: ``python -m tests.project.corpus FOLDER`` prints a table, a row for each file.

A file loads; or it loads after the ``ov migrate`` that the error names; or it is an error that says what to do. It is
incomplete when all that is wrong is that it names a file, a layer or a VM that is not there.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from ovtasks.cli.main import run
from ovtasks.errors import InputError
from ovtasks.project.load import check, load_project
from ovtasks.project.places import LAYER_FILE, PROJECT_FILE, ROOT_FILES

LOADS, MIGRATES, INCOMPLETE, ERROR, DEAD_END = "loads", "loads after", "incomplete", "error", "NO HINT"
OUTCOMES = (LOADS, MIGRATES, INCOMPLETE, ERROR, DEAD_END)
_COMMAND = re.compile(r"`?ov migrate(?: ([a-z0-9-]+))?")
_ABSENT = re.compile(
    r"^there is no layer|does not exist$|^no VM '.*' is declared|is in another repository|^source.from_vm"
)
_LOOSE = re.compile(r"vms?[-_.].*\.ya?ml|vms?\.ya?ml")


@dataclass(frozen=True)
class Row:
    """One file. ``detail`` is the migration, or the first error; ``count`` is the number of errors."""

    file: str
    outcome: str
    detail: str = ""
    count: int = 0

    def __str__(self) -> str:
        more = f" (and {self.count - 1} more)" if self.count > 1 else ""
        return f"{self.outcome:12} {self.file:60} {self.detail}{more}".rstrip()


def table(folder: Path) -> list[Row]:
    """A row for each file of every project below ``folder``."""
    rows: list[Row] = []
    for project in projects(folder):
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(scratch, "project")
            _copy(project, copy)
            name = str(project.relative_to(folder)) if project != folder else project.name
            rows += ((Row(f"{name}/{row.file}", row.outcome, row.detail, row.count)) for row in rows_of(copy))
    return rows


def projects(folder: Path) -> Iterator[Path]:
    """The projects below ``folder``: folders with a root file, and single files that hold VMs alone."""
    if any((folder / name).is_file() for name in ROOT_FILES):
        yield folder
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from projects(path)
        elif _LOOSE.fullmatch(path.name):
            yield path


def rows_of(root: Path) -> list[Row]:
    """A row for each file of the project in ``root``. Migrations change it."""
    before, files = _errors(root)
    migrating = sorted({found[0].strip("`") for one in before for found in [_COMMAND.search(str(one))] if found})
    after = before
    if migrating:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            run(["-C", str(root), "migrate", "--all"])
        after = _errors(root)[0]
    return [_row(file, _of(before, root / file), _of(after, root / file), migrating) for file in files]


def _row(file: str, before: list[InputError], after: list[InputError], migrating: list[str]) -> Row:
    if not before:
        return Row(file, LOADS)
    if not after:
        return Row(file, MIGRATES, ", ".join(migrating))
    if all(_ABSENT.search(error.message) for error in after):
        return Row(file, INCOMPLETE, after[0].message, len(after))
    dead = [error for error in after if not error.hint]
    first = (dead or after)[0]
    return Row(file, DEAD_END if dead else ERROR, f"{first.message}: {first.hint}", len(after))


def refusals(root: Path) -> Iterator[str]:
    """What the commands that show a VM's machine and steps say where they fail; nothing is built."""
    for name in load_project(root, cache=False, tolerant=True).vms:
        for verb in (("vm", "xml"), ("vm", "argv"), ("plan",)):
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()) as said:
                code = run(["-C", str(root), *verb, name])
            if code != 0:
                yield f"ov {' '.join((*verb, name))}: {said.getvalue()}"


def _errors(root: Path) -> tuple[list[InputError], list[str]]:
    found = check((), root, all_layers=True)
    layers = [str(path.relative_to(root)) for path in sorted(root.glob(f"layers/*/{LAYER_FILE}"))]
    read = [str(path.relative_to(root)) for path in found.files if path.is_file() and path.name != LAYER_FILE]
    return list(found.errors), [*(name for name in read if name.endswith((".yml", ".yaml"))), *layers]


def _of(errors: list[InputError], file: Path) -> list[InputError]:
    return [error for error in errors if error.where and Path(error.where.file).absolute() == file.absolute()]


def _copy(project: Path, copy: Path) -> None:
    if project.is_dir():
        shutil.copytree(project, copy, symlinks=True, copy_function=shutil.copyfile)  # a migration writes to it
    else:
        copy.mkdir()
        shutil.copyfile(project, copy / ("vms.yml" if project.name != PROJECT_FILE else PROJECT_FILE))


def main() -> None:
    """Print the table of the folder on the command line, and how many files are of each kind."""
    rows = table(Path(sys.argv[1]))
    for row in rows:
        print(row)
    counts = {outcome: sum(row.outcome == outcome for row in rows) for outcome in OUTCOMES}
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))


if __name__ == "__main__":
    main()
