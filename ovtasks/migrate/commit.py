"""Writes all files of a migration, or none: a journal is written first, and whoever comes next finishes it.

``.ov-migrate/journal.json`` holds the files' names and digests; the texts lie beside it. From the moment it has its
name the migration counts as done, and what a kill left over is done by the next ``ov migrate``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ovtasks.errors import OvError, RefusedError, Where
from ovtasks.host.files import flock, fsync_directory, write_atomic
from ovtasks.host.oserrors import explaining
from ovtasks.project.places import MIGRATING, display

JOURNAL = "journal.json"
BACKUP = "ov-backup"


def write_all(root: Path, new: Mapping[Path, bytes], before: Mapping[Path, bytes]) -> Path:
    """Write the files; returns the folder that has the old ones.

    :raises RefusedError: one may not be written. :raises OvError: one was edited meanwhile, or writing fails.
    """
    for path in new:
        _check_writable(path)
    with explaining(f"cannot write below {display(root)}", root):
        folder = root / MIGRATING
        entries = []
        for number, (path, data) in enumerate(sorted(new.items())):
            real = Path(os.path.realpath(path))
            old = before.get(path)
            if (real.read_bytes() if real.exists() else None) != old:
                raise OvError("the file was edited meanwhile", hint="run the command again", where=Where(display(path)))
            write_atomic(folder / f"{number}.new", data, mode=0o600)
            if old is not None:
                write_atomic(folder / f"{number}.old", old, mode=0o600)
            name = str(path.relative_to(root))
            entries.append({"name": name, "real": str(real), "old": _digest(old), "new": _digest(data)})
        backup = _free(root / f"{BACKUP}-{time.strftime('%Y%m%d-%H%M%S')}")
        write_atomic(folder / JOURNAL, json.dumps({"backup": backup.name, "files": entries}), mode=0o600)
    return finish(root) or backup


def finish(root: Path) -> Path | None:
    """Finish a migration that was interrupted; returns the folder with the old files. None: there was none.

    :raises OvError: a file is neither as it was nor as it is to be.
    """
    folder = root / MIGRATING
    with explaining(f"cannot write below {display(root)}", root):
        if not (folder / JOURNAL).is_file():
            _clean(folder)
            return None
        journal = json.loads((folder / JOURNAL).read_text())
        backup = root / str(journal["backup"])
        for number, entry in enumerate(journal["files"]):
            real = Path(entry["real"])
            now = _digest(real.read_bytes() if real.exists() else None)
            if now not in {entry["old"], entry["new"]}:
                hint = f"its old text is {folder / f'{number}.old'}; put that back, or remove {folder}"
                message = "the file was edited while a migration was interrupted"
                raise OvError(message, hint=hint, where=Where(display(real)))
            if entry["old"] is not None:
                write_atomic(backup / entry["name"], (folder / f"{number}.old").read_bytes(), mode=_mode(real))
            if now != entry["new"]:
                write_atomic(real, (folder / f"{number}.new").read_bytes(), mode=_mode(real))
        fsync_directory(root)
        (folder / JOURNAL).unlink()
        _clean(folder)
        return backup


def refuse_unfinished(root: Path) -> None:
    """:raises RefusedError: a migration of this project was interrupted, so some files are old and some new."""
    if (root / MIGRATING / JOURNAL).is_file():
        raise RefusedError("a migration of this project was interrupted", hint="`ov migrate` finishes it")


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """One migration of a project at a time."""
    with explaining(f"cannot write below {display(root)}", root), flock(root / "output" / ".ov" / "migrate.lock"):
        yield


def _clean(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)


def _free(path: Path) -> Path:
    number, found = 1, path
    while os.path.lexists(found):
        number += 1
        found = path.with_name(f"{path.name}-{number}")
    return found


def _digest(data: bytes | None) -> str | None:
    return None if data is None else hashlib.sha256(data).hexdigest()


def _mode(real: Path) -> int:
    return stat.S_IMODE(real.stat().st_mode) if real.exists() else 0o644


def _check_writable(path: Path) -> None:
    """:raises RefusedError: the file may not be written."""
    real = Path(os.path.realpath(path))
    if real.exists() and not real.stat().st_mode & 0o222:
        hint = f"chmod u+w {display(path)}, then repeat; nothing was changed"
        raise RefusedError("the file is read-only", hint=hint, where=Where(display(path)))
    if not os.access(real if real.exists() else real.parent, os.W_OK) or not os.access(real.parent, os.W_OK):
        hint = f"see `ls -l {display(path)}`; nothing was changed"
        raise RefusedError("the file may not be written", hint=hint, where=Where(display(path)))
