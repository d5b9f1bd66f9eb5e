"""From the checked mapping to dataclasses: defaults, and every field reachable from YAML."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ovtasks.errors import Where
from ovtasks.project import model
from ovtasks.project.bootstrap_rules import OF_PACSTRAP
from ovtasks.project.load import load_project
from ovtasks.project.model import Injection, VmSpec
from ovtasks.project.schema import KINDS, source_schema, vm_schema
from ovtasks.values.firmware import Firmware
from ovtasks.values.ports import PortForward
from ovtasks.values.sizes import GiB, MiB
from tests.support.fields import MODES, VALUES, put
from tests.support.projects import CLOUD, vm_of, write

SOURCES: dict[str, dict[str, Any]] = {
    "cloud_image": {"kind": "cloud_image", "url": "https://example.org/a.qcow2"},
    "bootc": {"kind": "bootc", "image": "a"},
    "clone": {"kind": "clone", "from_vm": "b", "from_snapshot": "s"},
    "imported": {"kind": "imported", "libvirt_name": "x", "disk_path": "/x.img", "disk_format": "qcow2"},
    "bootstrap": {"kind": "bootstrap"},
}
SOURCE_VALUES: dict[str, Any] = {
    "url": "https://example.org/b.qcow2",
    "official": "fedora:44",
    "checksum.type": "sha512",
    "checksum.value": "A" * 64,
    "checksum.keyring": "keys.gpg",
    "checksum.url": "SHA256SUMS",
    "checksum.fingerprints": ["A" * 40],
    "cache": "images",
    "base_user": "arch",
    "distro": "ubuntu",
    "image": "b",
    "transport": "oci",
    "rootfs": "xfs",
    "root_size": "10G",
    "kernel_args": "quiet  ro",
    "target_imgref": "quay.io/me/os:stable",
    "bootloader": "grub",
    "composefs": True,
    "from_vm": "c",
    "from_snapshot": "t",
    "cloud_init_clean": True,
    "libvirt_name": "y",
    "disk_path": "/y.img",
    "nvram_path": "/y.nvram",
    "disk_format": "raw",
    "adopted_at": "2026-01-01",
    "last_synced_at": "2026-01-02",
    "suite": "trixie",
    "packages": ["vim"],
    "builder_image": "debian:13",
    "bootstrap_arch": "amd64",
    "bootstrap_variant": "important",
    "mirror": "https://example.org/$repo/os/$arch",
    "repositories": {"own": "https://example.org/own"},
    "keyring": ["keys.gpg"],
}
# Without an effect of their own: port_auto says what is so anyhow; builder has one value; bridge needs its mode.
SILENT = {"ssh.port_auto": True, "builder": "mmdebstrap", "extends": None, "abstract": None}


def _fields(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """The dotted paths of all leaves that the schema declares."""
    for key, value in schema.get("properties", {}).items():
        place = f"{path}.{key}" if path else key
        if place in {"source", "kind"}:
            continue
        if value.get("properties"):
            yield from _fields(value, place)
            continue
        yield place
        items = value.get("items", {})
        if items.get("properties"):
            yield from _fields(items, place + "[]")


def _build(folder: Path, data: dict[str, Any]) -> VmSpec:
    other = {"source": SOURCES["cloud_image"]}
    write(folder, yaml.safe_dump({"vms": {"a": data, "b": other, "c": other}}))
    return load_project(folder, cache=False).vms["a"]


def _differences(old: Any, new: Any) -> Iterator[str]:
    """The dataclass fields in which two values differ, as ``Class.field``."""
    if isinstance(old, tuple) and isinstance(new, tuple) and len(old) == len(new) == 1:
        yield from _differences(old[0], new[0])
    elif dataclasses.is_dataclass(old) and type(old) is type(new):
        for field in dataclasses.fields(old):
            if field.name in {"where", "declared", "fields"}:
                continue
            before, after = getattr(old, field.name), getattr(new, field.name)
            if before != after:
                yield f"{type(old).__name__}.{field.name}"
                yield from _differences(before, after)


@pytest.fixture(scope="module")
def reached(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Every path of the schema → the dataclass fields that it changes."""
    folder = tmp_path_factory.mktemp("fields")
    found: dict[str, set[str]] = {}
    for path, value in {**VALUES, **MODES}.items():
        base: dict[str, Any] = {"source": SOURCES["cloud_image"]}
        if "[]" in path:
            base = put(base, path.partition("[]")[0], VALUES[path.partition("[]")[0]])
        elif path.startswith("cloud_init."):
            base = {**base, "cloud_init": {}}
        changed = {**base, "network": value} if path in MODES else put(base, path, value)
        found[path] = {*_differences(_build(folder, base), _build(folder, changed))}
    for kind, source in SOURCES.items():
        for path in _fields(source_schema(kind)):
            if path in SILENT:
                continue
            plain = {"kind": kind, "distro": "archlinux"} if path in OF_PACSTRAP else source
            if path == "checksum.fingerprints":
                plain = put(plain, "checksum.keyring", "keys.gpg")
            base = {"source": plain, "disk_size": "20G", "firmware": "uefi-insecure"}
            changed = {**base, "source": put(plain, path, SOURCE_VALUES[path])}
            found[f"{kind}.{path}"] = {*_differences(_build(folder, base), _build(folder, changed))}
    return found


