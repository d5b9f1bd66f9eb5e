"""The change matrix: change one field, and exactly the steps that should run do run; change it back: the same."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ovtasks.graph import plugins
from ovtasks.graph.chains import Graph, StepState
from ovtasks.graph.display import Display
from ovtasks.graph.loader import OvLoader
from ovtasks.project.load import load_project
from tests.support.workbench import ROOT, Workbench, make_image, ran

NOTHING: frozenset[str] = frozenset()
SEED = frozenset({"seed"})
DISK = frozenset({"disk", "seed"})  # a fresh disk is a new instance, so its seed is new too
IMAGE = frozenset({"fetch", "verify"})  # the same bytes: nothing after it runs
ALL = IMAGE | DISK

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPUKNVhYYDLU14NQxYBZrLcAz2dRRzQ8RSYVHxS1fsL3 me\n"
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMGCPpxLbyVvQIePDNhF1gFwKtgBZpZVH1hvN7oG4YFv you\n"
OV_URL = {"strategy": "url", "url": "https://example.org/ov", "checksum": "sha256:" + "0" * 64}

# Field → (another value, the steps that run). Every leaf of the schema that a cloud image VM can have is here.
CHANGES: dict[str, tuple[Any, frozenset[str]]] = {
    "source.kind": (None, NOTHING),  # another kind is another chain: the other tests build those
    "source.url": ("{copy}", IMAGE),
    "source.checksum.type": ("sha256", IMAGE),
    "source.checksum.value": ("{sha256}", IMAGE),
    "source.checksum.url": ("sums.txt", IMAGE),
    "source.checksum.keyring": (None, NOTHING),  # needs a signature: tests/images
    "source.checksum.fingerprints": (None, NOTHING),
    "source.official": (None, NOTHING),  # a name instead of the url: tests/images/test_official.py
    "source.cache": ("{cache}", NOTHING),
    "source.base_user": ("arch", SEED),
    "source.distro": ("fedora", SEED),
    "extends": (None, NOTHING),  # what is inherited decides: tests/graph/test_inherited.py
    "abstract": (None, NOTHING),
    "disk_size": ("2G", DISK),
    "ram": ("2G", NOTHING),
    "cpus": (4, NOTHING),
    "machine": ("pc", NOTHING),
    "firmware": ("uefi-insecure", NOTHING),
    "backend": ("qemu", NOTHING),
    "accel": ("tcg", NOTHING),
    "autostart": (True, NOTHING),
    "network.mode": ("nat", NOTHING),
    "network.model": ("e1000", NOTHING),
    "network.bridge": ("br0", NOTHING),
    "network.network": ("lab", NOTHING),
    "network.dev": ("eth0", NOTHING),
    "network.mac": ("52:54:00:00:00:01", NOTHING),
    "network.port_forwards": (["8080:80"], NOTHING),
    "ssh.user": ("other", SEED),
    "ssh.port": (2299, NOTHING),
    "ssh.port_auto": (True, NOTHING),
    "ssh.key_source": ("{other_key}", SEED),
    "ssh.host_key": ("first_use", NOTHING),
    "ssh.key_injection.smbios": ("disabled", NOTHING),
    "ssh.key_injection.cloud_init": ("disabled", SEED),
    "ssh.key_injection.install": ("disabled", NOTHING),
    "output.compress": ("zstd", DISK),
    "cloud_init.hostname": ("box", SEED),
    "cloud_init.timezone": ("Europe/Berlin", SEED),
    "cloud_init.locale": ("C.UTF-8", SEED),
    "cloud_init.users": ([{"name": "ann"}], SEED),
    "cloud_init.users[].name": ("bob", SEED),
    "cloud_init.users[].sudo": (True, SEED),
    "cloud_init.users[].groups": (["audio"], SEED),
    "cloud_init.users[].shell": ("/bin/zsh", SEED),
    "cloud_init.users[].lock_passwd": (False, SEED),
    "cloud_init.packages": (["vim"], SEED),
    "cloud_init.runcmd": (["true"], SEED),
    "cloud_init.bootcmd": ([["echo", "boot"]], SEED),
    "cloud_init.write_files": ([], SEED),
    "cloud_init.write_files[].path": ("/etc/other", SEED),
    "cloud_init.write_files[].content": ("text", SEED),
    "cloud_init.write_files[].owner": ("nobody", SEED),
    "cloud_init.write_files[].perms": ("0600", SEED),
    "cloud_init.write_files[].encoding": ("b64", SEED),
    "cloud_init.write_files[].append": (True, SEED),
    "cloud_init.write_files[].defer": (True, SEED),
    "cloud_init.network.version": (1, SEED),
    "cloud_init.network.renderer": ("networkd", SEED),
    "cloud_init.network.ethernets": ({"eth0": {"dhcp4": True}}, SEED),
    "cloud_init.network.wifis": ({"wlan0": {"dhcp4": True}}, SEED),
    "cloud_init.network.bonds": ({"bond0": {"interfaces": ["eth0"]}}, SEED),
    "cloud_init.network.bridges": ({"br0": {"interfaces": ["eth0"]}}, SEED),
    "cloud_init.network.vlans": ({"eth0.5": {"id": 5, "link": "eth0"}}, SEED),
    "cloud_init.network.config": ("disabled", SEED),
    "cloud_init.mirrors.apt": (["http://mirror.example.org/debian"], SEED),
    "cloud_init.mirrors.dnf": (["http://mirror.example.org/fedora"], SEED),
    "cloud_init.mirrors.pacman": (["http://mirror.example.org/$repo/os/$arch"], SEED),
    "cloud_init.ov_install.strategy": ("skip", SEED),
    "cloud_init.ov_install.url": ("https://example.org/new", SEED),
    "cloud_init.ov_install.checksum": ("sha256:" + "1" * 64, SEED),
    "cloud_init.extra": ({"package_upgrade": True}, SEED),
    "libvirt": ({"iothreads": 2}, NOTHING),
    "mounts": (["./src:/src"], SEED),
    "mounts[].source": ("./src", NOTHING),
    "mounts[].target": ("/other", SEED),
    "mounts[].read_only": (True, SEED),
    "mounts[].transport": ("9p", NOTHING),
    "snapshots": ([{"name": "fresh"}], NOTHING),
    "snapshots[].name": ("later", NOTHING),
    "snapshots[].description": ("text", NOTHING),
    "snapshots[].mode": ("internal", NOTHING),
    "snapshots[].quiesce": (True, NOTHING),
    "snapshots[].from": ("other", NOTHING),
    "eval": ([], NOTHING),
    "deploy_eval": ([], NOTHING),
}


def leaves(schema: Mapping[str, Any], definitions: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """All field paths that a VM with a cloud image can have."""
    for name, field in schema.get("properties", {}).items():
        if prefix == "" and name == "source":
            yield from leaves(definitions["source_cloud_image"], definitions, "source.")
            continue
        reference = field.get("$ref", "")  # another file's: one field here
        resolved = definitions[reference.rpartition("/")[2]] if reference.startswith("#") else field
        if "properties" in resolved:
            yield from leaves(resolved, definitions, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
            yield from leaves(resolved.get("items", {}), definitions, f"{prefix}{name}[].")


def test_the_table_has_every_field() -> None:
    schema = json.loads((ROOT / "schemas" / "vms.schema.json").read_text(encoding="utf-8"))
    assert sorted(CHANGES) == sorted(set(leaves(schema["$defs"]["vm"], schema["$defs"])))


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the placeholders in the table stand for."""
    folder = tmp_path_factory.mktemp("matrix")
    image, copied = folder / "image.qcow2", folder / "copy.qcow2"
    sha256 = make_image(image)
    copied.write_bytes(image.read_bytes())
    key, other = folder / "id.pub", folder / "other.pub"
    key.write_text(KEY, encoding="utf-8")
    other.write_text(OTHER_KEY, encoding="utf-8")
    (folder / "sums.txt").write_text(f"{sha256}  image.qcow2\n", encoding="utf-8")
    (folder / "image.qcow2.sha256").write_text(f"{sha256}  image.qcow2\n", encoding="utf-8")
    return {
        "image": str(image),
        "copy": str(copied),
        "sha256": sha256,
        "key": str(key),
        "other_key": str(other),
        "cache": str(folder / "cache"),
    }


