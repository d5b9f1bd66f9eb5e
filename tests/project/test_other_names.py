"""Files of other versions of the format: other names of keys, sections of no VM, and what they rely on."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.cli.main import run
from ovtasks.errors import EXIT_DONE, InputError
from ovtasks.machine.devices.channel import AGENT
from ovtasks.project.load import check, load_project
from ovtasks.project.locate import locate
from ovtasks.project.model import BootcSource, BootstrapSource, CloudImageSource
from ovtasks.values.sizes import GiB
from tests.support.projects import CLOUD, vm_of, write

SINGULAR = """
vm:
  a:
    source: {kind: bootstrap, package: [git], kernel_arg: quiet}
    disk_size: 2G
    cpu: 3
    snapshot: [{name: first}]
    tests: [{file: /etc/x}]
    network: {port_forward: ['8080:80']}
    cloud_init:
      package: [curl]
      user: [{name: me, group: [wheel]}]
      write_file: [{path: /x}]
      network: {version: 2, ethernets: {e: {user: x}}}
      extra: {package: [kept]}
    libvirt:
      device:
        channel: [{type: spicevmc, name: com.redhat.spice.0}]
        disk: [{source: {file: /x}, target: {dev: vdb}}]
"""


@pytest.mark.parametrize(("root", "file"), [("vm", "vm.yml"), ("vms", "vms.yml"), ("vm", "overthink.yml")])
def test_every_name_is_ours_after_loading(tmp_path: Path, root: str, file: str) -> None:
    write(tmp_path, SINGULAR.replace("vm:", f"{root}:", 1), file)
    vm = load_project(tmp_path, cache=False).vms["a"]
    assert isinstance(vm.source, BootstrapSource)
    assert (vm.source.packages, vm.source.kernel_args, vm.cpus) == (("git",), ("quiet",), 3)
    assert ([one.name for one in vm.snapshots], len(vm.eval)) == (["first"], 1)
    assert [one.host for one in vm.network.port_forwards] == [8080]
    assert vm.cloud_init is not None and vm.cloud_init.packages == ("curl",)
    assert [(one.name, one.groups) for one in vm.cloud_init.users] == [("me", ("wheel",))]
    assert [one.path for one in vm.cloud_init.write_files] == ["/x"]
    assert vm.cloud_init.extra == {"package": ["kept"]}  # cloud-init's own words stay
    assert vm.cloud_init.network == {"version": 2, "ethernets": {"e": {"user": "x"}}}
    assert {*vm.libvirt} == {"devices"} and {*vm.libvirt["devices"]} == {"channels", "disks"}  # type: ignore[misc]
    line = next(n for n, text in enumerate(SINGULAR.splitlines(), 1) if "disk:" in text)
    assert locate(vm, ("libvirt", "devices", "disks", 0, "source")).line == line


def test_deploy_yml_holds_vms_under_both_roots(tmp_path: Path) -> None:
    write(tmp_path, f"vm: {{a: {{source: {CLOUD}, cpu: 3}}}}\nvms: {{b: {{source: {CLOUD}, cpu: 4}}}}", "deploy.yml")
    write(tmp_path, f"vms: {{c: {{source: {CLOUD}}}}}")
    found = load_project(tmp_path, cache=False).vms
    assert {name: vm.cpus for name, vm in found.items()} == {"a": 3, "b": 4, "c": 2}


def test_an_error_calls_a_key_as_the_file_does(tmp_path: Path) -> None:
    write(tmp_path, f"vms: {{a: {{source: {CLOUD}, libvirt: {{device: {{channel: [{{name: a.b, typ: unix}}]}}}}}}}}")
    (error, *_) = check((), tmp_path).errors
    assert "unknown key 'typ' in vms.a.libvirt.device.channel[0]" in error.message


SECTIONS = [
    "version",
    "defaults",
    "builders",
    "builder",
    "distros",
    "distro",
    "inits",
    "init",
    "ai",
    "recipe",
    "score",
    "k8s",
    "pod",
    "local",
    "host",
]


@pytest.mark.parametrize("file", ["vms.yml", "vm.yml", "overthink.yml", "deploy.yml", "image.yml"])
def test_sections_of_no_vm_are_noted(tmp_path: Path, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    if file not in {"vms.yml", "overthink.yml"}:
        write(tmp_path, f"vms: {{a: {{source: {CLOUD}}}}}")
    sections = [name for name in SECTIONS if name != "defaults" or file not in {"vms.yml", "vm.yml"}]  # test_inherit.py
    roots = f"vms: {{b: {{source: {CLOUD}}}}}\n" if file != "image.yml" else "image: {}\n"
    write(tmp_path, roots + "".join(f"{name}: {{x: 1}}\n" for name in sections), file)
    assert [named.name for named in check((), tmp_path).ignored] == sections
    assert run(["-C", str(tmp_path), "validate"]) == EXIT_DONE
    said = capsys.readouterr()
    (note,) = said.err.splitlines()
    assert all(f" {name}," in note or f" {name} (" in note for name in sections) and "validate -v" in note
    assert "valid" in said.out


def test_a_typo_is_no_section(tmp_path: Path) -> None:
    write(tmp_path, f"vms: {{a: {{source: {CLOUD}}}}}\nrecipes: {{}}\n")
    (error,) = check((), tmp_path).errors
    assert "unknown key 'recipes'" in error.message and "did you mean 'recipe'?" in (error.hint or "")


def test_files_of_other_kinds_need_not_exist(tmp_path: Path) -> None:
    write(tmp_path, "include: [pod.yml, k8s.yml, local.yml, vm.yml]", "overthink.yml")
    write(tmp_path, f"vm: {{a: {{source: {CLOUD}}}}}", "vm.yml")
    found = check((), tmp_path)
    assert not found.errors and {"k8s.yml", "local.yml"} <= {named.name for named in found.ignored}


def test_defaults_that_real_files_rely_on(tmp_path: Path) -> None:
    vm = vm_of(tmp_path, "", "{kind: bootc, image: quay.io/a/b}")
    assert isinstance(vm.source, BootcSource) and vm.disk_size == 10 * GiB
    vm = vm_of(tmp_path, "", '{kind: cloud_image, url: https://example.org/a, checksum: {type: sha256, value: ""}}')
    assert isinstance(vm.source, CloudImageSource) and vm.source.checksum.value is None
    vm = vm_of(tmp_path, "disk_size: 2G", "{kind: bootstrap, builder: debootstrap, builder_image: some-builder}")
    assert isinstance(vm.source, BootstrapSource) and vm.source.builder == "debootstrap"
    assert [named.name for named in check((), tmp_path).ignored] == ["builder_image"]
    with pytest.raises(InputError, match=r"root_size 20G is more than disk_size 10G"):
        vm_of(tmp_path, "", "{kind: bootc, image: quay.io/a/b, root_size: 20G}")


@pytest.mark.parametrize("path", ["/run/qga.sock", "{{.VmStateDir}}/qga.sock"])
def test_the_guest_agents_channel_is_ours(tmp_path: Path, path: str) -> None:
    channel = f"{{type: unix, name: {AGENT}, path: '{path}'}}"
    write(tmp_path, f"vms: {{a: {{source: {CLOUD}, libvirt: {{devices: {{channels: [{channel}]}}}}}}}}")
    found = check((), tmp_path)
    assert not found.errors
    assert [named.name for named in found.ignored] == ["path of the guest agent's channel"]
