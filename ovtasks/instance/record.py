"""``instance.json``: the identity of an instance, which is decided once, and what it was last made from."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ovtasks.backends.contract import Handle
from ovtasks.errors import InputError, OvError
from ovtasks.host.files import write_changed
from ovtasks.host.paths import DOMAIN_PREFIX, instance_directory
from ovtasks.host.state import StateError, load_state
from ovtasks.instance.folder import Folder
from ovtasks.instance.owner import write_owner
from ovtasks.values.instance_name import RULE, is_instance_name
from ovtasks.values.jsonvalue import plain, restore, state_text
from ovtasks.values.ports import PortForward

VERSION = 1
NAMESPACE = "6f0a3c1e-6d0c-5a55-9d2e-7f6f0c2b9a11"
"""The namespace for UUIDs of version 5 (RFC 9562). The same instance in the same place always gets the same UUID."""

LASTING = (
    "project",
    "uuid",
    "mac",
    "backend",
    "uri",
    "created",
    "sockets",
    "instance_id",
    "built",
    "overrides",
    "expires",
)
"""The fields that ``owner.json`` repeats, so that a lost record can be rebuilt."""


class DamagedRecordError(OvError):
    """``instance.json`` exists, but its content is no record."""


class HostKey(StrEnum):
    """What is known about the guest's SSH host key."""

    EXPECTED = "expected"  # ours went in by seed or credential; the guest has not shown it yet
    CONFIRMED = "confirmed"  # the guest showed ours
    ACCEPTED = "accepted"  # the user accepted another one, which is required from then on


@dataclass(frozen=True)
class Overrides:
    """The options of ``ov vm create`` that win over ``vms.yml``. They are remembered. ``ram`` is in bytes.

    ``mounts`` are lines of ``mounts:`` with absolute paths, besides the VM's own.
    """

    ram: int | None = None
    cpus: int | None = None
    ssh_key: str | None = None
    mounts: tuple[str, ...] = ()

    def over(self, old: Overrides) -> Overrides:
        """These overrides, completed by the old ones."""
        mounts = self.mounts or old.mounts
        return Overrides(self.ram or old.ram, self.cpus or old.cpus, self.ssh_key or old.ssh_key, mounts)

    @classmethod
    def of(cls, values: Mapping[str, object], mounts: Sequence[str] = ()) -> Overrides:
        """The overrides from ``ram``, ``cpus`` and ``ssh_key`` of a command line; empty values are left out.

        :raises InputError: a size or a number is wrong.
        """
        from ovtasks.values.sizes import MIN_RAM, MiB, at_least, parse_size

        ram, cpus = values.get("ram"), values.get("cpus")
        try:
            size = at_least(parse_size(str(ram), bare=MiB), MIN_RAM) if ram else None
        except InputError as e:
            raise InputError(f"--ram: {e.message}", hint=e.hint) from None
        if cpus and not (str(cpus).isdecimal() and 1 <= int(str(cpus)) <= 4096):
            raise InputError(f"--cpus: {cpus!r} is not a number of processors", hint="1 to 4096")
        key = values.get("ssh_key")
        return cls(size, int(str(cpus)) if cpus else None, str(key) if key else None, tuple(mounts))

    def words(self) -> list[str]:
        """The overrides for people: ``--ram 8G``."""
        from ovtasks.values.sizes import format_size

        said = {"--ram": format_size(self.ram) if self.ram else None, "--cpus": self.cpus, "--ssh-key": self.ssh_key}
        mounts = [f"--mount {shlex.quote(line)}" for line in self.mounts]
        return [*(f"{option} {value}" for option, value in said.items() if value), *mounts]