def base_vm(places: Mapping[str, str]) -> dict[str, Any]:
    return {
        "source": {"kind": "cloud_image", "url": places["image"], "checksum": {"type": "none"}},
        "disk_size": "1G",
        "ssh": {"key_source": places["key"], "user": "me"},
        "cloud_init": {
            "users": [{"name": "carl"}],
            "write_files": [{"path": "/etc/some", "content": "aGVsbG8="}],
            "network": {"ethernets": {"eth1": {"dhcp4": True}}},
            "ov_install": dict(OV_URL),
        },
        "mounts": [{"source": "./here", "target": "/here"}],
        "snapshots": [{"name": "first"}],
    }


def changed(vm: dict[str, Any], path: str, value: Any, places: Mapping[str, str]) -> dict[str, Any]:
    """A copy of ``vm`` with one field set, and what must go with it to be valid."""
    vm = copy.deepcopy(vm)
    if isinstance(value, str) and value.startswith("{"):
        value = value.format(**places)
    node: Any = vm
    *folders, last = path.replace("[]", ".0").split(".")
    for folder in folders:
        node = node[int(folder)] if isinstance(node, list) else node.setdefault(folder, {})
    node[last] = value
    match path:
        case "source.checksum.value" | "source.checksum.url":
            vm["source"]["checksum"]["type"] = "sha256"
        case "network.bridge" | "network.network" | "network.dev":
            vm["network"]["mode"] = {"network.dev": "direct"}.get(path, last)
        case "cloud_init.network.version" | "cloud_init.network.config":
            vm["cloud_init"]["network"] = {
                last: value,
                **({"config": "disabled"} if last == "version" else {"version": 1}),
            }
        case "cloud_init.ov_install.strategy":
            vm["cloud_init"]["ov_install"] = {"strategy": value}
        case _:
            pass
    return vm