def test_every_schema_property_is_tried() -> None:
    # the libvirt: block and checks are kept as they are written; tests/machine and tests/layers try all that they have
    kept = ("libvirt.", "eval[].", "deploy_eval[].")
    fields = {path for path in _fields(vm_schema()) if not path.startswith(kept)} | {"libvirt"}
    assert fields - {*SILENT} == {*VALUES, *MODES}
    assert {path for kind in KINDS for path in _fields(source_schema(kind))} - {*SILENT} == {*SOURCE_VALUES}


def test_every_schema_property_changes_the_spec(reached: dict[str, set[str]]) -> None:
    assert [path for path, fields in reached.items() if not fields] == []


def test_every_dataclass_field_is_reachable(reached: dict[str, set[str]]) -> None:
    classes = [value for value in vars(model).values() if isinstance(value, type) and dataclasses.is_dataclass(value)]
    wanted = {
        f"{cls.__name__}.{field.name}"
        for cls in classes
        if cls not in {model.ImageSpec, model.Project, model.Source, Where}
        for field in dataclasses.fields(cls)
    }
    changed = {field for fields in reached.values() for field in fields}
    # An item of a list is a new dataclass; what only tells VMs apart or has one value is not tried here.
    missing = {field for field in wanted - changed if not field.endswith((".kind", ".fields", ".declared", ".where"))}
    forwards = {f"PortForward.{field.name}" for field in dataclasses.fields(PortForward)}
    # layers come from other files: test_layers.py
    others = {"VmSpec.name", "VmSpec.source", "VmSpec.layers", "VmSpec.placed", "BootstrapSource.builder"}
    others |= {"VmSpec.bases"}  # other entries: test_inherit.py
    assert missing - forwards == others - changed


def test_a_libvirt_network_by_its_older_spelling(tmp_path: Path) -> None:
    for spelling in ("network: lab", "bridge: lab"):
        network = vm_of(tmp_path, f"network: {{mode: nat, {spelling}}}").network
        assert (network.network, network.bridge) == ("lab", None)


def test_silent_fields_are_accepted(tmp_path: Path) -> None:
    assert vm_of(tmp_path, "ssh: {port_auto: true}").ssh.port is None
    assert vm_of(tmp_path, "disk_size: 2G", "{kind: bootstrap, builder: mmdebstrap}").disk_size == 2 * GiB


def test_defaults(tmp_path: Path) -> None:
    vm = vm_of(tmp_path, "")
    assert (vm.ram, vm.cpus, vm.disk_size, vm.machine) == (4 * GiB, 2, None, None)
    assert (vm.firmware, vm.backend, vm.accel, vm.autostart) == (Firmware.BIOS, "auto", "auto", False)
    assert vm.cloud_init is None
    assert (vm.ssh.port, vm.ssh.user, vm.ssh.key_source) == (None, None, "auto")
    assert (vm.ssh.smbios, vm.ssh.cloud_init) == (Injection.AUTO, Injection.AUTO)
    assert vm.domain == "ov-a"
    assert vm.where == Where(str(tmp_path / "vms.yml"), 1, 7)


def test_sizes_count_in_mib_without_a_unit(tmp_path: Path) -> None:
    vm = vm_of(tmp_path, "disk_size: 2048, ram: '512'")
    assert (vm.disk_size, vm.ram) == (2048 * MiB, 512 * MiB)


@pytest.mark.parametrize(
    ("fields", "source", "user"),
    [
        ("ssh: {user: x}", "{kind: bootc, image: i, base_user: y}", "x"),
        ("", "{kind: bootc, image: i, base_user: y}", "y"),
        ("", "{kind: bootc, image: i}", "root"),
        ("", "{kind: cloud_image, url: /x, base_user: arch}", "arch"),
        ("", CLOUD, None),
    ],
)
def test_ssh_user(tmp_path: Path, fields: str, source: str, user: str | None) -> None:
    assert vm_of(tmp_path, ", ".join(x for x in ("disk_size: 9G", fields) if x), source).ssh.user == user


