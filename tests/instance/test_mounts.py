"""How a folder of ``mounts:`` gets into the guest: chosen by host, backend and guest, and told."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from ovtasks.backends.contract import Backend, Shares, ShareUsers
from ovtasks.backends.libvirt.shares import ELSEWHERE, of_host
from ovtasks.backends.qemu import helpers, program
from ovtasks.backends.qemu import shares as qemu_shares
from ovtasks.errors import InputError
from ovtasks.instance.mounts import shared_folders, telling, with_transports
from ovtasks.instance.record import Record
from ovtasks.machine.devices.filesystem import Share
from ovtasks.machine.host import HostFeatures
from ovtasks.machine.qemu.command import QemuFeatures
from ovtasks.project.model import CloudInit, Network, Source, Ssh
from ovtasks.values.mount import Mount
from tests.support.specs import UNKNOWN, bootstrap, cloud_image, vm
from tests.support.workbench import Workbench, cloud_vm

RECORD = cast("Record", type("R", (), {"uri": None}))
RED_HAT = cloud_image("https://images.example/CentOS-Stream-GenericCloud-10.qcow2")


class Host:
    """A backend with these ways."""

    def __init__(self, **ways: object) -> None:
        self.ways = Shares(**ways)  # type: ignore[arg-type]

    def shares(self, arch: str, machine: str, uri: str | None) -> Shares:
        return self.ways


def transport(
    tmp_path: Path, source: Source | None = None, *, user: str | None = "me", libvirt: object = None, **ways: Any
) -> str:
    mount = Mount(tmp_path, "/src", read_only=bool(ways.pop("ro", False)), transport=str(ways.pop("by", "auto")))
    more = {key: ways.pop(key) for key in ("block", "network") if key in ways}
    spec = vm(source or cloud_image(UNKNOWN), user=user, mounts=(mount,), libvirt=libvirt or {}, **more)
    host = cast("Backend", Host(**ways))
    (folder,) = shared_folders(spec, RECORD, host, "x86_64", "q35", anywhere=False)
    assert (folder.tag, folder.source, folder.target) == ("ov-mount0", tmp_path, "/src")
    assert folder.login == (0 if user == "root" else 1000)
    return folder.transport


NO = "it is not installed"
ROOT = ShareUsers.ROOT


def test_virtiofs_else_9p(tmp_path: Path) -> None:
    assert transport(tmp_path) == "virtiofs"
    assert transport(tmp_path, virtiofs=NO) == "9p"
    assert transport(tmp_path, ro=True, reading="too old") == "9p"
    assert transport(tmp_path, ro=False, reading="too old") == "virtiofs"
    assert transport(tmp_path, by="9p") == "9p"
    private = {"memory_backing": {"access": "private"}}
    assert transport(tmp_path, libvirt=private) == "9p"


def test_the_login_is_to_have_the_files(tmp_path: Path) -> None:
    """In a session of libvirt's, virtiofs gives them to the guest's root."""
    assert transport(tmp_path, users=ROOT) == "9p"
    assert transport(tmp_path, users=ROOT, user="root") == "virtiofs"
    assert transport(tmp_path, RED_HAT, users=ROOT) == "virtiofs", "there is no other way"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (RED_HAT, "the kernel of centos has none"),
        (bootstrap(distro="debian"), "Debian's kernel for clouds"),
        (cloud_image(), "Debian's kernel for clouds"),
        (cloud_image(UNKNOWN, distro="amazon"), "the kernel of amazon has none"),
    ],
)
def test_a_guest_without_9p(tmp_path: Path, source: Source, why: str) -> None:
    with pytest.raises(InputError, match=why) as caught:
        transport(tmp_path, source, virtiofs=NO, sshfs=NO)
    assert f"no virtiofs, {NO}" in caught.value.message and caught.value.message.endswith(f"no sshfs, {NO}")
    assert caught.value.field == ("mounts", 0)
    assert "virtiofsd" in (caught.value.hint or "")
    assert transport(tmp_path, source) == "virtiofs"
    assert transport(tmp_path, source, virtiofs=NO, by="9p") == "9p", "who asks for it by name knows better"


def test_sshfs_is_the_last(tmp_path: Path) -> None:
    assert transport(tmp_path, cloud_image(), virtiofs=NO) == "sshfs"
    assert transport(tmp_path, virtiofs=NO, ninep=NO) == "sshfs"
    assert transport(tmp_path, cloud_image(), virtiofs=NO, ro=True) == "sshfs"
    assert transport(tmp_path, by="sshfs") == "sshfs"
    for source in (RED_HAT, cloud_image(UNKNOWN, distro="amazon")):
        with pytest.raises(InputError, match=r"no sshfs, \w+ itself has no package of it \(EPEL has: fuse-sshfs"):
            transport(tmp_path, source, virtiofs=NO)
        assert transport(tmp_path, source, by="sshfs") == "sshfs", "who asks for it by name knows better"
        own = CloudInit(packages=("fuse-sshfs",))
        assert transport(tmp_path, source, virtiofs=NO, block=own) == "sshfs"


def test_a_guest_that_the_host_does_not_reach(tmp_path: Path) -> None:
    for more, why in (
        ({"user": None}, r"nobody is known who logs in by SSH \(ssh.user\)"),
        ({"network": Network(mode="direct")}, "the host cannot reach a guest in network mode direct"),
        ({"sshfs": ELSEWHERE}, ELSEWHERE),
        ({"source": cloud_image(UNKNOWN, distro="freebsd")}, "only Linux guests are mounted so"),
    ):
        with pytest.raises(InputError, match=f"mounts: no sshfs: {why}") as caught:
            transport(tmp_path, by="sshfs", **more)
        assert caught.value.hint == "transport: auto" and caught.value.field == ("mounts", 0)
        with pytest.raises(InputError, match=f"no sshfs, {why}"):
            transport(tmp_path, virtiofs=NO, ninep=NO, **more)


def test_what_cannot_be_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"no virtiofs: {NO}"):
        transport(tmp_path, by="virtiofs", virtiofs=NO)
    with pytest.raises(InputError, match=f"no 9p: {NO}"):
        transport(tmp_path, by="9p", ninep=NO)
    with pytest.raises(InputError, match="is missing, which web is to share") as caught:
        transport(tmp_path / "no such")
    assert caught.value.hint == f"mkdir -p '{tmp_path}/no such'"
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is not a folder"):
        transport(tmp_path / "file")
    spec = vm(mounts=(Mount(tmp_path, "/src"),))
    with pytest.raises(InputError, match="this backend cannot share folders"):
        shared_folders(spec, RECORD, cast("Backend", object()), "x86_64", "q35", anywhere=False)
    absent = replace(spec, mounts=(Mount(tmp_path / "no", "/src"),))
    (shown,) = shared_folders(absent, RECORD, cast("Backend", object()), "x86_64", "q35", anywhere=True)
    assert shown.transport == "virtiofs"


def test_what_people_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    spec = vm(mounts=(Mount(tmp_path, "/a"), Mount(tmp_path, "/b", transport="9p")), ssh=Ssh(user="me"))
    host = cast("Backend", Host(users=ShareUsers.LOGIN))
    said = [*telling(spec, shared_folders(spec, RECORD, host, "x86_64", "q35", anywhere=False))]
    assert said == [
        "mounts /b by 9p; users have the same numbers there",
        "this host's user has number 1234, the guest's login 1000: it may not write there",
        "mounts /a by virtiofs; the host's user has the files as the login there, and owns whatever the guest writes",
    ]


@pytest.mark.parametrize(
    ("source", "who"),
    [
        (cloud_image(), "cloud-init installs its package sshfs at the first boot"),
        (cloud_image(UNKNOWN), "the guest must have it"),
        (bootstrap(distro="debian", packages=("sshfs",)), "the image has it"),
    ],
)
def test_what_people_are_told_of_sshfs(tmp_path: Path, source: Source, who: str) -> None:
    spec = vm(source, user="me", mounts=(Mount(tmp_path, "/a", transport="sshfs"),))
    folders = shared_folders(spec, RECORD, cast("Backend", Host()), "x86_64", "q35", anywhere=False)
    assert [*telling(spec, folders)] == [
        "mounts /a by sshfs; the host's user has the files as the login there, and owns whatever the guest writes",
        f"sshfs: {who}; this host serves the folders while the VM runs",
    ]
    chosen = with_transports(spec, RECORD, cast("Backend", Host()), "x86_64", "q35")
    assert [one.transport for one in chosen.mounts] == ["sshfs"]


def test_libvirt() -> None:
    words = {"devices/filesystem/driverType": frozenset({"path", "virtiofs"})}
    assert of_host(HostFeatures(known=words, version=(11, 0))) == Shares()
    old = of_host(HostFeatures(known=words, version=(10, 9), session=True))
    assert old.virtiofs is None and "11.0" in (old.reading or "") and old.users is ShareUsers.ROOT
    assert of_host(HostFeatures(known=words, problems={"virtiofs": NO})).virtiofs == NO
    bare = of_host(HostFeatures(known={"devices/filesystem/driverType": frozenset()}))
    assert bare.virtiofs and bare.ninep


HELP = "echo --shared-dir; echo --translate-uid"
DEVICES = frozenset({"vhost-user-fs-pci", "virtio-9p-pci"})


def server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, *, user: int, devices: object = DEVICES
) -> Shares:
    """What plain QEMU can do with a virtiofsd that says ``said``."""
    path = tmp_path / "virtiofsd"
    path.write_text(f"#!/bin/sh\n{said}\n")
    path.chmod(0o755)
    monkeypatch.setattr(qemu_shares, "virtiofsd", lambda: str(path))
    monkeypatch.setattr(os, "geteuid", lambda: user)
    found = QemuFeatures("/bin/qemu", (9, 2), True, True, True, True, cast("frozenset[str]", devices))
    monkeypatch.setattr(program, "features", lambda arch: found)
    return qemu_shares.shares("x86_64")


def test_qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = "echo using FUSE kernel interface version 7.36"
    assert server(tmp_path, monkeypatch, HELP, user=1000) == Shares(users=ShareUsers.LOGIN)
    assert server(tmp_path, monkeypatch, "echo 1.10", user=1000) == Shares()
    assert server(tmp_path, monkeypatch, HELP, user=0) == Shares()
    assert "root only" in (server(tmp_path, monkeypatch, old, user=1000).virtiofs or "")
    as_root = server(tmp_path, monkeypatch, old, user=0)
    assert as_root.virtiofs is None and "read-only" in (as_root.reading or "")
    none = server(tmp_path, monkeypatch, HELP, user=0, devices=frozenset())
    assert none.virtiofs and none.ninep
    monkeypatch.setattr(qemu_shares, "virtiofsd", lambda: None)
    assert "not installed" in (qemu_shares.shares("x86_64").virtiofs or "") or none.virtiofs


def test_numbers_of_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the guest writes is ours, and what is ours is the login's."""
    server(tmp_path, monkeypatch, HELP, user=1234)
    monkeypatch.setattr(os, "getegid", lambda: 99)
    program_ = str(tmp_path / "virtiofsd")
    share = Share("fs0", tmp_path / "s", tmp_path / "a: b", readonly=True, login=1000)
    words = helpers._words(share, program_)
    assert words[:3] == [f"--socket-path={tmp_path}/s", "--shared-dir", f"{tmp_path}/a: b"]
    assert words[4:] == [
        "--translate-uid=squash-guest:0:1234:4294967295",
        "--translate-uid=host:1234:1000:1",
        "--translate-gid=squash-guest:0:99:4294967295",
        "--translate-gid=host:99:1000:1",
        "--readonly",
    ]
    assert len(helpers._words(replace(share, login=None), program_)) == 5, "a declared filesystem is left as it is"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert len(helpers._words(share, program_)) == 5


