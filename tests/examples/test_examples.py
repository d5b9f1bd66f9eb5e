"""The projects below examples/ are valid, and are built as they stand, from a mirror with the distributions' layout."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from ovtasks.cli.main import parser, split_rest
from ovtasks.cli.main import run as main
from ovtasks.images.lockfile import read_lock
from ovtasks.project.load import load_project
from ovtasks.project.model import CloudImageSource
from tests.support.checkout import ROOT
from tests.support.mirror import ARCH, NEWEST, place
from tests.support.programs import attempt, call
from tests.support.server import Site

EXAMPLES = ROOT / "examples"
NAMES = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())
BASH = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```\w+(?: \w+)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def copy_of(name: str, folder: Path) -> Path:
    return Path(shutil.copytree(EXAMPLES / name, folder / name))


def ov(project: Path, *words: str) -> int:
    return main(["-C", str(project), *words])


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_valid(name: str, distributions: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    project = copy_of(name, tmp_path)
    assert ov(project, "validate") == 0
    said = capfd.readouterr()
    assert "note:" not in said.out + said.err
    assert ov(project, "plan", "--json") == 0
    states = {step["state"] for step in json.loads(capfd.readouterr().out)["steps"]}
    assert states and "fresh" not in states
    assert f"`examples/{name}`" in (ROOT / "docs/examples.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_commands_of_a_readme_are_ours(name: str) -> None:
    text = (EXAMPLES / name / "README.md").read_text(encoding="utf-8")
    vms = load_project(EXAMPLES / name, cache=False).vms
    for line in "".join(BASH.findall(text)).splitlines():
        words = shlex.split(line.partition(">")[0], comments=True)
        if words[:1] == ["ov"]:
            args = parser().parse_args(split_rest(words[1:])[0])  # ends with 2 when a word is not known
            assert getattr(args, "vm", None) in {None, *vms}


def test_every_distribution_from_its_own_layout(filled: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = copy_of("cloud-images", tmp_path)
    vms = load_project(project, cache=False).vms
    sources = [vm.source for vm in vms.values() if isinstance(vm.source, CloudImageSource)]
    rows = [next(row for row in NEWEST.values() if one.official in {row.name, *row.also}) for one in sources]
    assert sorted(row.name for row in rows) == sorted(row.name for row in NEWEST.values()) and len(vms) == 11
    assert ov(project, "-q", "lock") == 0
    assert len(read_lock(project / "ovtasks.lock")) == 11
    assert ov(project, "-q", "vm", "build", "--locked") == 0
    for vm in vms:
        disk = project / f"output/{vm}/qcow2/disk.qcow2"
        assert json.loads(call("qemu-img", "info", "--output=json", disk).stdout)["virtual-size"] == 20 << 30
        assert disk.with_name("seed.iso").is_file()
    asked = len(filled.requests)
    assert ov(project, "-q", "vm", "build", "--locked") == 0 and len(filled.requests) == asked

    images = {filled.moved.get(path, path) for path in (place(row.source(ARCH)["url"]) for row in NEWEST.values())}
    for path in images:  # somebody changed every one
        data = filled.files[path]
        filled.files[path] = data[:-1] + bytes([data[-1] ^ 1])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    pinned = copy_of("cloud-images", tmp_path / "pinned")
    shutil.copy(project / "ovtasks.lock", pinned)
    for fresh in (pinned, copy_of("cloud-images", tmp_path / "fresh")):
        assert ov(fresh, "-q", "vm", "build", "--continue") != 0
        assert [*fresh.glob("output/*/qcow2/disk.qcow2")] == []


def test_the_guest_mounts_the_folder(filled: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    project = copy_of("dev", tmp_path)
    assert ov(project, "-q", "vm", "build", "dev") == 0
    seed = project / "output/dev/qcow2/seed.iso"
    assert "/src" in call("isoinfo", "-R", "-x", "/user-data", "-i", seed).stdout
    capfd.readouterr()
    for verb, said in (("xml", f"dir='{project}/src'"), ("argv", "vhost-user-fs-pci,")):
        assert ov(project, "vm", verb, "dev") == 0
        assert said in capfd.readouterr().out.replace('"', "'")


@pytest.mark.parametrize("name", ["ci", "cluster"])
def test_ov_init_writes_the_same(name: str, tmp_path: Path) -> None:
    assert ov(tmp_path / "p", "-q", "init", name) == 0
    for path in EXAMPLES.joinpath(name).rglob("*"):
        if path.is_file() and path.name != "README.md":
            made = tmp_path / "p" / path.relative_to(EXAMPLES / name)
            assert made.read_text().endswith(path.read_text())


def test_the_tutorial_shows_the_desktop(tmp_path: Path) -> None:
    shown = FENCE.findall((ROOT / "docs/tutorials/bootc.md").read_text(encoding="utf-8"))
    for name in ("vms.yml", "image.yml", "Containerfile"):
        assert (EXAMPLES / "bootc-desktop" / name).read_text(encoding="utf-8") in shown


def test_nodes_meet_on_their_own_network(filled: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    project = copy_of("cluster", tmp_path)
    assert ov(project, "-q", "vm", "build") == 0
    for number in (1, 2, 3):
        seed = project / f"output/node{number}/qcow2/seed.iso"
        network = yaml.safe_load(call("isoinfo", "-R", "-x", "/network-config", "-i", seed).stdout)
        network = network.get("network", network)
        assert network["ethernets"]["lab"]["addresses"] == [f"10.9.0.{number}/24"]
        mac = f"52:54:00:0b:00:0{number}"
        assert network["ethernets"]["lab"]["match"]["macaddress"] == mac
        capfd.readouterr()
        for verb, bridge in (("xml", "bridge='lab'"), ("argv", "br=lab")):
            assert ov(project, "vm", verb, f"node{number}") == 0
            said = capfd.readouterr().out.replace('"', "'")
            assert bridge in said and mac in said


def test_the_job_builds_and_creates_what_is_pinned(
    filled: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copy_of("ci", tmp_path)
    job = yaml.safe_load((project / ".github/workflows/vm.yml").read_text(encoding="utf-8"))["jobs"]["vm"]
    commands = [shlex.split(step["run"])[1:] for step in job["steps"] if step.get("run", "").startswith("ov ")]
    assert [words[:2] for words in commands] == [["vm", "build"], ["vm", "create"], ["vm", "wait"], ["eval", "live"]]
    for words in commands:
        parser().parse_args(words)
    assert ov(project, "-q", *commands[0]) != 0, "nothing is pinned yet"
    assert ov(project, "-q", "lock") == 0
    assert ov(project, "-q", *commands[0]) == 0
    monkeypatch.setenv("OV_VM_BACKEND", "qemu")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    try:
        assert ov(project, "-q", *commands[1], "--no-start") == 0
        assert (tmp_path / "data/ov/vm/ov-ci").is_dir()
    finally:
        assert ov(project, "-q", "vm", "destroy", "ci", "--disk", "-y") == 0


def test_the_fixture_is_found(tmp_path: Path) -> None:
    project = copy_of("pytest", tmp_path)
    done = attempt(sys.executable, "-m", "pytest", "-q", "--setup-plan", "-p", "no:cacheprovider", cwd=project)
    assert done.returncode == 0 and "SETUP    S vm" in done.stdout, done.stdout
