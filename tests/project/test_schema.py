"""The schemas themselves, and every violation in human words at its place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ovtasks.errors import EXIT_INPUT, OvError
from ovtasks.project.load import check, load_project
from ovtasks.project.model import Source
from ovtasks.project.schema import inlined, schema_path, schema_text
from tests.support.projects import CLOUD, errors_of, one, place, vm_of, write

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ("vms", "image", "libvirt", "overthink", "layer", "deploy", "output")


def _schemas(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every subschema of a property, by its dotted path."""
    if isinstance(schema, dict):
        for key, value in schema.get("properties", {}).items():
            yield f"{path}.{key}", value
        for key, value in schema.items():
            yield from _schemas(value, f"{path}.{key}" if key != "properties" else path)
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            yield from _schemas(value, f"{path}[{index}]")


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_valid_and_lie_where_editors_look(name: str) -> None:
    Draft202012Validator.check_schema(json.loads(schema_text(name)))
    assert schema_path(name) == ROOT / "schemas" / f"{name}.schema.json"
    assert "$ref" not in json.dumps(inlined(name))


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_property_has_a_description(name: str) -> None:
    missing = [
        path
        for path, schema in _schemas(json.loads(schema_text(name)))
        if "$ref" not in schema and "description" not in schema and ".if" not in path
    ]
    assert missing == []


def test_every_mapping_is_closed_or_says_that_it_is_open() -> None:
    # What is passed on to other programs as it is: checks, cloud-init's, build arguments.
    free = {"eval", "deploy_eval", "extra", "ethernets", "wifis", "bonds", "bridges", "vlans", "config", "build_args"}
    schema = json.loads(schema_text("vms"))["$defs"] | json.loads(schema_text("image"))["$defs"]
    for path, part in _schemas(schema):
        if "object" in part.get("type", ()) and not free & {*path.replace("[", ".").split(".")}:
            closed = part.get("additionalProperties") is False or "allOf" in part or "$ref" in part
            assert closed, path


def test_schema_says_what_a_bare_size_means() -> None:
    for path, part in _schemas(json.loads(schema_text("vms"))):
        if path.endswith(("disk_size", ".ram", "root_size")):
            assert "counts in MiB" in part["description"]


def test_samples_name_their_schema_and_are_valid() -> None:
    checked = check((), ROOT)
    assert [str(e) for e in checked.errors] == []
    assert {"demo", "arch", "debian", "ubuntu", "fedora", "centos", "selkies-desktop-bootc-bootc"} <= {*checked.names}
    assert checked.image_names == ("selkies-desktop-bootc",)
    for name in ("vms", "image"):
        first = (ROOT / f"{name}.yml").read_text().splitlines()[0]
        assert first == f"# yaml-language-server: $schema=schemas/{name}.schema.json"


@pytest.mark.parametrize("name", ["vms", "image"])
def test_samples_are_valid_for_an_editor_too(name: str) -> None:
    from ovtasks.host.yamlfile import read_yaml

    (document,) = read_yaml(ROOT / f"{name}.yml", name)
    assert list(Draft202012Validator(inlined(name)).iter_errors(document.data)) == []


def _vm(fields: str, source: str = CLOUD) -> str:
    return f"vms:\n  a:\n    source: {source}\n    {fields}\n"


