"""Keys that were written into the disk when it was installed. Every instance of the disk must use one of them."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from ovtasks.errors import InputError
from ovtasks.host.paths import instance_directory
from ovtasks.instance.folder import Folder
from ovtasks.instance.keys import KeyChoice, fingerprint, resolve_keys
from ovtasks.instance.record import DamagedRecordError, Overrides, domain_of, load
from ovtasks.project.model import VmSpec


def check_baked(
    vm: VmSpec, instance: str | None, baked: tuple[str, ...], build: str, overrides: Overrides, *, reset: bool = False
) -> None:
    """Check that the instance logs in with a key that is in the disk.

    ``baked`` are the fingerprints of those keys; if it is empty, any key will do. ``build`` is the digest of the built
    disk; an instance on the disk of another build passes. ``overrides`` are this command's; ``reset`` forgets those
    of earlier commands.

    :raises InputError: it would use another key, and nobody could log in.
    """
    if not baked:
        return
    folder = Folder(instance_directory(domain_of(vm.name, instance)))
    record = None
    if folder.path.is_dir():
        with contextlib.suppress(DamagedRecordError):  # create makes a new record
            record = load(folder)
    if record is not None and folder.disk.exists() and record.built not in {None, build}:
        return
    given = overrides.ssh_key or (record.overrides.ssh_key if record and not reset else None)
    choice = choose_keys(vm, folder.path, given)
    if choice.keys and {fingerprint(line) for line in choice.keys} <= {*baked}:
        return
    who = f"its instance {instance}" if instance else vm.name
    if given:
        hint = "leave --ssh-key out (--reset forgets an earlier one)"
    elif choice.generated:
        hint = "ssh.key_source: a public key's file, which all instances use"
    else:
        hint = f"ov vm build {vm.name}"
    raise InputError(
        f"the disk of {vm.name} was installed with root's key in it, and {who} uses another key: nobody could log in",
        hint=f"{hint}; or ssh.key_injection.install: disabled, and each instance gets its own",
        where=vm.where,
    )


def choose_keys(vm: VmSpec, folder: Path, given: str | None) -> KeyChoice:
    """The key to log in with: ``given`` on the command line, else the spec's ``key_source``. Writes nothing.

    :raises InputError: as :func:`ovtasks.instance.keys.resolve_keys`.
    """
    if not given:
        return resolve_keys(vm.ssh, folder, where=vm.where)
    from ovtasks.project.expand import KEY_WORDS, expand_path

    source = given if given in KEY_WORDS else str(expand_path(given, Path.cwd()))
    return resolve_keys(replace(vm.ssh, key_source=source), folder, where=None)
