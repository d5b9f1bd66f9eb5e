"""One entry of ``deploy:`` → a :class:`Deployment`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ovtasks.errors import InputError
from ovtasks.project.declared import Declared
from ovtasks.project.deploy_clones import begins_with_snapshot, clone_name
from ovtasks.project.deploy_model import HOUR, PREFIX, SUFFIX, Deployment, Ephemeral, InstallOptions
from ovtasks.project.layer_model import LayerCheck, Named
from ovtasks.project.layer_parts import checks
from ovtasks.values.durations import parse_duration
from ovtasks.values.instance_name import is_instance_name
from ovtasks.values.sizes import MIN_DISK, MIN_RAM, MiB, at_least, parse_size
from ovtasks.values.words import did_you_mean

OWNER = "deploy:"
"""Stands before a deployment's name in ``InputError.owners``."""
EPHEMERAL = "-eph-"
"""Names with this belong to ephemeral instances."""
WITHOUT_EFFECT = ("nested", "host", "user", "ssh_args", "vm_state", "description")


class Entry(Declared):
    """One entry of ``deploy:`` for a VM."""

    @property
    def owner(self) -> str:
        """``deploy:<name>``."""
        return f"{OWNER}{self.name}"


def build_deployment(entry: Entry, vms: Sequence[str]) -> Deployment:
    """The deployment that ``entry`` declares. ``vms`` are the project's VMs.

    :raises InputError: it names no VM of the project, or a value contradicts itself.
    """
    vm, instance = _target(entry, vms)
    ephemeral = _ephemeral(entry)
    if (why := reserved(entry.name, instance)) is not None:
        raise entry.error(why, key=True, hint="rename the deployment")
    if ephemeral is not None and instance is None:
        instance = _ephemeral_instance(entry, vm, ephemeral)
    return Deployment(
        name=entry.name,
        vm=vm,
        where=entry.where(key=True),
        file=entry.file,
        instance=instance,
        layers=tuple(
            Named(name, entry.where("add_layers", index)) for index, name in enumerate(entry.list("add_layers"))
        ),
        options=InstallOptions(**entry.mapping("install_opts")),
        environment=_environment(entry),
        checks=_checks(entry),
        disposable=bool(entry.get("disposable")),
        disposable_where=entry.where("disposable") if "disposable" in entry.data else None,
        lifecycle=entry.text("lifecycle"),
        ephemeral=ephemeral,
        cpus=entry.get("cpus"),
        ram=_size(entry, "ram", MIN_RAM),
        disk_size=_size(entry, "disk_size", MIN_DISK),
        ignored=tuple(_ignored(entry)),
    )


def reserved(name: str, instance: str | None) -> str | None:
    """Why a deployment may not have this name, or the instance that it names; None if it may."""
    if instance is not None and f"-{instance}".startswith(EPHEMERAL):
        return f"instances {EPHEMERAL[1:]}… belong to ephemeral deployments"
    return f"names with {EPHEMERAL} belong to ephemeral instances" if EPHEMERAL in name else None


def _target(entry: Entry, vms: Sequence[str]) -> tuple[str, str | None]:
    """The VM of a deployment, and its instance (None: the default instance)."""
    if begins_with_snapshot(entry):
        return clone_name(entry), None
    written = entry.text("vm")
    own, _, instance = entry.name.removeprefix(PREFIX).partition("/")
    where = entry.where(key=True)
    if written is not None:
        where = entry.where("vm")
    elif own not in vms and own.endswith(SUFFIX):
        own = own.removesuffix(SUFFIX)
    vm = written or own
    if vm not in vms:
        raise InputError(f"no VM '{vm}' is declared", hint=_hint(vm, vms), where=where).of(entry.owner)
    return vm, instance or None


def vm_of(entry: Entry, vms: Sequence[str]) -> str | None:
    """The VM that an entry is for, as far as that can be told."""
    try:
        return _target(entry, vms)[0]
    except InputError:
        return None


def _hint(vm: str, vms: Sequence[str]) -> str:
    if hint := did_you_mean(vm, vms, most=1, cutoff=0.5):
        return hint
    return "vm: names the VM" + (f"; declared are {', '.join(vms[:8])}" if vms else "")


def _environment(entry: Entry) -> Mapping[str, str]:
    written = entry.get("env")
    if isinstance(written, dict):
        return {name: str(value) for name, value in written.items()}
    found: dict[str, str] = {}
    for index, line in enumerate(written or ()):
        name, _, value = line.partition("=")
        if name in found:
            raise entry.error(f"{name} is set twice", "env", index, hint="keep one of the two")
        found[name] = value
    return found


def _checks(entry: Entry) -> tuple[LayerCheck, ...]:
    found, errors = checks(entry.list("eval"), entry.document, (*entry.path, "eval"))
    if errors:
        raise errors[0].of(entry.owner)
    return tuple(found)


def _ephemeral(entry: Entry) -> Ephemeral | None:
    written = entry.get("ephemeral")
    if written is None:
        return None
    if written is False:
        hint = "remove it: an instance is not ephemeral unless the entry says so"
        raise entry.error("ephemeral: false means nothing", "ephemeral", hint=hint)
    if entry.get("disposable") is False:
        hint = "an ephemeral instance is destroyed when its time is over: remove one of the two"
        raise entry.error("disposable: false contradicts ephemeral", "disposable", hint=hint)
    data = entry.mapping("ephemeral")
    return Ephemeral(
        ttl=_converted(entry, ("ephemeral", "ttl"), parse_duration) or HOUR,
        keep_on_failure=bool(data.get("keep_on_failure")),
        naming_pattern=data.get("naming_pattern"),
    )


def _ephemeral_instance(entry: Entry, vm: str, ephemeral: Ephemeral) -> str:
    """The name of the instance: what the pattern has behind the VM's name. Always the same for the same entry."""
    pattern = ephemeral.naming_pattern or f"{{vm}}{EPHEMERAL}{{id}}"
    digits = hashlib.sha256(f"{vm}\0{entry.name}".encode()).hexdigest()[:6]
    instance = pattern.replace("{vm}", vm).replace("{id}", digits).removeprefix(f"{vm}-")
    if not is_instance_name(instance):
        hint = "{vm} and {id} stand for the VM's name and 6 hexadecimal digits; else a-z, 0-9 and hyphens: {vm}-ci-{id}"
        message = f"naming_pattern '{pattern}' makes no name of an instance"
        raise entry.error(message, "ephemeral", "naming_pattern", hint=hint)
    return instance


def _size(entry: Entry, key: str, least: int) -> int | None:
    return _converted(entry, (key,), lambda value: at_least(parse_size(value, bare=MiB), least))


def _converted(entry: Entry, path: tuple[str, ...], convert: Callable[[Any], int]) -> int | None:
    """The value at ``path``, converted; None if it is not written. An error gets its place."""
    value = entry.get(*path)
    if value is None:
        return None
    try:
        return convert(value)
    except InputError as e:
        raise entry.error(f"{'.'.join(path)}: {e.message}", *path, hint=e.hint) from None


def _ignored(entry: Entry) -> Iterator[Named]:
    if "cloud_init_clean" in entry.data and not begins_with_snapshot(entry):
        yield Named("cloud_init_clean", entry.where("cloud_init_clean", key=True))
    yield from (Named(key, entry.where(key, key=True)) for key in WITHOUT_EFFECT if key in entry.data)