# fields of VM a (line 4, from column 5), message, hint, line, column
VM_ERRORS = [
    ("disksize: 20G", "unknown key 'disksize' in vms.a", "did you mean 'disk_size'?", 4, 5),
    ("disk-size: 20G", "unknown key 'disk-size' in vms.a", "did you mean 'disk_size'?", 4, 5),
    ("memory: 2G", "unknown key 'memory'", "did you mean 'ram'?", 4, 5),
    ("cpu: 2\n    cpus: 2", "'cpus' and 'cpu' mean the same", "make one of the two", 5, 5),
    ("port_forwards: []", "unknown key 'port_forwards'", "belongs under network:", 4, 5),
    ("cloud_init: {network: {network: {version: 2}}}", "unknown key 'network'", "stands around it already", 4, 28),
    ("ssh: {ssh: {port: 22}}", "unknown key 'ssh'", "stands around it already", 4, 11),
    ("url: x", "unknown key 'url'", "belongs under source:", 4, 5),
    ("smbios: auto", "unknown key 'smbios'", "belongs under ssh.key_injection:", 4, 5),
    ("disposable: true", "unknown key 'disposable'", "deploy.yml", 4, 5),
    ("qemu_args: []", "unknown key 'qemu_args'", "no way", 4, 5),
    ("zzz: 1", "unknown key 'zzz'", "known keys: abstract, accel, autostart", 4, 5),
    ("'': 1", "unknown key ''", "known keys", 4, 5),
    ("no: 1", "unknown key 'no'", "known keys", 4, 5),
    ("network: {modus: user}", "unknown key 'modus' in vms.a.network", "'mode'", 4, 15),
    ("cloud_init: {users: [{nam: x, name: y}]}", "unknown key 'nam' in vms.a.cloud_init.users[0]", "'name'", 4, 27),
    ("cloud_init: {write_files: [{path: /x, permissions: 0644}]}", "'permissions'", "did you mean 'perms'?", 4, 43),
    ("cloud_init: {growpart: {}}", "unknown key 'growpart' in vms.a.cloud_init", "known keys", 4, 18),
    ("firmware: uefi", "vms.a.firmware must be one of bios, uefi-insecure, uefi-secure, not 'uefi'", "uefi-", 4, 15),
    ("firmware: BIOS", "not 'BIOS'", "did you mean 'bios'?", 4, 15),
    ("firmware: zzz", "must be one of", None, 4, 15),
    ("network: {mode: usr}", "must be one of user, bridge, nat, network, direct, not 'usr'", "'user'", 4, 21),
    ("backend: kvm", "must be one of auto, libvirt, qemu", None, 4, 14),
    ("accel: hvf", "must be one of auto, kvm, tcg", None, 4, 12),
    ("ssh: {key_injection: {smbios: 1}}", "must be one of auto, enabled, disabled, not '1'", None, 4, 35),
    ("cpus: four", "vms.a.cpus must be a whole number, not 'four'", "virtual processors", 4, 11),
    ("cpus: '4'", "must be a whole number, not the text '4'", "without quotes", 4, 11),
    ("cpus: 2.0", "must be a whole number, not 2.0", None, 4, 11),
    ("cpus: true", "must be a whole number, not true", None, 4, 11),
    ("cpus: 0", "is 0, but must be at least 1", None, 4, 11),
    ("cpus: 5000", "is 5000, but must be at most 4096", None, 4, 11),
    ("ssh: {port: 65536}", "is 65536, but must be at most 65535", None, 4, 17),
    ("ssh: {port: -1}", "is -1, but must be at least 0", None, 4, 17),
    ("autostart: maybe", "must be true or false, not 'maybe'", "libvirt only", 4, 16),
    ("network: user", "vms.a.network must be a mapping, not 'user'", "write network: {mode: user}", 4, 14),
    ("network: br0", "vms.a.network must be a mapping, not 'br0'", "network interface", 4, 14),
    ("snapshots: {a: 1}", "must be a list, not a mapping", "a hyphen before it", 4, 16),
    ("disk_size: [20]", "must be text or a whole number or a number, not a list", "20G", 4, 16),
    ("machine: z390", "'z390' is not a machine type", "q35", 4, 14),
    ("cloud_init: {packages: [~]}", "packages[0] must be text, not nothing", None, 4, 29),
    ("cloud_init: {packages: ['']}", "must not be empty", None, 4, 29),
    ("cloud_init: {packages: {a: b}}", "must be a list, not a mapping", None, 4, 28),
    ("cloud_init: {runcmd: [{a: b}]}", "must be text or a list, not a mapping", None, 4, 27),
    ("cloud_init: {runcmd: [[]]}", "must not be empty", None, 4, 27),
    ("cloud_init: {users: [{sudo: true}]}", "'name' is missing in vms.a.cloud_init.users[0]", "account", 4, 26),
    ("cloud_init: {users: [{name: ''}]}", "'' is not a user name", None, 4, 33),
    ("cloud_init: {write_files: [{content: x}]}", "'path' is missing", "absolute", 4, 32),
    ("cloud_init: {write_files: [{path: etc/x}]}", "must be an absolute path", None, 4, 39),
    ("cloud_init: {write_files: [{path: /x, perms: rw}]}", "'rw' is not an octal mode", "0644", 4, 50),
    ("cloud_init: {write_files: [{path: /x, encoding: rot13}]}", "must be one of b64, gz", None, 4, 53),
    ("cloud_init: {hostname: a_b}", "'a_b' is not a host name", None, 4, 28),
    ('cloud_init: {hostname: "a\\n"}', "is not a host name", None, 4, 28),
    ('ssh: {user: "root\\n"}', "is not a user name", None, 4, 17),
    ("cloud_init: {ov_install: {checksum: 'md5:1'}}", "is not a checksum", None, 4, 41),
    ("cloud_init: {ov_install: {strategy: ftp}}", "must be one of auto, scp, url, skip", None, 4, 41),
    ("cloud_init: {extra: 5}", "cloud_init.extra must be one YAML mapping", "mapping", 4, 25),
    ("cloud_init: {extra: [a]}", "must be a mapping or text, not a list", None, 4, 25),
    ("cloud_init: {network: {version: 3}}", "must be one of 1, 2", None, 4, 37),
    ("cloud_init: {mirrors: {apt: [x]}}", "'x' is not a URL", None, 4, 34),
    ("snapshots: [{mode: internal}]", "'name' is missing in vms.a.snapshots[0]", None, 4, 17),
    ("snapshots: [{name: ''}]", "'' is not a snapshot name", None, 4, 24),
    ("snapshots: [{name: x, mode: fast}]", "must be one of external, internal", None, 4, 33),
    ("libvirt: 5", "must be a mapping, not 5", "create", 4, 14),
    ("eval: [x]", "must be a mapping, not 'x'", None, 4, 12),
]


