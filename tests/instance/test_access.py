"""Logging in: ssh's configuration, and the host key at first contact."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.errors import EXIT_REFUSED, InputError, OvError
from ovtasks.guest.target import Target, WrongHostKeyError
from ovtasks.host.files import write_atomic
from ovtasks.instance.access import first_contact, need_user, write_access
from ovtasks.instance.record import HostKey, Record, load, new_record
from tests.support.programs import call
from tests.support.sshd import Sshd, new_sshd, run_ssh
from tests.support.workbench import Workbench, cloud_vm

pytestmark = pytest.mark.slow  # many runs of whole programs


class Notes:
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)

    def update(self, done: int, total: int | None, unit: str = "B") -> None:
        raise AssertionError


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with new_sshd(tmp_path / "sshd") as server:
        server.start()
        yield server


def guest(server: Sshd, host_key: str) -> Record:
    """An instance whose guest is ``server``; ``host_key`` is what we think its public one is."""
    record = replace(
        new_record("web", None, Path("/p"), "qemu", None, None),
        ssh_port=server.port,
        user=server.target.user,
        identity=server.folder / "id",
    )
    record.folder.make()
    write_atomic(record.folder.host_key.with_suffix(".pub"), host_key)
    record.save()
    write_access(record)
    return record


def logs_in(record: Record) -> bool:
    assert record.user is not None and record.ssh_port is not None
    target = Target(
        record.domain, record.ssh_port, record.user, record.folder.known_hosts, identity=record.identity, patience=10
    )
    return run_ssh(target, ["true"], 30.0).returncode == 0


def test_the_expected_host_key_is_confirmed(server: Sshd) -> None:
    record, notes = guest(server, server.host_key()), Notes()
    assert first_contact(record, notes).host_key is HostKey.CONFIRMED
    assert notes.said == [] and logs_in(record)
    known = load(record.folder)
    assert known is not None and known.host_key is HostKey.CONFIRMED


OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICOcYPBrWceAhFAEnPasoz8q5VZrEYQmnDboclFrq3kh web"


def print_of(key: str) -> str:
    return call("ssh-keygen", "-l", "-f", "-", stdin=key).stdout.split()[1]


def test_another_host_key_is_refused(server: Sshd) -> None:
    record, notes = guest(server, OTHER), Notes()
    before = record.folder.known_hosts.read_bytes()
    with pytest.raises(WrongHostKeyError) as caught:
        first_contact(record, notes)
    assert f"{print_of(server.host_key())} instead of {print_of(OTHER)}" in caught.value.message
    assert f"port {server.port}" in str(caught.value.hint)
    assert "--accept-new-host-key" in str(caught.value.hint) and "first_use" in str(caught.value.hint)
    assert caught.value.exit_code == EXIT_REFUSED
    assert record.folder.known_hosts.read_bytes() == before and not logs_in(record)
    known = load(record.folder)
    assert known is not None and known.host_key is HostKey.EXPECTED


def test_the_user_lets_another_key_in_and_it_is_held_to(server: Sshd) -> None:
    record, notes = guest(server, OTHER), Notes()
    record = first_contact(record, notes, accept=True)
    assert record.host_key is HostKey.ACCEPTED and logs_in(record)
    assert record.accepted[0].split() == server.host_key().split()[:2]
    assert load(record.folder) == record
    record.folder.known_hosts.unlink()
    write_access(record)
    assert logs_in(record), "the record is enough"
    server.stop()
    server.new_host_key()
    server.start()
    first_contact(record, notes)
    assert not logs_in(record), "a second one is not accepted"
    record = first_contact(record, notes, accept=True)
    assert logs_in(record) and len(notes.said) == 2


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_a_guest_with_keys_of_other_kinds(kind: str, server: Sshd) -> None:
    server.stop()
    for name in ("host", "host.pub"):
        (server.folder / name).unlink()
    call("ssh-keygen", "-q", "-t", kind, "-N", "", "-f", server.folder / "host")
    server.start()
    record = guest(server, OTHER)
    with pytest.raises(WrongHostKeyError):
        first_contact(record, Notes())
    record = first_contact(record, Notes(), accept=True)
    assert record.accepted[0].split() == server.host_key().split()[:2] and logs_in(record)


def test_a_vm_whose_spec_takes_the_first_key_it_shows(server: Sshd) -> None:
    record, notes = replace(guest(server, OTHER), first_use=True), Notes()
    record = first_contact(record, notes)
    assert record.host_key is HostKey.ACCEPTED
    assert "does not have the host key prepared for it" in notes.said[0]
    assert print_of(server.host_key()) in notes.said[0]
    write_access(record)
    assert logs_in(record)
    server.stop()
    server.new_host_key()
    server.start()
    first_contact(record, notes)
    assert len(notes.said) == 1 and not logs_in(record), "a second change is not accepted"


def test_a_guest_that_does_not_answer(server: Sshd) -> None:
    record = guest(server, server.host_key())
    server.stop()
    with pytest.raises(OvError, match="does not answer") as caught:
        first_contact(record, Notes(), seconds=1)
    assert "ov vm wait web" in str(caught.value.hint)


def test_nobody_said_who_logs_in() -> None:
    record = new_record("web", None, Path("/p"), "qemu", None, None)
    with pytest.raises(InputError, match="no user is set for logging in"):
        need_user(record, None)
    assert need_user(record, "me") == "me"


def test_ssh_config_is_installed_and_removed(bench: Workbench, empty_image: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    config = home / ".ssh/config"
    config.write_text("Host *\n  User somebody")
    bench.env |= {"HOME": str(home)}
    vm = cloud_vm(empty_image, ram="128M", ssh={"user": "tester", "key_source": "generate"})
    bench.write({"web": vm})
    bench.ov("vm", "create", "--no-start", "web")
    shown = bench.ov("ssh-config", "web").stdout
    assert shown == bench.ov("vm", "ssh-config").stdout and "Host ov-web\n" in shown

    assert "includes the VMs now" in bench.ov("ssh-config", "--install").stderr
    assert "includes the VMs already" in bench.ov("ssh-config", "--install").stderr
    effective = call("ssh", "-F", config, "-G", "ov-web", env={**os.environ, **bench.env}).stdout.splitlines()
    assert {"user tester", "stricthostkeychecking true", "identitiesonly yes", "hostkeyalias ov-web"} <= {*effective}
    assert "does not include the VMs now" in bench.ov("ssh-config", "--remove").stderr
    assert config.read_text() == "Host *\n  User somebody"
    both = bench.ov("ssh-config", "--install", "--remove", code=2)
    assert "contradict" in both.stderr


SCP = [
    (("a",), "needs a source and a destination"),
    (("a", "b"), "no path is in the guest"),
]


@pytest.mark.parametrize(("paths", "message"), SCP)
def test_scp_input(paths: tuple[str, ...], message: str, bench: Workbench, empty_image: Path) -> None:
    bench.write({"web": cloud_vm(empty_image, ram="128M", ssh={"user": "tester", "key_source": "generate"})})
    bench.ov("vm", "create", "--no-start", "web")
    failed = bench.ov("vm", "scp", "web", *paths, code=2)
    assert message in failed.stderr and "hint:" in failed.stderr