class Project:
    """One project, planned and built inside this process: 150 builds take seconds."""

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench

    def plan(self) -> tuple[set[str], set[str]]:
        """The verbs of the steps that will and that may run."""
        graph = Graph(load_project(self.bench.root, kinds=plugins.schema, cache=False))
        statuses = graph.status(graph.chain("a"))
        run, maybe = ({s.step.verb for s in statuses if s.state is state} for state in (StepState.RUN, StepState.MAYBE))
        return run, maybe

    def build(self) -> set[str]:
        """Build; return the verbs of the steps that ran."""
        from doit.doit_cmd import DoitMain

        project = load_project(self.bench.root, kinds=plugins.schema, cache=False)
        report = io.StringIO()
        display = Display(stream=io.StringIO())
        code = DoitMain(OvLoader(display, project, report), config_filenames=()).run(["run", "build:a"])
        assert code == 0, (report.getvalue(), display.failures)
        return {name.partition(":")[0] for name in ran(report.getvalue())}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, places: dict[str, str]) -> Project:
    root = tmp_path_factory.mktemp("project")
    made = Project(Workbench(root))
    made.bench.write({"a": base_vm(places)})
    return made


@pytest.mark.parametrize("path", [path for path, (value, _) in CHANGES.items() if value is not None])
def test_change_and_change_back(project: Project, places: dict[str, str], path: str) -> None:
    value, expected = CHANGES[path]
    before = base_vm(places)
    project.bench.write({"a": before})
    project.build()
    project.bench.write({"a": changed(before, path, value, places)})
    run, maybe = project.plan()
    assert run <= expected, f"{path}: planned {run}"
    assert expected <= run | maybe
    assert project.build() == expected
    assert project.build() == NOTHING
    project.bench.write({"a": before})
    assert project.build() == expected - IMAGE  # steps named by content are still fresh
    assert project.build() == NOTHING


def test_kernel_of_the_matrix_another_image(project: Project, places: dict[str, str], tmp_path: Path) -> None:
    """Other bytes under another URL: everything runs."""
    other = tmp_path / "other.qcow2"
    make_image(other, mark=b"other")
    project.bench.write({"a": base_vm(places)})
    project.build()
    vm = base_vm(places)
    vm["source"]["url"] = str(other)
    project.bench.write({"a": vm})
    assert project.build() == ALL