@pytest.mark.parametrize(("fields", "message", "hint", "line", "column"), VM_ERRORS)
def test_vm_errors(tmp_path: Path, fields: str, message: str, hint: str | None, line: int, column: int) -> None:
    error = one(errors_of(tmp_path, _vm(fields)))
    assert message in error.message
    assert hint is None or hint in (error.hint or "")
    assert place(error) == ("vms.yml", line, column)
    assert error.exit_code == EXIT_INPUT


# the source of a VM (from line 3, column 13), message, hint, column
SOURCE_ERRORS = [
    ("{}", "'kind' is missing in vms.a.source", "cloud_image, bootc", 5),
    ("{kind: cloudimage}", "not 'cloudimage'", "did you mean 'cloud_image'?", 20),
    ("{kind: zzz}", "must be one of cloud_image, bootc, clone, imported, bootstrap, not 'zzz'", None, 20),
    ("{kind: cloud_image}", "'url' is missing in vms.a.source", "url: The address of the image", 5),
    ("{kind: bootc}", "'image' is missing", "container image", 5),
    ("{kind: clone, from_snapshot: s}", "'from_vm' is missing", None, 5),
    ("{kind: imported, libvirt_name: x, disk_path: /x}", "'disk_format' is missing", None, 5),
    ("{kind: bootc, image: x, url: y}", "'url' belongs to source.kind cloud_image, not bootc", "remove it", 37),
    ("{kind: bootc, image: x, checksum: {}}", "'checksum' belongs to source.kind cloud_image, not bootc", None, 37),
    ("{kind: bootc, image: x, cache: y}", "belongs to source.kind cloud_image", None, 37),
    ("{kind: cloud_image, url: /x, rootfs: xfs}", "'rootfs' belongs to source.kind bootc or bootstrap", None, 42),
    ("{kind: cloud_image, url: /x, from_vm: y}", "'from_vm' belongs to source.kind clone", None, 42),
    ("{kind: imported, libvirt_name: x, disk_path: /x, disk_format: raw, from_vm: y}", "kind clone", None, 80),
    ("{kind: bootstrap, image: x}", "'image' belongs to source.kind bootc, not bootstrap", None, 31),
    ("{kind: cloud_image, url: /x, ulr: y}", "unknown key 'ulr'", "'url'", 42),
    ("{kind: bootc, image: x, transport: http}", "registry, containers-storage, oci, oci-archive", None, 48),
    ("{kind: bootc, image: x, rootfs: zfs}", "must be one of ext4, xfs, btrfs", None, 45),
    ("{kind: bootc, image: x, bootloader: grub2}", "must be one of grub, systemd, none", "'grub'", 49),
    ("{kind: bootc, image: x, composefs: maybe}", "must be one of auto, true, false, not 'maybe'", None, 48),
    ("{kind: bootc, image: a b}", "is not an image reference", None, 34),
    ("{kind: imported, libvirt_name: x, disk_path: /x, disk_format: vdi}", "one of qcow2, raw", None, 75),
    ("{kind: bootstrap, distro: arch}", "must be one of debian, ubuntu", None, 39),
    ("{kind: bootstrap, builder: yum}", "must be one of mmdebstrap", None, 40),
    ("{kind: bootstrap, bootstrap_arch: x86_64}", "must be one of amd64", None, 47),
    ("{kind: bootstrap, packages: [A b]}", "is not a Debian package name", None, 42),
    ("{kind: cloud_image, url: /x, checksum: {type: md5}}", "must be one of sha256, sha512, none", None, 59),
    ("{kind: cloud_image, url: /x, checksum: {value: xyz}}", "is not a hexadecimal digest", None, 60),
    ("{kind: cloud_image, url: ftp://x/y}", "is not an image URL", "https://", 38),
    ("{kind: cloud_image, url: https://}", "is not an image URL", None, 38),
    ("{kind: cloud_image, url: x.qcow2}", "is not an image URL", None, 38),
    ("{kind: cloud_image, url: 'https:///a b'}", "is not an image URL", None, 38),
    ("{kind: cloud_image, url: 'https://x y/a'}", "is not a URL: 'x y' is not a host name", None, 38),
    ("{kind: cloud_image, url: 'https://[::1/a'}", "is not a URL: invalid IPv6 URL", None, 38),
    ("{kind: cloud_image, url: 'https://x:port/a'}", "is not a URL: its port is not a number", None, 38),
    ("{kind: cloud_image, url: 'http://x:99999/a'}", "is not a URL: port out of range", None, 38),
    ("{kind: cloud_image, url: 'http://x/a#b'}", "has a part that no server sees: #b", "%23", 38),
    ("{kind: cloud_image, url: 'file://other/a'}", "names the host 'other'", "file:///a", 38),
    ("{kind: cloud_image, url: 'file://a'}", "is not a place", "file:///", 38),
    ("{kind: cloud_image, url: 'file:///a%00b'}", "holds a null character", None, 38),
    ("{kind: cloud_image, url: ~/x}", "is not an image URL", None, 38),
    ("cloud_image", "vms.a.source must be a mapping, not 'cloud_image'", None, 13),
    ("{kind: [a]}", "must be one of cloud_image", None, 20),
]


