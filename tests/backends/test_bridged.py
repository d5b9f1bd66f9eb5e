"""VMs on a bridge by both backends, found by their MAC: the guests have nothing to boot, the neighbours are made up."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest

from ovtasks.host.run import run
from tests.support.bridged import MAC, Project
from tests.support.bridges import NETWORK, allowed, bridge
from tests.support.session import SessionUser, session_user

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.xdist_group("bridge")]


@pytest.fixture(scope="module")
def user() -> Iterator[SessionUser]:
    with session_user() as made:
        yield made


@pytest.mark.parametrize("backend", ["libvirt", "qemu"])
def test_a_bridged_vm(user: SessionUser, backend: str) -> None:
    project = Project(user, backend)
    try:
        error = project.ov("vm", "create", "web", code=2).stderr
        assert "vms.yml:" in error and "the bridge ovtest0 does not exist" in error
        with bridge() as name:
            error = project.ov("vm", "create", "web", code=1).stderr
            lacking = ("which is not setuid root", "does not allow the bridge ovtest0", "needs /dev/net/tun")
            assert any(words in error for words in lacking)
            with allowed(name):
                project.ov("vm", "create", "web")
                assert not json.loads(project.ov("vm", "list", "--json").stdout)[0]["ssh"]
                assert "no address of web can be found" in project.ov("vm", "ip", "web", code=1).stderr
                run(["ip", "neigh", "add", f"{NETWORK}.77", "lladdr", MAC, "dev", name, "nud", "reachable"])
                assert project.ov("vm", "ip", "web").stdout == f"{NETWORK}.77\n"
                assert f"tester@{NETWORK}.77" in project.ov("vm", "list").stdout
                project.ov("vm", "stop", "--force", "web")
                static = {"ethernets": {"eth0": {"addresses": [f"{NETWORK}.88/24"]}}}
                project.declare(cloud_init={"network": static})
                project.ov("vm", "create", "web", "--no-start")
                assert f"HostName {NETWORK}.88" in project.ov("vm", "ssh-config", "web").stdout
                project.ov("vm", "create", "web", "-i", "dev", "--no-start")
                status = json.loads(project.ov("vm", "status", "web", "-i", "dev", "--json").stdout)
                assert status["mac"] != MAC
                project.ov("vm", "destroy", "--disk", "web", "-i", "dev")
    finally:
        project.ov("vm", "destroy", "--disk", "web")
        shutil.rmtree(project.root)
    assert not user.pids("qemu-system-x86_64")


LAB = "<network><name>lab</name><forward mode='bridge'/><bridge name='ovtest0'/></network>"


def test_a_network_of_a_session_is_another_name_of_a_bridge(user: SessionUser) -> None:
    """It cannot have its own, but one that stands for a bridge of the host."""

    def virsh(*words: str) -> None:
        done = user.run("virsh", "-q", "-c", "qemu:///session", *words)
        assert done.returncode == 0, done.stderr

    project = Project(user, "libvirt")
    file = user.home / "lab.xml"
    file.write_text(LAB, encoding="utf-8")
    user.owned(file)
    with bridge() as name, allowed(name):
        virsh("net-define", str(file))
        try:
            virsh("net-start", "lab")
            project.declare(network={"mode": "nat", "network": "lab", "mac": MAC})
            project.ov("vm", "create", "web")
            run(["ip", "neigh", "add", f"{NETWORK}.78", "lladdr", MAC, "dev", name, "nud", "reachable"])
            assert project.ov("vm", "ip", "web").stdout == f"{NETWORK}.78\n"
        finally:
            project.ov("vm", "destroy", "--disk", "web")
            virsh("net-destroy", "lab")
            virsh("net-undefine", "lab")
    shutil.rmtree(project.root)
