"""One migration from beginning to end: what becomes of the files, and how the difference looks."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path

from ovtasks.errors import InputError, InputErrors, OvError, RefusedError, Where
from ovtasks.host.files import write_atomic
from ovtasks.migrate.deploy_schema import migrate_deploy
from ovtasks.migrate.files import Texts, read_texts
from ovtasks.migrate.names import migrate_names
from ovtasks.migrate.vm_spec import migrate_vm_spec
from ovtasks.project.places import display
from ovtasks.values.yamlio import parse_yaml

NAMES, VM_SPEC, DEPLOY = "names", "vm-spec", "deploy-schema-v-3"
KINDS = {
    VM_SPEC: "turn vm and libvirt of images into VMs",
    DEPLOY: "move deployments below deploy:, with a target and the flags of their VMs",
    NAMES: "give every key its current name",
}
"""The migrations, and what each does."""


def migrated(root: Path, kinds: list[str]) -> Texts:
    """The project's files after these migrations; nothing is written.

    :raises InputError: a file is not YAML, or cannot be migrated as it is.
    """
    texts = read_texts(root)
    migrate(texts, kinds)
    return texts


def migrate(texts: Texts, kinds: list[str]) -> None:
    """Change the texts by these migrations.

    :raises InputError: as :func:`migrated`.
    """
    import yaml

    if NAMES in kinds:
        _names(texts)
    try:
        if VM_SPEC in kinds:
            migrate_vm_spec(texts, bare=kinds == [VM_SPEC])
        if DEPLOY in kinds:
            migrate_deploy(texts)
    except yaml.YAMLError as e:  # an edit made a text that is no YAML; none has been written
        hint = "write what it changes with each field on a line of its own, without anchors"
        raise OvError(f"a file is laid out in a way that this migration would damage: {e}", hint=hint) from None
    for path in texts.changed():
        parse_yaml(texts.now[path].encode(), display(path))


def _names(texts: Texts) -> None:
    errors: list[InputError] = []
    for path, text in texts.now.items():
        try:
            texts.now[path] = migrate_names(path, text)
        except InputErrors as e:
            errors += e.errors
        except InputError as e:
            errors.append(e)
    if errors:
        raise InputErrors(errors)


def difference(texts: Texts, new: Mapping[Path, bytes]) -> Iterator[str]:
    """The lines of a unified diff of all changed files."""
    for path, data in sorted(new.items()):
        name = str(path.relative_to(texts.root))
        old = texts.before.get(path)
        before, after = ((one or b"").decode("utf-8-sig").splitlines(keepends=True) for one in (old, data))
        source = f"a/{name}" if old is not None else "/dev/null"
        for line in difflib.unified_diff(before, after, source, f"b/{name}"):
            yield line.rstrip("\r\n")
            if line[:1] in "+- " and not line.endswith("\n"):
                yield "\\ No newline at end of file"


def write_aside(texts: Texts, folder: Path) -> None:
    """Write all files of the project's format, changed or not, into a new folder.

    :raises RefusedError: it is there and not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        where = Where(display(folder))
        raise RefusedError("the folder is not empty", hint="name a new one: nothing is overwritten", where=where)
    everything = {**texts.before, **texts.changed()}
    for path, data in everything.items():
        write_atomic(folder / path.relative_to(texts.root), data)