@pytest.mark.parametrize(("source", "message", "hint", "column"), SOURCE_ERRORS)
def test_source_errors(tmp_path: Path, source: str, message: str, hint: str | None, column: int) -> None:
    error = one(errors_of(tmp_path, _vm("disk_size: 20G", source)))
    assert message in error.message
    assert hint is None or hint in (error.hint or "")
    assert place(error) == ("vms.yml", 3, column)


def test_a_vm_without_a_source(tmp_path: Path) -> None:
    for text in ("vms: {a: {ram: 2G}}", "vms: {a: {ram: 2G, source: }}"):
        error = one(errors_of(tmp_path, text))
        assert error.message == "'source' is missing in vms.a"
        assert place(error) == ("vms.yml", 1, 7)


def test_all_errors_come_in_the_order_of_lines(tmp_path: Path) -> None:
    text = "vms:\n  b: {source: {kind: x}, y: 1}\n  A: {}\n  c:\n"
    places = [place(error) for error in errors_of(tmp_path, text)]
    assert places == [("vms.yml", 2, 22), ("vms.yml", 2, 26), ("vms.yml", 3, 3), ("vms.yml", 3, 3), ("vms.yml", 4, 3)]


# What YAML makes of unquoted text is mended where the schema knows what is wanted.
def test_unquoted_numbers_are_text_where_text_is_wanted(tmp_path: Path) -> None:
    vm = vm_of(tmp_path, "cloud_init: {hostname: 1234, packages: [1.10, true], write_files: [{path: /x, perms: 644}]}")
    assert vm.cloud_init is not None
    assert vm.cloud_init.hostname == "1234"
    assert vm.cloud_init.packages == ("1.10", "true")
    assert vm.cloud_init.write_files[0].perms == "644"


