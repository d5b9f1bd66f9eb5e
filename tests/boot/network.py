"""A guest with an address of its own: on a bridge of this host, which gives it one by DHCP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from ovtasks.host.run import Result, run
from tests.boot.project import QUICK
from tests.support.bridges import LEASES, NETWORK
from tests.support.demo import ROOT, Demo
from tests.support.programs import attempt
from tests.support.workbench import OV

SECONDS = 1500.0


class Project:
    """The demo VM by QEMU alone, as root."""

    def __init__(self, root: Path, demo: Demo) -> None:
        self.root = root
        (root / "output").mkdir(parents=True)
        run(["cp", "-al", demo.project / "output/.images", root / "output"])

    def declare(self, **fields: Any) -> None:
        """Write ``vms.yml``: the checkout's demo, with these fields besides."""
        fields["libvirt"] = {**QUICK, **fields.get("libvirt", {})}
        vm: dict[str, Any] = yaml.safe_load((ROOT / "vms.yml").read_text(encoding="utf-8"))["vms"]["demo"]
        vms = {"demo": {**vm, "cpus": 1, "backend": "qemu", **fields}}
        (self.root / "vms.yml").write_text(json.dumps({"vms": vms}), encoding="utf-8")

    def ov(self, *words: str, code: int = 0) -> Result:
        done = attempt(*OV, "-C", self.root, *words, timeout=SECONDS)
        assert done.returncode == code, f"ov {' '.join(words)}: {done.stdout}{done.stderr}"
        return Result(done.returncode, done.stdout, done.stderr)


def look_at_network(project: Project, mac: str) -> str:
    """Every way to the guest leads there; returns its address."""
    listed = json.loads(project.ov("vm", "list", "--json").stdout)
    (vm,) = [one for one in listed if one["name"] == "demo"]
    project.ov("vm", "wait", "demo")
    address = project.ov("vm", "ip", "demo").stdout.strip()
    assert address.startswith(f"{NETWORK}.") and f" {mac} {address} " in LEASES.read_text(encoding="utf-8")
    questions = f"hostname -I; grep -lx {mac} /sys/class/net/e*/address | wc -l; echo $SSH_CONNECTION"
    own, cards, connection = project.ov("vm", "ssh", "demo", "--", questions).stdout.splitlines()
    assert (address in own.split(), cards, connection.split()[0]) == (True, "1", f"{NETWORK}.1")
    assert f"demo@{address}" in project.ov("vm", "list").stdout
    status = json.loads(project.ov("vm", "status", "demo", "--json").stdout)
    assert status["ssh"] == {"user": "demo", "address": address, "port": 22} and status["host_key"] == "confirmed"

    # ssh itself, by what is included into its configuration
    config = Path(vm["directory"]) / "ssh_config"
    assert run(["ssh", "-F", config, "ov-demo", "hostname"], timeout=SECONDS).stdout.strip() == "demo"

    # without the lease: by the kernel's own knowledge
    LEASES.unlink()
    assert project.ov("vm", "ip", "demo").stdout.strip() == address
    return address
