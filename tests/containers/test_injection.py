"""Root's key in the disk: when it is written, when it counts as written, and what else brings it in."""

from __future__ import annotations

import pytest

from ovtasks.errors import InputError, Where
from ovtasks.instance.keys import fingerprint
from ovtasks.project.model import BootcSource, CloudInit, Injection, Ssh, VmSpec
from ovtasks.sources.bootc.injection import bakes_keys, ignores_keys, injected, other_ways, without_the_disk

AUTO, ON, OFF = Injection.AUTO, Injection.ENABLED, Injection.DISABLED


def a_vm(install: Injection = AUTO, smbios: Injection = AUTO, user: str = "root", *, seed: bool = False) -> VmSpec:
    ssh = Ssh(user, smbios=smbios, install=install)
    where, source = Where("vms.yml", 3, 5), BootcSource("bootc", {})
    return VmSpec("web", source, where, ssh=ssh, cloud_init=CloudInit() if seed else None)


@pytest.mark.parametrize(
    ("vm", "baked", "ways"),
    [
        (a_vm(), False, ("SMBIOS",)),
        (a_vm(smbios=OFF), True, ()),
        (a_vm(smbios=OFF, seed=True), False, ("the cloud-init seed",)),
        (a_vm(smbios=OFF, user="core"), False, ()),
        (a_vm(ON), True, ("SMBIOS",)),
        (a_vm(OFF, OFF), False, ()),
        (a_vm(ON, seed=True), True, ("SMBIOS", "the cloud-init seed")),
    ],
)
def test_when_it_is_written(vm: VmSpec, baked: bool, ways: tuple[str, ...]) -> None:
    assert (bakes_keys(vm), other_ways(vm)) == (baked, ways)


def test_without_it_something_else_has_to_bring_one() -> None:
    assert without_the_disk(a_vm(), "it is not there") == "web: it is not there; SMBIOS brings it in"
    with pytest.raises(InputError) as caught:
        without_the_disk(a_vm(smbios=OFF), "it is not there")
    assert "nobody could log in to web" in caught.value.message and caught.value.where == a_vm().where


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["Injected: etc/tmpfiles.d/bootc-root-ssh.conf"], True),
        (["x", "  Injected: /etc/tmpfiles.d/bootc-root-ssh.conf"], True),
        (["Injected: etc/other.conf"], False),
        (["not Injected: etc/tmpfiles.d/bootc-root-ssh.conf"], False),
        (["Installation complete!"], False),
        ([], False),
    ],
)
def test_bootc_says_so(lines: list[str], said: bool) -> None:
    assert injected(lines) is said


@pytest.mark.parametrize(
    ("version", "ignored"),
    [("bootc 1.16.9", True), ("bootc 1.8.0", True), ("bootc 1.17.0", False), ("bootc 2.0.0", False), ("bootc", False)],
)
def test_composefs_learnt_it(version: str, ignored: bool) -> None:
    assert ignores_keys(version) is ignored


def test_a_fingerprint_is_of_the_key_alone() -> None:
    """As ssh-keygen -l has it."""
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPUKNVhYYDLU14NQxYBZrLcAz2dRRzQ8RSYVHxS1fsL3"
    known = fingerprint(f"{key} me")
    assert known == fingerprint(key) == fingerprint(f'from="10.0.0.1",no-pty {key} other') != fingerprint("nothing")
    assert known.startswith("SHA256:") and len(known) == 50