@dataclass(frozen=True)
class Record:
    """One instance. ``uuid``, ``mac``, ``backend``, ``uri`` and ``sockets`` never change while it exists.

    ``instance_id`` is cloud-init's: new with every new disk. ``built`` is the digest of the artifact that the disk
    was made from, None as long as there is no disk. ``forwards`` are all forwarded ports, including SSH's. ``ssh_port``
    is None if the guest is reached at its own address; ``addresses`` are then those that its network-config sets.
    ``log_start`` is where the console log of the present boot begins, in bytes. ``cid`` is the guest's vsock address,
    None if it has none. ``first_use``: the first host key that the guest shows is accepted (``ssh.host_key:
    first_use``). ``accepted`` are the keys (``type base64``) that were accepted. ``expires`` is when an ephemeral
    instance may be taken down (ISO 8601, UTC).
    """

    vm: str
    project: Path
    uuid: str
    mac: str
    backend: str
    created: str
    sockets: Path
    instance: str | None = None
    uri: str | None = None
    instance_id: str | None = None
    built: str | None = None
    overrides: Overrides = Overrides()
    forwards: tuple[PortForward, ...] = ()
    ssh_port: int | None = None
    addresses: tuple[str, ...] = ()
    user: str | None = None
    identity: Path | None = None
    host_key: HostKey = HostKey.EXPECTED
    first_use: bool = False
    accepted: tuple[str, ...] = ()
    log_start: int = 0
    cid: int | None = None
    expires: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether it is ephemeral and its time is over."""
        if self.expires is None:
            return False
        from datetime import UTC, datetime

        return datetime.fromisoformat(self.expires) <= datetime.now(UTC)

    @property
    def domain(self) -> str:
        """The name of the instance's folder and of its domain."""
        return domain_of(self.vm, self.instance)

    @property
    def folder(self) -> Folder:
        """The folder of the instance."""
        return Folder(instance_directory(self.domain))

    @property
    def handle(self) -> Handle:
        """What its backend needs to find it."""
        return Handle(self.domain, self.uuid, self.folder.path, self.sockets, self.uri)

    @property
    def words(self) -> str:
        """The instance as a command names it: ``arch`` or ``arch -i dev``."""
        return f"{self.vm} -i {self.instance}" if self.instance else self.vm

    def save(self) -> None:
        """Write ``instance.json`` and ``owner.json``, unless both have this content already."""
        data = plain(self)
        assert isinstance(data, dict)
        write_changed(self.folder.record, state_text({"version": VERSION, **data}, lines=True), mode=0o600)
        write_owner(
            self.folder.path, {"vm": self.vm, "instance": self.instance, **{key: data.get(key) for key in LASTING}}
        )


def domain_of(vm: str, instance: str | None) -> str:
    """``ov-<vm>`` or ``ov-<vm>-<instance>``.

    :raises InputError: the instance's name is not valid.
    """
    if instance is None:
        return f"{DOMAIN_PREFIX}{vm}"
    if not is_instance_name(instance):
        raise InputError(f"'{instance}' is not a valid instance name", hint=RULE)
    return f"{DOMAIN_PREFIX}{vm}-{instance}"


def new_record(vm: str, instance: str | None, project: Path, backend: str, uri: str | None, mac: str | None) -> Record:
    """The identity of an instance that does not exist yet. ``mac`` is the spec's; None: it is derived from the place.

    :raises InputError: the instance's name is not valid.
    """
    import uuid
    from datetime import UTC, datetime

    folder = Folder(instance_directory(domain_of(vm, instance)))
    place = f"{folder.path}\0{project}"
    return Record(
        vm=vm,
        instance=instance,
        project=project,
        uuid=str(uuid.uuid5(uuid.UUID(NAMESPACE), place)),
        mac=mac or stable_mac(place),
        backend=backend,
        uri=uri,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        sockets=folder.choose_sockets(),
    )


def stable_mac(text: str) -> str:
    """A locally administered unicast MAC address, always the same for the same text."""
    import hashlib

    digits = hashlib.sha256(text.encode()).digest()[:5]
    return ":".join(f"{byte:02x}" for byte in (0x52, *digits))


def load(folder: Folder) -> Record | None:
    """The record in ``folder``; None if there is none.

    :raises DamagedRecordError: the file cannot be read, or its content is no record.
    :raises OvError: it is of a later version of this program.
    """
    try:
        data = load_state(folder.record)
        if data is None:
            return None
        if (version := data.pop("version", None)) != VERSION and isinstance(version, int):
            hint = f"use a newer ov; or mv {folder.record} {folder.record}.old, then `ov vm create` makes it again"
            raise OvError(f"{folder.record} has version {version}; this ov knows {VERSION}", hint=hint)
        return restore(Record, data)
    except StateError as e:
        raise DamagedRecordError(e.message, hint=_anew(folder)) from e
    except (ValueError, TypeError) as e:
        raise DamagedRecordError(f"{folder.record} is damaged: {e}", hint=_anew(folder)) from e


def _anew(folder: Folder) -> str:
    return f"`ov vm create` makes it again from the rest of {folder.path}"