@pytest.mark.slow
def test_create(bench: Workbench, empty_image: Path) -> None:
    """Said once; a second create does nothing; the folder's absence has its place."""
    (bench.root / "src").mkdir()
    mounts = [{"source": "./src", "target": "/src", "transport": "9p"}]
    ssh = {"user": "me", "key_source": "generate"}
    bench.write({"web": cloud_vm(empty_image, ram="128M", ssh=ssh, mounts=mounts)})
    said = bench.ov("vm", "create", "--no-start", "web").stderr
    assert "web: mounts /src by 9p; users have the same numbers there" in said
    again = bench.ov("vm", "create", "--no-start", "web").stderr
    assert "mounts" not in again
    argv = json.loads(bench.ov("vm", "argv", "web", "--json").stdout)
    assert any(f"path={bench.root}/src" in word for word in argv)
    own = f"{bench.root}/src:/own"
    added = bench.ov("vm", "create", "--no-start", "web", "--mount", f"{bench.root}/src:/src:ro", "--mount", own).stderr
    assert "mounts /src by" in added and "definition changed" in added and "seed rendered anew" in added
    shown = bench.ov("vm", "create", "--no-start", "web").stderr
    assert "nothing to do" in shown, "they are remembered"
    assert "definition changed" in bench.ov("vm", "create", "--no-start", "--reset", "web").stderr
    (bench.root / "src").rmdir()
    missing = bench.ov("vm", "create", "--no-start", "web", code=2).stderr
    assert "src is missing, which web is to share" in missing and "vms.yml:" in missing and "mkdir -p" in missing
    assert bench.ov("vm", "run", "web", "--no-build", "--mount", "no:/b", "--", "true", code=2).returncode == 2
    assert [vm["name"] for vm in json.loads(bench.ov("vm", "list", "-a", "--json").stdout)] == ["web"]