@pytest.mark.parametrize(("word", "value"), [("yes", True), ("On", True), ("NO", False), ("off", False)])
def test_yes_and_no_are_bools_only_where_bools_are_wanted(tmp_path: Path, word: str, value: bool) -> None:
    vm = vm_of(tmp_path, f"autostart: {word}, libvirt: {{features: {{pae: {word}}}}}")
    assert vm.autostart is value
    assert vm.libvirt == {"features": {"pae": word}}
    assert errors_of(tmp_path, _vm("autostart: 'yes'")) != []  # quoted: surely text


def test_octal_and_sexagesimal_stay_as_written(tmp_path: Path) -> None:
    vm = vm_of(tmp_path, "network: {port_forwards: [22:22]}, cloud_init: {write_files: [{path: /x, perms: 0644}]}")
    assert (vm.network.port_forwards[0].host, vm.network.port_forwards[0].guest) == (22, 22)
    assert vm.cloud_init is not None
    assert vm.cloud_init.write_files[0].perms == "0644"


def test_nothing_after_a_key_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    write(tmp_path, _vm("cloud_init:\n    ssh:\n    network:\n      bridge:\n    libvirt: {iothreads: }"))
    vm = load_project(tmp_path, cache=False).vms["a"]
    assert vm.cloud_init is None
    assert vm.libvirt == {}


NBD = {
    "type": "object",
    "additionalProperties": False,
    "required": ["export"],
    "properties": {"export": {"type": "string"}, "port": {"anyOf": [{"type": "integer"}, {"const": "auto"}]}},
}


def _nbd(kind: str) -> dict[str, Any] | None:
    return NBD if kind == "nbd" else None


def test_a_plug_in_brings_the_schema_of_its_source(tmp_path: Path) -> None:
    write(tmp_path, _vm("ram: 2G", "{kind: nbd, export: 1.10}"))
    source = load_project(tmp_path, kinds=_nbd, cache=False).vms["a"].source
    assert source == Source("nbd", {"kind": "nbd", "export": "1.10"})


@pytest.mark.parametrize(
    ("source", "message", "column"),
    [
        ("{kind: nbd}", "'export' is missing in vms.a.source", 5),
        ("{kind: nbd, export: x, exprt: y}", "unknown key 'exprt' in vms.a.source", 36),
        ("{kind: nbd, export: x, port: best}", "vms.a.source.port: 'best' is not valid", 42),
        ("{kind: nbe, export: x}", "vms.a.source.kind must be one of", 20),
    ],
)
def test_a_plug_ins_source_is_checked(tmp_path: Path, source: str, message: str, column: int) -> None:
    write(tmp_path, _vm("ram: 2G", source))
    error = one(list(check((), tmp_path, kinds=_nbd).errors))
    assert message in error.message
    assert place(error) == ("vms.yml", 3, column)


def test_a_plug_in_with_a_wrong_schema_is_to_blame(tmp_path: Path) -> None:
    write(tmp_path, _vm("ram: 2G", "{kind: nbd}"))
    with pytest.raises(OvError, match=r"plugin of source\.kind nbd brings a wrong JSON Schema") as caught:
        check((), tmp_path, kinds=lambda kind: {"properties": {"x": {"type": "nonsense"}}})
    assert "author" in (caught.value.hint or "")


def test_what_checks_expect_is_text_as_written(tmp_path: Path) -> None:
    """``stdout: 1.10`` must not expect 1.1."""
    vm = vm_of(
        tmp_path,
        "eval: [{command: a, stdout: 1.10}, {command: b, stdout: {contains: 2.50, not: {equals: [-0, True]}}}, "
        "{command: c, stderr: [1.20, {gt: 3.10}, {not: 1.0}]}, {file: /x, contains: [0.30]}, "
        "{kernel-param: x, value: +5}, {matching: 4.0, equals: 4.0}, {command: d, stdout: '1.10'}]",
    )
    found: Any = vm.eval
    subjects = {"command", "file", "kernel-param"}
    assert [{key: value for key, value in one.items() if key not in subjects} for one in found] == [
        {"stdout": "1.10"},
        {"stdout": {"contains": "2.50", "not": {"equals": ["-0", "True"]}}},
        {"stderr": ["1.20", {"gt": "3.10"}, {"not": "1.0"}]},
        {"contains": ["0.30"]},
        {"value": "+5"},
        {"matching": "4.0", "equals": "4.0"},
        {"stdout": "1.10"},
    ]
