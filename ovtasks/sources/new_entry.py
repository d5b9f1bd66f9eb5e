"""A new entry at the end of ``vms.yml``, for verbs that declare a VM. All else in the file stays as it is."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ovtasks.errors import InputError, InputErrors, OvError
from ovtasks.host.files import flock, write_atomic
from ovtasks.host.oserrors import explaining
from ovtasks.host.progress import Progress
from ovtasks.project.model import Project
from ovtasks.values.jsonvalue import Json

FILE = "vms.yml"
_HEADER = "# VMs of this project; ov validate checks them"


@contextmanager
def declaring(project: Project, progress: Progress) -> Iterator[None]:
    """One verb at a time declares a VM in a project; a wait says for whom."""
    with flock(project.state / "declare.lock", waiting=lambda who: progress.note(f"waiting for {who}")):
        yield


def entry_text(name: str, entry: Mapping[str, Json]) -> str:
    """The lines of the entry, in block style. Values may be ruamel.yaml's own, such as literal text."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 1 << 16
    yaml.indent(mapping=2, sequence=4, offset=2)
    written = io.StringIO()
    yaml.dump({name: entry}, written)
    return written.getvalue()


def check_entry(project: Project, text: str, again: str) -> None:
    """Check the entry as if it stood in a further file of the project. ``again`` is the hint of errors.

    :raises InputError: the name is no VM's, or a value is none of ours.
    """
    from ovtasks.graph import plugins
    from ovtasks.project.load import check
    from ovtasks.project.places import display

    file = project.state / "declared.yml"
    write_atomic(file, "vms:\n" + "".join(f"  {line}\n" if line else "\n" for line in text.splitlines()))
    try:
        found = check((file,), project.root, kinds=plugins.schema).errors
        errors = [one for one in found if one.where is not None and one.where.file == display(file)]
    finally:
        file.unlink()
    if errors:  # the file of its own is gone, so its places say nothing
        told = [InputError(one.message, hint=f"{again}; {one.hint}" if one.hint else again) for one in errors]
        raise told[0] if len(told) == 1 else InputErrors(told)


def write_entry(root: Path, text: str) -> None:
    """Put the entry at the end of ``vms:`` of the project in ``root``.

    :raises OvError: the file is laid out so that a new entry would change others, or it cannot be written.
    """
    from ovtasks.migrate.append import append_entry
    from ovtasks.migrate.files import read_texts

    texts = read_texts(root)
    try:
        append_entry(texts, root / FILE, "vms", text.splitlines(), _HEADER)
    except InputError:
        raise
    except OvError as e:
        hint = "write its entries on lines of their own"
        raise OvError("the file is laid out in a way that a new entry would damage", hint=hint, where=e.where) from None
    for path, content in texts.changed().items():
        with explaining(f"cannot write {path}", path.parent):
            real = Path(os.path.realpath(path))
            write_atomic(real, content, mode=real.stat().st_mode & 0o777 if real.exists() else 0o644)
