"""How to log in to an instance: ``known_hosts`` and ``ssh_config`` in its folder, and the target that ssh gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ovtasks.errors import InputError, OvError
from ovtasks.host.files import write_atomic
from ovtasks.host.progress import Progress
from ovtasks.instance.backend import Status, backend
from ovtasks.instance.hostkey import fingerprint, judge, scan
from ovtasks.instance.record import HostKey, Record, load
from ovtasks.render.ssh_config import Host, known_hosts_line, stanza

LOOPBACK = "127.0.0.1"


def address_of(record: Record) -> tuple[str, int]:
    """Where the guest's sshd is reached from here.

    :raises OvError: a VM with an address of its own has none that can be found.
    """
    if record.ssh_port is not None:
        return LOOPBACK, record.ssh_port
    found = backend(record.backend).addresses(record.handle) or record.addresses
    if not found:
        hint = "it may still be booting; the guest agent (qemu-guest-agent in the guest) tells its address at once"
        raise OvError(f"no address of {record.words} can be found", hint=hint)
    return found[0], 22


def reached(records: Sequence[Record], statuses: Mapping[str, Status]) -> dict[str, tuple[str, int]]:
    """Where the guests' sshds are reached from here, by domain. Running VMs with addresses of their own are asked for
    them, all at once; one that does not know its address is left out."""
    found = {one.domain: (LOOPBACK, one.ssh_port) for one in records if one.ssh_port is not None}
    asked = [one for one in records if one.ssh_port is None and statuses[one.domain].active]
    if asked:
        with ThreadPoolExecutor(len(asked)) as pool:
            answers = pool.map(_address_or_none, asked)
            found |= {one.domain: answer for one, answer in zip(asked, answers, strict=True) if answer is not None}
    return found


def _address_or_none(record: Record) -> tuple[str, int] | None:
    try:
        return address_of(record)
    except OvError:
        return None


def write_access(record: Record) -> None:
    """Write ``known_hosts`` and ``ssh_config``."""
    folder = record.folder
    if record.host_key is not HostKey.ACCEPTED:
        key = folder.host_key.with_suffix(".pub").read_text(encoding="utf-8")
        write_atomic(folder.known_hosts, known_hosts_line(record.domain, key), mode=0o600)
    write_atomic(folder.ssh_config, stanza(ssh_host(record)), mode=0o600)


def ssh_host(record: Record) -> Host:
    """The stanza's content; a VM with an address of its own is looked up when ssh connects, if it can be now."""
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


def first_contact(record: Record, progress: Progress, *, seconds: float = 10.0) -> Record:
    """Look at the guest's host key once. One that is not ours is accepted now, said, and held to from then on: the
    image could not take ours. Nothing to do where the key has been seen before.

    :raises OvError: the guest shows no ed25519 key in ``seconds``.
    """
    if record.ssh_port is None:
        _refresh(record)
    if record.host_key is not HostKey.EXPECTED:
        return record
    address, port = address_of(record)
    shown = scan(address, port, seconds)
    if shown is None:
        hint = f"ov vm wait {record.words}; the guest needs an ed25519 host key, which sshd makes unless told otherwise"
        raise OvError(f"the SSH server of {record.words} does not answer", hint=hint)
    with record.folder.lock():
        record = replace(load(record.folder) or record, host_key=judge(record, shown))
        record.save()
    if record.host_key is HostKey.ACCEPTED:
        write_atomic(record.folder.known_hosts, known_hosts_line(record.domain, shown), mode=0o600)
        progress.note(
            f"{record.words} did not take the host key prepared for it; its own is accepted this once: "
            f"{fingerprint(shown)}"
        )
    return record


def _refresh(record: Record) -> None:
    """An address of its own is only known while the guest has it: ``ssh ov-NAME`` learns it, too."""
    text = stanza(ssh_host(record))
    file = record.folder.ssh_config
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        write_atomic(file, text, mode=0o600)


def need_user(record: Record, given: str | None) -> str:
    """Whom to log in as.

    :raises InputError: nobody said.
    """
    user = given or record.user
    if user is None:
        raise InputError(
            f"nobody said who logs in to {record.words}",
            hint="ssh.user or source.base_user in vms.yml, or -l USER",
        )
    return user
