"""Cross-field rules: each with its place and its hint, and what it must leave alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.projects import CLOUD, errors_of, one, place

SHA256, SHA512 = "a" * 64, "b" * 128
BOOTSTRAP = "{kind: bootstrap}"


def _vm(fields: str, source: str = CLOUD) -> str:
    return f"vms:\n  a:\n    source: {source}\n    {fields}\n"


# fields on line 4 from column 5, message, hint, column
FIELD_RULES = [
    ("disk_size: 20X", "disk_size: '20X' is not a size", "20G", 16),
    ("disk_size: 0", "disk_size: 0 is not a size", "20G", 16),
    ("disk_size: -1G", "disk_size: '-1G' is negative", "20G", 16),
    ("disk_size: 20", "disk_size of 20M is too small", "did you mean 20G?", 16),
    ("disk_size: 1M", "disk_size of 1M is too small: at least 32M", None, 16),
    ("disk_size: 1K", "disk_size of 1K is too small: at least 32M", None, 16),
    ("ram: 1MiB", "ram of 1M is too small: at least 32M", None, 10),
    ("cpus: 0", "cpus is 0, but must be at least 1", None, 11),
    ("disk_size: 5000P", "more than 1 EiB", None, 16),
    ("ram: 8 apples", "ram: '8 apples' is not a size", "8192M", 10),
    ("ram: 8", "ram of 8M is too small", "did you mean 8G?", 10),
    ("ram: .nan", "ram: '.nan' is not a size", None, 10),
    ("firmware: bios\n    machine: virt", "machine virt has no BIOS", "uefi-insecure", 15),
    ("firmware: bios\n    machine: virt-9.1", "machine virt-9.1 has no BIOS", "uefi-insecure", 15),
    ("machine: i440fx\n    firmware: uefi-secure", "uefi-secure does not work with machine i440fx", "q35", 14),
    ("machine: pc\n    firmware: uefi-secure", "uefi-secure does not work with machine pc", "q35", 14),
    ("machine: pc-i440fx-9.1\n    firmware: uefi-secure", "does not work with machine pc-i440fx-9.1", "q35", 14),
    (
        "libvirt: {features: {smm: false}}\n    firmware: uefi-secure",
        "libvirt.features.smm turns it off",
        "remove",
        31,
    ),
    ("libvirt: {features: {smm: no}}\n    firmware: uefi-secure", "turns it off", "uefi-insecure", 31),
    ("network: {mode: bridge}", "network.bridge is missing", "br0", 5),
    ("network: {bridge: br0}", "network.bridge has no effect in mode user", "mode: bridge", 15),
    ("network: {mac: 52:54}", "'52:54' is not a MAC address", "52:54:00", 20),
    ("network: {mac: 52-54-00-12-34-56}", "is not a MAC address", "52:54:00", 20),
    ("network: {mac: '53:54:00:12:34:56'}", "is a multicast address", "even", 20),
    ("network: {mac: '00:00:00:00:00:00'}", "is not the address of a network interface", "52:54", 20),
    ("network: {mode: nat, port_forwards: ['80:80']}", "port_forwards has no effect in mode nat", "mode: user", 26),
    ("network: {network: lab}", "network.network has no effect in mode user", "mode: network", 15),
    ("network: {dev: eth0}", "network.dev has no effect in mode user", "mode: direct", 15),
    ("network: {mode: direct}", "network.dev is missing", "dev: eth0", 5),
    ("network: {mode: direct, dev: eth0, bridge: b}", "network.bridge has no effect in mode direct", "bridge", 40),
    ("network: {mode: bridge, bridge: b, network: n}", "network.network has no effect in mode bridge", "network", 40),
    ("network: {mode: nat, network: n, bridge: b}", "are the same", "newer name", 38),
    ("network: {mode: nat}\n    backend: qemu", "network.mode nat does not work with backend qemu", "libvirt", 21),
    ("network: {mode: direct, dev: e}\n    backend: qemu", "mode direct does not work with", "libvirt", 21),
    ("ssh: {port: 2222}\n    network: {mode: nat}", "ssh.port has no effect in network.mode nat", "port 22", 11),
    ("network: {port_forwards: ['80']}", "'80' is not a port forward", "8080:80", 31),
    ("network: {port_forwards: [80]}", "'80' is not a port forward", "8080:80", 31),
    ("network: {port_forwards: ['a:b']}", "is not a port forward", "8080:80", 31),
    ("network: {port_forwards: ['80:80/icmp']}", "is not a port forward", "/udp", 31),
    ("network: {port_forwards: ['80:']}", "is not a port forward", None, 31),
    ("network: {port_forwards: ['0:80']}", "host port 0 of '0:80' is not in 1–65535", None, 31),
    ("network: {port_forwards: ['80:65536']}", "guest port 65536", None, 31),
    ("network: {port_forwards: ['80:1000000']}", "guest port 1000000", None, 31),
    (
        "network: {port_forwards: ['300.1.1.1:80:80']}",
        "'300.1.1.1' of '300.1.1.1:80:80' is not an IP address",
        None,
        31,
    ),
    ("network: {port_forwards: ['80:80', '80:81']}", "host port 80/tcp is taken by this VM itself", ":4:31", 40),
    ("network: {port_forwards: ['80:80', '0.0.0.0:80:81']}", "80/tcp is taken", "another port", 40),
    ("ssh: {port: 2222}\n    network: {port_forwards: ['2222:1']}", "host port 2222/tcp is taken", ":4:17", 0),
    ("ssh: {port: 2222, port_auto: true}", "ssh.port_auto contradicts ssh.port 2222", "leased", 23),
    ("ssh: {key_source: generat}", "is not auto, generate, none or a path", "did you mean 'generate'?", 23),
    ("ssh: {key_source: keys/me.pub}", "is not auto, generate, none or a path", "begins with ./", 23),
    ("ssh: {key_source: '${NO_SUCH_VARIABLE}/x'}", "variable NO_SUCH_VARIABLE is not set", "export", 23),
    ("ssh: {key_source: '${a b}/x'}", "${a b} is not an environment variable", "${NAME}", 23),
    ("ssh: {key_source: ~other/x}", "~other is not expanded", "~/", 23),
    ("cloud_init: {ov_install: {strategy: url}}", "ov_install.url is missing", "https://", 41),
    ("cloud_init: {users: [{name: u}, {name: u}]}", "user 'u' appears twice", ":4:33", 44),
    ("cloud_init: {extra: 'a: [1'}", "of the text: not YAML", "mapping", 31),
    ("cloud_init: {extra: '- a'}", "extra must be one YAML mapping", "mapping", 25),
    ('cloud_init: {extra: "a: 1\\n---\\nb: 2"}', "extra must be one YAML mapping", "mapping", 25),
    ("snapshots: [{name: s}, {name: s}]", "snapshot 's' appears twice", ":4:24", 35),
    ("autostart: true\n    backend: qemu", "autostart does not work with backend qemu", "libvirt", 5),
]


@pytest.mark.parametrize(("fields", "message", "hint", "column"), FIELD_RULES)
def test_field_rules(tmp_path: Path, fields: str, message: str, hint: str | None, column: int) -> None:
    error = one(errors_of(tmp_path, _vm(fields)))
    assert message in error.message
    assert hint is None or hint in (error.hint or "")
    if column:
        assert place(error) == ("vms.yml", 4, column)


ZEROS = "0" * 63
# source on line 3 from column 13, message, hint, line, column
SOURCE_RULES = [
    (f"{{kind: cloud_image, url: /x, checksum: {{value: {ZEROS}}}}}", "63 digits, sha256 has 64", "whole", 3, 60),
    (f"{{kind: cloud_image, url: /x, checksum: {{value: {SHA512}}}}}", "has 128 digits", "type: sha512?", 3, 60),
    (
        f"{{kind: cloud_image, url: /x, checksum: {{type: sha512, value: {SHA256}}}}}",
        "64 digits, sha512 has 128",
        "type: sha256?",
        3,
        74,
    ),
    (f"{{kind: cloud_image, url: /x, checksum: {{type: none, value: {SHA256}}}}}", "contradicts", "one", 3, 65),
    ("{kind: cloud_image, url: /x, checksum: {type: none, keyring: /k}}", "keyring contradicts", None, 3, 65),
    (
        f"{{kind: cloud_image, url: /x, checksum: {{value: 'sha512:{SHA256}'}}}}",
        "64 digits, sha512 has",
        "sha256?",
        3,
        60,
    ),
    (f"{{kind: cloud_image, url: /x, checksum: {{value: 'md5:{SHA256}'}}}}", "is a md5 digest", "sha512 can", 3, 60),
    (
        f"{{kind: cloud_image, url: /x, checksum: {{type: sha256, value: 'SHA512={SHA512}'}}}}",
        "says sha512, checksum.type sha256",
        "remove one",
        3,
        74,
    ),
    ("{kind: cloud_image, url: /x, checksum: {type: none, url: y}}", "url contradicts", None, 3, 65),
    (
        f"{{kind: cloud_image, url: /x, checksum: {{url: y, value: {SHA256}}}}}",
        "makes checksum.url useless",
        None,
        3,
        53,
    ),
    ("{kind: cloud_image, url: 'https://x/y', checksum: {url: 'http://x/z'}}", "plain http", "https", 3, 69),
    ("{kind: cloud_image, url: 'https://x/y', checksum: {url: 'ftp://x/z'}}", "is not a place", "https", 3, 69),
    (
        "{kind: cloud_image, url: 'https://x/y', checksum: {url: 'https://x:y/z'}}",
        "its port is not a number",
        None,
        3,
        69,
    ),
    ("{kind: cloud_image, url: /x, checksum: {keyring: '${NOT_SET}'}}", "NOT_SET is not set", None, 3, 62),
    ("{kind: cloud_image, url: /x, cache: '${NOT_SET}/y'}", "NOT_SET is not set", "export NOT_SET", 3, 49),
    (
        "{kind: imported, libvirt_name: x, disk_path: x.img, disk_format: raw}",
        "'x.img' is not absolute",
        "from /",
        3,
        58,
    ),
    (
        "{kind: imported, libvirt_name: x, disk_path: /x.img, disk_format: raw, nvram_path: /y}",
        "the firmware is bios",
        "firmware: uefi-insecure",
        3,
        84,
    ),
    ("{kind: bootc, image: x, root_size: 30G}", "root_size 30G is more than disk_size 20G", "enlarge", 3, 48),
    ("{kind: bootc, image: x, root_size: 20G}", "20G does not fit on a disk of 20G", "at most 19965M", 3, 48),
    ("{kind: bootc, image: x, root_size: 19966M}", "source.root_size: a root file system of", "515M; or leave", 3, 48),
    (
        "{kind: bootc, image: x, composefs: true, root_size: 19455M}",
        "does not fit",
        "EFI system partition of 1G take 1027M",
        3,
        65,
    ),
    (
        "{kind: bootc, image: x, bootloader: systemd, composefs: false}",
        "systemd-boot with composefs only",
        "remove composefs: false",
        3,
        69,
    ),
    ("{kind: bootc, image: x, bootloader: none, composefs: yes}", "with a boot loader only", "or composefs", 3, 66),
    ("{kind: bootc, image: x, root_size: 100K}", "root_size of 100K is too small: at least 32M", None, 3, 48),
    ("{kind: bootc, image: x, root_size: 1Q}", "source.root_size: '1Q' is not a size", None, 3, 48),
    ("{kind: clone, from_vm: a, from_snapshot: s}", "cannot be a clone of itself", None, 3, 36),
    ("{kind: clone, from_vm: aa, from_snapshot: s}", "no VM 'aa' is declared", "did you mean 'a'?", 3, 36),
]


@pytest.mark.parametrize(("source", "message", "hint", "line", "column"), SOURCE_RULES)
def test_source_rules(tmp_path: Path, source: str, message: str, hint: str | None, line: int, column: int) -> None:
    error = one(errors_of(tmp_path, _vm("disk_size: 20G", source)))
    assert message in error.message
    assert hint is None or hint in (error.hint or "")
    assert place(error) == ("vms.yml", line, column)


@pytest.mark.parametrize(
    ("kind", "ssh", "message", "hint"),
    [
        (
            "bootc",
            "key_injection: {cloud_init: enabled}",
            "a bootc VM without cloud_init has no seed",
            "cloud_init: {}",
        ),
        ("cloud", "key_injection: {install: enabled}", "install is for source.kind bootc", "remove"),
        ("bootc", "user: ada, key_injection: {install: enabled}", "root's key only, and ada logs in", "user: root"),
        ("bootc", "key_source: none, key_injection: {install: enabled}", "gives no key to write", "generate"),
    ],
)
def test_a_key_channel_that_is_asked_for_is_there(tmp_path: Path, kind: str, ssh: str, message: str, hint: str) -> None:
    source = "{kind: bootc, image: x}" if kind == "bootc" else CLOUD
    error = one(errors_of(tmp_path, _vm(f"disk_size: 20G\n    ssh: {{{ssh}}}", source)))
    assert message in error.message and hint in (error.hint or "")
    assert place(error)[:2] == ("vms.yml", 5)


def test_a_bootstrapped_disk_needs_a_size(tmp_path: Path) -> None:
    error = one(errors_of(tmp_path, _vm("ram: 2G", BOOTSTRAP)))
    assert "'disk_size' is missing in VM 'a'" in error.message
    assert error.hint == "for example disk_size: 20G"
    assert place(error) == ("vms.yml", 2, 3)


def test_architectures_without_a_bios(tmp_path: Path) -> None:
    text = _vm("disk_size: 2G\n    firmware: bios", "{kind: bootstrap, bootstrap_arch: arm64}")
    error = one(errors_of(tmp_path, text))
    assert error.message == "architecture arm64 has no BIOS"
    assert place(error) == ("vms.yml", 5, 15)


NAMES = [
    ("Web", "'Web' is not a VM name", "for example 'web'"),
    ("a/b", "'a/b' is not a VM name", "for example 'a-b'"),
    ("..", "'..' is not a VM name", "begins with a-z"),
    ("a b", "'a b' is not a VM name", "for example 'a-b'"),
    ("'a '", "'a ' is not a VM name", "for example 'a'"),
    ("-a", "'-a' is not a VM name", "for example 'a'"),
    ("a_b", "'a_b' is not a VM name", "for example 'a-b'"),
    ("a.b", "'a.b' is not a VM name", "for example 'a-b'"),
    ("'ä'", "'ä' is not a VM name", "begins with a-z"),
    ('"a\\n"', "is not a VM name", "for example 'a'"),
    ("''", "'' is not a VM name", "begins with a-z"),
    ("x" * 51, "is not a VM name", "at most 50 characters"),
    ("web-eph-1", "VM name 'web-eph-1' is reserved", "ephemeral"),
]


@pytest.mark.parametrize(("name", "message", "hint"), NAMES)
def test_vm_names(tmp_path: Path, name: str, message: str, hint: str) -> None:
    error = one(errors_of(tmp_path, f"vms:\n  {name}: {{source: {CLOUD}}}\n"))
    assert message in error.message
    assert hint in (error.hint or "")
    assert place(error) == ("vms.yml", 2, 3)


@pytest.mark.parametrize("name", ["a", "0", "x" * 50, "a-b-c", "9front", "no", "15e1"])
def test_good_vm_names(tmp_path: Path, name: str) -> None:
    assert errors_of(tmp_path, f"vms: {{{name}: {{source: {CLOUD}}}, a-b: {{source: {CLOUD}}}}}") == []


def test_a_document_with_one_vm_blames_its_name(tmp_path: Path) -> None:
    error = one(errors_of(tmp_path, f"vm:\n  name: Web\n  source: {CLOUD}\n"))
    assert place(error) == ("vms.yml", 2, 9)


def _two(first: str, second: str) -> str:
    return f"vms:\n  a: {{source: {CLOUD}, {first}}}\n  b: {{source: {CLOUD}, {second}}}\n"


COLLISIONS = [
    ("ssh: {port: 2222}", "ssh: {port: 2222}", "host port 2222/tcp is taken by VM 'a'", "lease a free one"),
    (
        "ssh: {port: 2222}",
        "network: {port_forwards: ['2222:80']}",
        "host port 2222/tcp is taken by VM 'a'",
        "vms.yml:2",
    ),
    (
        "network: {port_forwards: ['0.0.0.0:80:80/udp']}",
        "network: {port_forwards: ['80:80/udp']}",
        "80/udp is taken",
        "choose another port",
    ),
    ("network: {mac: '52:54:00:aa:bb:cc'}", "network: {mac: '52:54:00:AA:BB:CC'}", "is taken by VM 'a'", "derived"),
    (
        "network: {mac: '52:54:00:aa:bb:cc'}",
        "libvirt: {devices: {interfaces: [{mac: '52:54:00:AA:BB:CC'}]}}",
        "is taken by VM 'a'",
        "derived",
    ),
    (
        "network: {port_forwards: ['8081:80']}",
        "libvirt: {devices: {interfaces: [{port_forwards: [{start: '8080', end: '8081'}]}]}}",
        "host port 8081/tcp is taken by VM 'a'",
        "choose another port",
    ),
]


@pytest.mark.parametrize(("first", "second", "message", "hint"), COLLISIONS)
def test_what_two_vms_cannot_share(tmp_path: Path, first: str, second: str, message: str, hint: str) -> None:
    error = one(errors_of(tmp_path, _two(first, second)))
    assert message in error.message
    assert hint in (error.hint or "")
    assert place(error)[1] == 3


NO_COLLISIONS = [
    ("network: {port_forwards: ['80:80']}", "network: {port_forwards: ['80:80/udp']}"),
    ("network: {port_forwards: ['127.0.0.2:80:80']}", "network: {port_forwards: ['80:80']}"),
    ("ssh: {port: 0}", "ssh: {port: 0}"),
    ("ssh: {port: 0}, network: {mode: bridge, bridge: br0}", "ssh: {port: 22}"),
]


@pytest.mark.parametrize(("first", "second"), NO_COLLISIONS)
def test_what_two_vms_can_share(tmp_path: Path, first: str, second: str) -> None:
    assert errors_of(tmp_path, _two(first, second)) == []


def test_clones_in_a_circle_are_named_once(tmp_path: Path) -> None:
    clone = "{source: {kind: clone, from_vm: %s, from_snapshot: s}}"
    text = f"vms:\n  a: {clone % 'b'}\n  b: {clone % 'c'}\n  c: {clone % 'a'}\n  d: {clone % 'a'}\n"
    error = one(errors_of(tmp_path, text))
    assert error.message == "clones form a circle: a → b → c → a"
    assert place(error) == ("vms.yml", 2, 38)


GOOD = [
    "disk_size: 1000M",
    "ram: 4096",
    "ram: 1.5G",
    "machine: q35\n    firmware: uefi-secure\n    libvirt: {features: {smm: true}}",
    "machine: virt",
    "network: {mode: bridge, bridge: br0}",
    "network: {mode: nat, bridge: default}",
    "network: {mode: nat}",
    "network: {mode: network, network: lab}",
    "network: {mode: direct, dev: eth0}",
    "ssh: {port: 0}\n    network: {mode: nat}",
    "network: {port_forwards: ['[::1]:80:80', '0.0.0.0:81:81']}",
    "ssh: {port: 0, port_auto: true}",
    "ssh: {port_auto: true}",
    "ssh: {key_source: ~/.ssh/id.pub}",
    "ssh: {key_source: ./me.pub}",
    "autostart: true\n    backend: libvirt",
    "cloud_init: {ov_install: {strategy: url, url: 'https://x/y'}}",
    "cloud_init: {extra: ''}",
]


@pytest.mark.parametrize("fields", GOOD)
def test_what_the_rules_leave_alone(tmp_path: Path, fields: str) -> None:
    assert errors_of(tmp_path, _vm(fields)) == []


@pytest.mark.parametrize("text", ["auto:auto", "80:auto", "auto:0", "Auto:80", "auto"])
def test_only_a_host_port_may_be_auto(tmp_path: Path, text: str) -> None:
    error = one(errors_of(tmp_path, _vm(f"network: {{port_forwards: ['{text}']}}")))
    assert text in error.message and '"auto:80"' in (error.hint or "")
