"""A guest with an address of its own: on a bridge of this host, which gives it one by DHCP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ovtasks.host.run import Result, run
from tests.support.bridges import LEASES, NETWORK, allowed, bridge, dhcp
from tests.support.demo import ROOT, Demo
from tests.support.programs import attempt
from tests.support.workbench import OV

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]
SECONDS = 1500.0
MAC = "52:54:00:0b:21:d9"


class Project:
    """The demo VM under another name, on a bridge, by QEMU alone as root."""

    def __init__(self, root: Path, demo: Demo, bridge: str) -> None:
        self.root = root
        vm: dict[str, Any] = yaml.safe_load((ROOT / "vms.yml").read_text(encoding="utf-8"))["vms"]["demo"]
        network = {"mode": "bridge", "bridge": bridge, "mac": MAC}
        vms = {"bridged": {**vm, "backend": "qemu", "network": network}}
        (root / "vms.yml").write_text(json.dumps({"vms": vms}), encoding="utf-8")
        (root / "output").mkdir()
        run(["cp", "-al", demo.project / "output/.images", root / "output"])

    def ov(self, *words: str, code: int = 0) -> Result:
        done = attempt(*OV, "-C", self.root, *words, timeout=SECONDS)
        assert done.returncode == code, f"ov {' '.join(words)}: {done.stdout}{done.stderr}"
        return Result(done.returncode, done.stdout, done.stderr)


@pytest.mark.root
def test_a_bridged_guest_is_found(demo: Demo, tmp_path: Path) -> None:
    root = tmp_path / "p"
    root.mkdir()
    with bridge() as name, allowed(name), dhcp(name, tmp_path / "dnsmasq.log"):
        project = Project(root, demo, name)
        project.ov("vm", "create", "bridged")
        try:
            look_at(project)
        finally:
            project.ov("vm", "destroy", "--disk", "bridged")


def look_at(project: Project) -> None:
    listed = json.loads(project.ov("vm", "list", "--json").stdout)
    (vm,) = [one for one in listed if one["name"] == "bridged"]
    project.ov("vm", "wait", "bridged")
    address = project.ov("vm", "ip", "bridged").stdout.strip()
    assert address.startswith(f"{NETWORK}.") and f" {MAC} {address} " in LEASES.read_text(encoding="utf-8")
    told = project.ov("vm", "ssh", "bridged", "--", "hostname -I; cat /sys/class/net/e*/address; echo $SSH_CONNECTION")
    own, mac, connection = told.stdout.splitlines()
    assert (own.split()[0], mac, connection.split()[0]) == (address, MAC, f"{NETWORK}.1")
    assert f"demo@{address}" in project.ov("vm", "list").stdout
    status = json.loads(project.ov("vm", "status", "bridged", "--json").stdout)
    assert status["ssh"] == {"user": "demo", "address": address, "port": 22} and status["host_key"] == "confirmed"

    # ssh itself, by what is included into its configuration
    config = Path(vm["directory"]) / "ssh_config"
    assert run(["ssh", "-F", config, "ov-bridged", "hostname"], timeout=SECONDS).stdout.strip() == "bridged"

    # without the lease: by the kernel's own knowledge
    LEASES.unlink()
    assert project.ov("vm", "ip", "bridged").stdout.strip() == address