@pytest.mark.parametrize(
    ("fields", "source", "firmware"),
    [
        ("machine: virt", CLOUD, Firmware.UEFI_INSECURE),
        ("disk_size: 2G", "{kind: bootstrap, bootstrap_arch: arm64}", Firmware.UEFI_INSECURE),
        ("disk_size: 2G", "{kind: bootstrap, bootstrap_arch: amd64}", Firmware.BIOS),
        ("machine: virt, firmware: uefi-secure", CLOUD, Firmware.UEFI_SECURE),
    ],
)
def test_firmware_default(tmp_path: Path, fields: str, source: str, firmware: Firmware) -> None:
    assert vm_of(tmp_path, fields, source).firmware is firmware


def test_port_forwards(tmp_path: Path) -> None:
    vm = vm_of(tmp_path, "network: {port_forwards: ['80:81', '53:54/udp', '0.0.0.0:1:2', '[::1]:3:4/tcp']}")
    assert vm.network.port_forwards == (
        PortForward(80, 81, "tcp", "127.0.0.1"),
        PortForward(53, 54, "udp", "127.0.0.1"),
        PortForward(1, 2, "tcp", "0.0.0.0"),
        PortForward(3, 4, "tcp", "::1"),
    )


def test_cloud_init_as_written(tmp_path: Path) -> None:
    vm = vm_of(tmp_path, 'cloud_init: {runcmd: [a b, [c, d]], extra: "#cloud-config\\nswap: {size: 1G}\\n"}')
    assert vm.cloud_init is not None
    assert vm.cloud_init.runcmd == ("a b", ("c", "d"))
    assert vm.cloud_init.extra == {"swap": {"size": "1G"}}
    empty = vm_of(tmp_path, "cloud_init: {}").cloud_init
    assert empty == model.CloudInit()


def test_kernel_args_as_text_or_list(tmp_path: Path) -> None:
    for written in ("'a=1  b'", "[a=1, b]"):
        source = vm_of(tmp_path, "disk_size: 2G", f"{{kind: bootstrap, kernel_args: {written}}}").source
        assert isinstance(source, model.BootstrapSource)
        assert source.kernel_args == ("a=1", "b")


def test_paths_are_relative_to_the_declaring_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OV_TEST_KEYS", "/keys")
    monkeypatch.setenv("HOME", "/home/me")
    write(tmp_path, "includes: [sub/vms.yml]", "overthink.yml")
    source = "{kind: cloud_image, url: /x, cache: ../c, checksum: {keyring: '${OV_TEST_KEYS}/k.gpg'}}"
    text = f"vms:\n  a: {{source: {source}, ssh: {{key_source: ./k.pub}}}}\n"
    text += f"  b: {{source: {CLOUD}, ssh: {{key_source: ~/k}}}}\n"
    write(tmp_path, text, "sub/vms.yml")
    vms = load_project(tmp_path, cache=False).vms
    found = vms["a"].source
    assert isinstance(found, model.CloudImageSource)
    assert found.cache == tmp_path / "c"
    assert found.checksum.keyring == Path("/keys/k.gpg")
    assert vms["a"].ssh.key_source == str(tmp_path / "sub/k.pub")
    assert vms["b"].ssh.key_source == "/home/me/k"
    assert found.fields["cache"] == "../c"  # as written


def test_nothing_else_is_expanded(tmp_path: Path) -> None:
    vm = vm_of(
        tmp_path,
        "cloud_init: {runcmd: ['echo ${HOME} ~']}",
        "{kind: cloud_image, url: 'https://example.org/${HOME}/~x'}",
    )
    assert isinstance(vm.source, model.CloudImageSource)
    assert vm.source.url == "https://example.org/${HOME}/~x"
    assert vm.cloud_init is not None
    assert vm.cloud_init.runcmd == ("echo ${HOME} ~",)


def test_digest_and_mac_are_lower_case(tmp_path: Path) -> None:
    source = f"{{kind: cloud_image, url: /x, checksum: {{value: {'AB' * 32}}}}}"
    vm = vm_of(tmp_path, "network: {mac: '52:54:00:AA:BB:CC'}", source)
    assert isinstance(vm.source, model.CloudImageSource)
    assert vm.source.checksum.value == "ab" * 32
    assert vm.network.mac == "52:54:00:aa:bb:cc"
