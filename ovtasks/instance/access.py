"""How to log in to an instance: the files ``known_hosts`` and ``ssh_config`` in its folder, and the target for ssh."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace

from ovtasks.errors import InputError, OvError
from ovtasks.guest.ssh_config import Host, known_hosts_line, stanza
from ovtasks.guest.target import Target, WrongHostKeyError
from ovtasks.host.files import write_changed
from ovtasks.host.oserrors import explaining
from ovtasks.host.progress import Progress
from ovtasks.instance.address import address_of
from ovtasks.instance.existing import existing
from ovtasks.instance.host_key import fingerprint, prepared, scan
from ovtasks.instance.record import HostKey, Record

CONTACT_SECONDS = 10.0


def target_of(record: Record, user: str | None = None, port: int | None = None, *, factor: float = 1.0) -> Target:
    """What ssh needs to reach the guest. ``factor`` is how much slower the guest runs than with KVM.

    :raises OvError: no address is found.
    :raises InputError: no user is known.
    """
    address, found = address_of(record)
    return Target(
        alias=record.domain,
        host=address,
        port=port or found,
        user=need_user(record, user),
        identity=record.identity,
        known_hosts=record.folder.known_hosts,
        patience=round(CONTACT_SECONDS * factor),
        title=record.words,
    )


def write_access(record: Record) -> None:
    """Write ``known_hosts`` and ``ssh_config``."""
    folder = record.folder
    if record.host_key is not HostKey.ACCEPTED or record.accepted:  # else an older ov noted the key in the file only
        keys = record.accepted or (prepared(folder),)
        lines = "".join(known_hosts_line(record.domain, key) for key in keys)
        write_changed(folder.known_hosts, lines, mode=0o600)
    write_changed(folder.ssh_config, stanza(ssh_host(record)), mode=0o600)


def ssh_host(record: Record) -> Host:
    """The VM as its ssh stanza describes it. A VM with its own address appears with the current one, if it is known."""
    try:
        address, port = address_of(record)
    except OvError:
        address, port = record.domain, 22
    identity = (record.identity,) if record.identity else ()
    return Host(
        name=record.domain,
        address=address,
        port=port,
        user=record.user,
        identities=identity,
        known_hosts=record.folder.known_hosts,
        strict=True,
    )


def first_contact(
    record: Record, progress: Progress, *, seconds: float = 10.0, accept: bool = False, port: int | None = None
) -> Record:
    """Check the guest's host key at the first connection: it must be the one that we prepared.

    The user may allow another key, in the spec (``ssh.host_key: first_use``) or now (``accept``). It is then recorded,
    reported, and required from then on. If the key was seen before, there is nothing to do. ``port`` replaces the port
    that is recorded.

    :raises WrongHostKeyError: the guest shows another key, and the user has not allowed it.
    :raises OvError: the guest shows no key within ``seconds``.
    """
    if record.ssh_port is None:
        _refresh(record)
    if record.host_key is not HostKey.EXPECTED and not accept:
        return record
    address, found = address_of(record)
    shown = scan(address, port or found, seconds)
    if not shown:
        raise OvError(f"the SSH server of {record.words} does not answer", hint=f"ov vm wait {record.words}")
    ours = prepared(record.folder)
    known = set(record.accepted) & set(shown)
    if known:
        return record
    if ours not in shown and not (accept or record.first_use):
        raise _wrong(record, shown, ours, port or found)
    state = HostKey.CONFIRMED if ours in shown else HostKey.ACCEPTED
    noting = explaining(f"cannot note the host key of {record.words}", record.folder.path)
    with noting, record.folder.lock():
        accepted = shown if state is HostKey.ACCEPTED else ()
        now = existing(record.folder, record.vm, record.instance)
        record = replace(now.record if now else record, host_key=state, accepted=accepted)
        record.save()
        write_access(record)
    if state is HostKey.ACCEPTED:
        prints = ", ".join(fingerprint(key) for key in shown)
        progress.note(f"{record.words} does not have the host key prepared for it; accepting its own: {prints}")
    return record


def _wrong(record: Record, shown: Sequence[str], ours: str, port: int) -> WrongHostKeyError:
    prints = ", ".join(fingerprint(key) for key in shown)
    return WrongHostKeyError(
        f"the guest of {record.words} shows another host key than the one prepared for it: {prints} instead of "
        f"{fingerprint(ours)}",
        hint=f"does another program listen on port {port}? If the image cannot take the key (no cloud-init, an old "
        f"systemd): ov vm ssh {record.words} --accept-new-host-key, or ssh.host_key: first_use in vms.yml",
    )


def _refresh(record: Record) -> None:
    """Write the current address for ``ssh ov-NAME``: a VM's own address is known only while the guest has it."""
    with contextlib.suppress(OSError):
        write_changed(record.folder.ssh_config, stanza(ssh_host(record)), mode=0o600)


def need_user(record: Record, given: str | None) -> str:
    """The user to log in as: ``given``, else the recorded one.

    :raises InputError: no user is known.
    """
    user = given or record.user
    if user is None:
        raise InputError(
            f"no user is set for logging in to {record.words}",
            hint="ssh.user or source.base_user in vms.yml, or -l USER",
        )
    return user
