"""STALE: every edit that matters to an instance shows, also while the VM runs; what does not matter does not show."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ovtasks.backends.contract import VmState, VmStatus
from ovtasks.cli import stale as stale_
from ovtasks.cli.main import run
from ovtasks.deploy.receipts import LayerReceipt, LayerState, save_facts, save_receipt
from ovtasks.graph.chains import Graph
from ovtasks.graph.manifest import built, pending
from ovtasks.instance.find import find
from ovtasks.instance.record import Record
from ovtasks.layers.facts import SystemFacts
from tests.support.tmux import wait_for
from tests.support.workbench import EMULATED, Workbench, cloud_vm

VM: dict[str, Any] = {
    "ram": "128M",
    "cpus": 1,
    "ssh": {"user": "tester", "key_source": "generate"},
    "cloud_init": {"packages": ["vim"]},
    "network": {"mode": "user", "port_forwards": ["18080:80"]},
}
EDITS: dict[str, tuple[dict[str, Any], str]] = {
    "disk_size": ({"disk_size": "2G"}, "to build: disk:web"),
    "ram": ({"ram": "256M"}, "definition differs"),
    "cpus": ({"cpus": 2}, "definition differs"),
    "firmware": ({"firmware": "bios", "machine": "pc"}, "definition differs"),
    "libvirt": ({"libvirt": {"devices": {"watchdog": [{"model": "i6300esb"}]}}}, "definition differs"),
    "cloud_init.packages": ({"cloud_init": {"packages": ["vim", "git"]}}, "seed differs"),
    "cloud_init.hostname": ({"cloud_init": {"packages": ["vim"], "hostname": "www"}}, "seed differs"),
    "ssh.user": ({"ssh": {"user": "other", "key_source": "generate"}}, "who logs in"),
    "ssh.key_source": ({"ssh": {"user": "tester", "key_source": "none"}}, "seed differs"),
    "ssh.port": ({"ssh": {"user": "tester", "key_source": "generate", "port": 20999}}, "ports differ"),
    "port_forwards": ({"network": {"mode": "user", "port_forwards": ["18081:80"]}}, "ports differ"),
    "network.model": (
        {"network": {"mode": "user", "model": "e1000", "port_forwards": ["18080:80"]}},
        "definition differs",
    ),
}


@pytest.fixture(autouse=True)
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in this process, too."""
    for name, value in EMULATED.items():
        monkeypatch.setenv(name, value)


def declare(bench: Workbench, image: Path, **fields: Any) -> None:
    bench.write({"web": cloud_vm(image, **{**copy.deepcopy(VM), **fields})})


def reasons(record: Record, state: VmState = VmState.STOPPED) -> list[str]:
    return stale_.stale([record], {record.domain: VmStatus(state)})[record.domain]


@pytest.fixture
def web(bench: Workbench, empty_image: Path) -> Record:
    declare(bench, empty_image)
    assert run(["-q", "-C", str(bench.root), "vm", "create", "--no-start", "web"]) == 0
    return find("web")


def test_every_edit_that_matters(bench: Workbench, empty_image: Path, web: Record) -> None:
    assert reasons(web) == []
    for field, (edit, reason) in EDITS.items():
        declare(bench, empty_image, **edit)
        for state in (VmState.STOPPED, VmState.RUNNING):
            found = reasons(web, state)
            assert any(one.startswith(reason) for one in found), (field, state, found)
    declare(bench, empty_image)
    assert reasons(web) == [] == reasons(web, VmState.RUNNING)


def test_what_does_not_matter(bench: Workbench, empty_image: Path, web: Record) -> None:
    path = bench.root / "vms.yml"
    path.write_text(f"# a comment\n{path.read_text()}")
    assert reasons(web) == []
    bench.write({"web": cloud_vm(empty_image, **VM), "other": cloud_vm(empty_image, ram="1G")})
    assert reasons(web) == []


def test_a_key_of_the_user(
    bench: Workbench, empty_image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files that decide which key goes in are looked at, though vms.yml stays as it is."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    declare(bench, empty_image, ssh={"user": "tester", "key_source": "auto"})
    assert run(["-q", "-C", str(bench.root), "vm", "create", "--no-start", "web"]) == 0
    record = find("web")
    assert reasons(record) == []
    (home / ".ssh/id_ed25519.pub").write_text((record.folder.path / "id_ed25519.pub").read_text()[:-20] + "AAAA x\n")
    assert reasons(record) != []


def test_layers_that_were_edited(bench: Workbench, empty_image: Path, web: Record) -> None:
    layer = bench.root / "layers/tools/layer.yml"
    layer.parent.mkdir(parents=True)
    layer.write_text("tasks: [{mkdir: /srv/a}]\n")
    (bench.root / "deploy.yml").write_text("deploy:\n  vm:web: {add_layers: [tools]}\n")
    assert reasons(web) == [], "it never got them"
    assert web.instance_id is not None
    save_receipt(web, LayerReceipt("tools", web.instance_id, LayerState.WHOLE, digest="of another text"))
    save_facts(web, SystemFacts("debian", "13"))
    assert reasons(web) == ["layers differ: vm:web"]


def test_the_second_look_reads_no_project(
    bench: Workbench, empty_image: Path, web: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found is noted, as long as no file changes on which it depends."""
    build = ["-q", "-C", str(bench.root), "vm", "build", "web"]
    assert wait_for(lambda: run(build) == 0 and built(str(bench.root), ["web"]) is not None)
    read: list[Path] = []
    opened = stale_._open

    def opening(project: Path) -> Graph | str:
        read.append(project)
        return opened(project)

    monkeypatch.setattr(stale_, "_open", opening)
    assert wait_for(lambda: reasons(web) == [] and pending(str(bench.root), ["web", "", "off"]) == [])
    read.clear()
    assert reasons(web) == [] and read == []
    web.folder.seed.unlink()
    assert reasons(web) == ["seed differs"] and len(read) == 1


def test_where_it_cannot_be_told(bench: Workbench, empty_image: Path, web: Record, tmp_path: Path) -> None:
    bench.write({"other": cloud_vm(empty_image)})
    assert reasons(web) == ["no longer declared"]
    (bench.root / "vms.yml").write_text("vms: [\n")
    assert reasons(web) == ["its project cannot be read"]
    bench.root.rename(tmp_path / "away")
    assert reasons(web) == ["its project is gone"]
    (tmp_path / "away").rename(bench.root)
    declare(bench, empty_image)
    assert reasons(replace(web, built=None)) == ["no disk"]
