"""What follows from other fields: defaults that depend on the machine, needs that are added and said, refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from ovtasks.errors import InputError, InputErrors
from ovtasks.machine.host import HostFeatures
from ovtasks.machine.machine import Machine
from ovtasks.machine.outside import socket_folders
from ovtasks.machine.xml.domain import QEMU_NAMESPACE, domain_xml, notes
from ovtasks.values.jsonvalue import Json
from tests.machine.hosts import EVERYTHING, knowing
from tests.support.machines import FOLDER, machine, shapes


def tree(of: Machine, host: HostFeatures = EVERYTHING) -> ET.Element:
    return ET.fromstring(domain_xml(of, host))


def with_devices(**blocks: Json) -> Machine:
    return machine(libvirt={"devices": blocks})


def arguments(root: ET.Element) -> list[str]:
    return [arg.attrib["value"] for arg in root.findall(f"{{{QEMU_NAMESPACE}}}commandline/{{{QEMU_NAMESPACE}}}arg")]


# --- added and said ---------------------------------------------------------------------------------------------------


def test_virtiofs_shares_the_memory() -> None:
    folder: dict[str, Json] = {"driver": "virtiofs", "source": "${vm.project}/share", "target": "share"}
    of = with_devices(filesystems=[folder])
    root = tree(of)
    assert [(e.tag, *e.attrib.values()) for e in root.findall("memoryBacking/*")] == [
        ("source", "memfd"),
        ("access", "shared"),
    ]
    assert [(e.tag, e.attrib) for e in root.findall("devices/filesystem/*")] == [
        ("target", {"dir": "share"}),
        ("driver", {"type": "virtiofs"}),
        ("source", {"dir": "/home/me/project/share"}),
    ]
    assert notes(of) == ("virtiofs: memory_backing is memfd, shared",)
    own: dict[str, Json] = {"memory_backing": {"source": "file", "access": "shared"}}
    assert notes(replace(of, libvirt={**of.libvirt, **own})) == ()
    assert tree(replace(of, libvirt={**of.libvirt, **own})).find("memoryBacking/source[@type='file']") is not None


def test_what_goes_through_spice_gets_a_server() -> None:
    for of, what in (
        (with_devices(channels=[{"type": "spicevmc"}]), "channels[0] is spicevmc"),
        (
            with_devices(redirdev=[{"type": "tcp", "source": {"host": "h", "service": "1"}}, {}]),
            "redirdev[1] is spicevmc",
        ),
        (with_devices(smartcard=[{"mode": "passthrough", "type": "spicevmc"}]), "smartcard[0] is spicevmc"),
        (with_devices(audio=[{"type": "spice"}]), "audio[0] is spice"),
    ):
        (server,) = tree(of).findall("devices/graphics")
        assert server.get("type") == "spice" and server[0].get("address") == "127.0.0.1"
        assert notes(of) == (f"{what}: SPICE graphics added, on 127.0.0.1",)
        with pytest.raises(InputError, match="goes through SPICE, which QEMU here has not"):
            tree(of, knowing(EVERYTHING, graphics_type=frozenset({"vnc"})))
    there = with_devices(channels=[{"type": "spicevmc"}], graphics=[{"type": "spice", "port": 5930}])
    assert len(tree(there).findall("devices/graphics")) == 1 and notes(there) == ()


def test_secure_boot_needs_smm() -> None:
    assert notes(shapes()["auto-secure"]) == ("firmware uefi-secure: features.smm is on",)


def test_vsock_gets_an_address() -> None:
    of = with_devices(vsock={})
    assert tree(of).find("devices/vsock/cid[@auto='yes']") is not None
    assert notes(of) == ("vsock: cid.auto is yes",)
    leased = replace(of, cid=77)
    assert tree(leased).find("devices/vsock/cid[@address='77']") is not None and notes(leased) == ()
    written = replace(leased, libvirt={"devices": {"vsock": {"cid": {"address": 9}}}})
    assert tree(written).find("devices/vsock/cid").attrib == {"address": "9", "auto": "no"}  # type: ignore[union-attr]
    assert len(tree(written).findall("devices/vsock")) == 1


def test_vsock_that_the_host_has_not() -> None:
    host = replace(EVERYTHING, problems={"vsock": "the kernel module vhost_vsock is not loaded"})
    with pytest.raises(InputError, match=r"libvirt\.devices\.vsock cannot be had: .*not loaded") as caught:
        tree(with_devices(vsock={}), host)
    assert caught.value.field == ("libvirt", "devices", "vsock") and "modprobe" in str(caught.value.hint)
    assert tree(with_devices(), host).find("devices/vsock") is None


def test_a_boot_order_is_of_devices_only() -> None:
    cdrom: dict[str, Json] = {"device": "cdrom", "source": {"file": "/x.iso"}, "boot": 1}
    of = with_devices(disks=[cdrom], interfaces=[{"boot": 4}])
    root = tree(of)
    assert root.find("os/boot") is None
    assert [b.get("order") for b in root.findall("devices/disk/boot")] == ["5", "1"]
    assert root.find("devices/interface[2]/rom") is None  # it boots from its ROM
    assert notes(of) == ("boot order by devices: the VM's own disk is number 5",)


# --- defaults that depend on the machine ------------------------------------------------------------------------------


def test_disks_get_names_buses_and_formats() -> None:
    disks: list[Json] = [
        {"source": {"file": "/a.qcow2"}},
        {"source": {"file": "/b.img"}, "target": {"dev": "sdb"}},
        {"device": "cdrom"},
        {"source": {"file": "/c.img"}, "target": {"bus": "usb"}},
        {"type": "block", "device": "lun", "source": {"dev": "/dev/x"}},
        {"source": {"file": "/d"}, "target": {"dev": "hda"}, "driver": {"type": "qcow2"}},
        {"device": "floppy"},
    ]
    found = tree(replace(with_devices(disks=disks), seed=FOLDER / "seed.iso")).findall("devices/disk")[2:]
    assert [
        (d.find("target").get("dev"), d.find("target").get("bus"), d.find("driver").get("type"))  # type: ignore[union-attr]
        for d in found
    ] == [
        ("vdc", "virtio", "qcow2"),
        ("sdb", "scsi", "raw"),
        ("sda", "sata", "raw"),
        ("sdc", "usb", "raw"),
        ("sdd", "scsi", "raw"),
        ("hda", "ide", "qcow2"),
        ("fda", "fdc", "raw"),
    ]


def test_the_seed_has_its_name() -> None:
    of = with_devices(disks=[{"source": {"file": "/a"}, "target": {"dev": "vdb"}}])
    assert len(tree(of).findall("devices/disk/target[@dev='vdb']")) == 1
    with pytest.raises(InputError, match=r"disks\[0\]\.target\.dev: vdb is the seed") as caught:
        tree(replace(of, seed=FOLDER / "seed.iso"))
    assert caught.value.field == ("libvirt", "devices", "disks", 0, "target", "dev")


def test_cards_keep_their_addresses() -> None:
    of = with_devices(interfaces=[{}, {}, {"mac": "52:54:00:ab:cd:ef"}])
    first = [m.get("address") or "" for m in tree(of).findall("devices/interface/mac")]
    assert first == [m.get("address") for m in tree(of).findall("devices/interface/mac")]
    assert len({*first}) == 4 and first[3] == "52:54:00:ab:cd:ef"
    assert all(address.startswith("52:54:00:") for address in first)
    other = replace(of, uuid="3f8a2c1e-6f1d-4b52-9f0e-0d8f6a7c1b2e")
    assert [m.get("address") for m in tree(other).findall("devices/interface/mac")][1] != first[1]


def test_forwards_of_more_cards() -> None:
    forwards: list[Json] = [
        {"start": 8080, "to": 80},
        {"start": 5000, "end": 5002, "proto": "udp", "address": "0.0.0.0"},
    ]
    of = with_devices(interfaces=[{"port_forwards": forwards, "mac": "52:54:00:ab:cd:ef"}])
    card = tree(of).findall("devices/interface")[1]
    assert card.find("backend").get("type") == "passt"  # type: ignore[union-attr]
    assert [(p.get("proto"), p.get("address"), p[0].attrib) for p in card.findall("portForward")] == [
        ("tcp", "127.0.0.1", {"start": "8080", "to": "80"}),
        ("udp", "0.0.0.0", {"start": "5000", "end": "5002"}),
    ]
    root = tree(replace(of, nic=shapes()["forwards"].nic), replace(EVERYTHING, passt=False))
    assert root.find("devices/interface") is None
    words = arguments(root)
    assert words[4:] == [
        "-netdev",
        "user,id=ovnet1,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=udp:0.0.0.0:5000-:5000,"
        "hostfwd=udp:0.0.0.0:5001-:5001,hostfwd=udp:0.0.0.0:5002-:5002",
        "-device",
        "virtio-net-pci,netdev=ovnet1,mac=52:54:00:ab:cd:ef,addr=0x11,romfile=",
    ]


@pytest.mark.parametrize(
    ("card", "message", "key"),
    [
        ({"backend": "passt"}, "does not know passt", "backend"),
        (
            {"port_forwards": [{"start": 1}], "link_state": "up"},
            "link_state beside port_forwards needs passt",
            "link_state",
        ),
        ({"port_forwards": [{"start": 1, "address": "::1"}]}, r"\[::1\]:1:1 needs passt", None),
    ],
)
def test_cards_that_need_passt(card: dict[str, Json], message: str, key: str | None) -> None:
    with pytest.raises(InputError, match=message) as caught:
        tree(with_devices(interfaces=[card]), replace(EVERYTHING, passt=False))
    field = caught.value.field or ()
    assert field[:4] == ("libvirt", "devices", "interfaces", 0) and field[4:] == ((key,) if key else ())


def test_ports_are_counted() -> None:
    of = with_devices(serial=[{}, {"target": {"port": 1}}, {}], console=[{}], parallel=[{}, {}])
    root = tree(of)
    assert [t.get("port") for t in root.findall("devices/serial/target")] == ["0", "2", "1", "3"]
    assert [(t.get("type"), t.get("port")) for t in root.findall("devices/console/target")] == [
        ("serial", "0"),
        ("virtio", "1"),
    ]
    assert [t.get("port") for t in root.findall("devices/parallel/target")] == ["0", "1"]


def test_audio_backends_are_counted() -> None:
    root = tree(with_devices(audio=[{"type": "spice"}, {"id": 1}], sound=[{"model": "ich9", "audio": 2}]))
    assert [(a.get("id"), a.get("type")) for a in root.findall("devices/audio")] == [("2", "spice"), ("1", "none")]
    assert root.find("devices/sound/audio").get("id") == "2"  # type: ignore[union-attr]


def test_empty_huge_pages() -> None:
    pages = tree(machine(libvirt={"memory_backing": {"hugepages": {}}})).find("memoryBacking/hugepages")
    assert pages is not None and len(pages) == 0


def test_the_tpm_of_other_machines() -> None:
    arm = machine(arch="aarch64", machine="virt", libvirt={"devices": {"tpm": [{}]}})
    assert tree(arm).find("devices/tpm").get("model") == "tpm-tis"  # type: ignore[union-attr]
    assert tree(with_devices(tpm=[{}])).find("devices/tpm/backend[@version='2.0']") is not None


# --- listeners --------------------------------------------------------------------------------------------------------

SOCKETS = "/run/user/1000/ov/web"
LISTENERS: list[tuple[Json, dict[str, str], bool]] = [
    (None, {"type": "address", "address": "127.0.0.1"}, True),
    ("0.0.0.0", {"type": "address", "address": "0.0.0.0"}, True),
    ("", {"type": "none"}, False),
    ({"address": "::1"}, {"type": "address", "address": "::1"}, True),
    ({"type": "address"}, {"type": "address", "address": "127.0.0.1"}, True),
    ([{"network": "default"}], {"type": "network", "network": "default"}, True),
    ({"type": "socket"}, {"type": "socket"}, False),
    ([{"socket": "${vm.sockets}/s"}], {"type": "socket", "socket": f"{SOCKETS}/s"}, False),
    ({"socket": "{{.VmStateDir}}/{{ .VmName }}.s"}, {"type": "socket", "socket": f"{FOLDER}/ov-web.s"}, False),
    (["127.0.0.2"], {"type": "address", "address": "127.0.0.2"}, True),
    ({"type": "none"}, {"type": "none"}, False),
]


@pytest.mark.parametrize("kind", ["spice", "vnc"])
@pytest.mark.parametrize(("listen", "wanted", "ports"), LISTENERS, ids=[str(one[0]) for one in LISTENERS])
def test_listeners(kind: str, listen: Json, wanted: dict[str, str], ports: bool) -> None:
    more: dict[str, Json] = {} if listen is None else {"listen": listen}
    server = tree(with_devices(graphics=[{"type": kind, **more}])).find("devices/graphics")
    assert server is not None
    assert [one.attrib for one in server.findall("listen")] == [wanted]
    assert server.get("autoport") == ("yes" if ports else None)


def test_opengl_stays_on_this_machine() -> None:
    gl: dict[str, Json] = {"type": "spice", "rendernode": "/dev/dri/renderD128"}
    server = tree(with_devices(graphics=[gl])).find("devices/graphics")
    assert server is not None
    assert [(e.tag, e.attrib) for e in server] == [
        ("listen", {"type": "none"}),
        ("gl", {"enable": "yes", "rendernode": "/dev/dri/renderD128"}),
    ]
    headless = tree(with_devices(graphics=[{"type": "egl-headless", "rendernode": "/dev/dri/renderD128"}]))
    assert headless.find("devices/graphics/gl").attrib == {"rendernode": "/dev/dri/renderD128"}  # type: ignore[union-attr]


# --- sockets ----------------------------------------------------------------------------------------------------------


def test_folders_of_sockets() -> None:
    of = with_devices(
        channels=[{"name": "a.0", "path": "${vm.dir}/c/a.sock"}, {"name": "b.0", "source": "/srv/b/b.sock"}],
        graphics=[{"type": "vnc", "listen": {"socket": "${vm.sockets}/vnc"}}],
        serial=[
            {"type": "unix", "source": {"path": "/srv/d/s", "mode": "bind"}},
            {"type": "unix", "source": {"path": "/srv/e/s", "mode": "connect"}},
        ],
    )
    assert socket_folders(of) == (Path("/srv/d"), FOLDER / "c", Path("/srv/b"), Path(SOCKETS))


def test_sockets_have_short_paths() -> None:
    with pytest.raises(InputError, match="is too long for a socket") as caught:
        tree(with_devices(channels=[{"name": "a.0", "path": "${vm.dir}/" + "x" * 99}]))
    assert caught.value.field == ("libvirt", "devices", "channels", 0, "path")


# --- what the host lacks ----------------------------------------------------------------------------------------------

ENUMS = dict.fromkeys(
    (
        *("devices/tpm/model", "devices/tpm/backendModel", "devices/filesystem/driverType"),
        *("devices/hostdev/subsysType", "devices/rng/model", "devices/rng/backendModel", "devices/disk/diskDevice"),
        *("devices/disk/bus", "memoryBacking/sourceType", "devices/channel/type", "devices/crypto/model"),
    ),
    frozenset({"x"}),
)
NOTHING = HostFeatures(
    version=(9, 0),
    vendor="AMD",
    known={
        **ENUMS,
        "devices/graphics/type": frozenset(),
        "devices/video/modelType": frozenset(),
        "features/sev/supported": frozenset({"no"}),
    },
)
FOLDER_SPEC: dict[str, Json] = {"driver": "virtiofs", "source": "/s", "target": "t"}
LACKING: list[tuple[dict[str, Json], str, tuple[str | int, ...]]] = [
    ({"video": [{"model": "qxl"}]}, "no such video card", ("video", 0, "model")),
    ({"graphics": [{"type": "spice"}]}, "has no SPICE", ("graphics", 0, "type")),
    ({"tpm": [{"model": "tpm-tis"}]}, "swtpm", ("tpm", 0)),
    ({"tpm": [{"backend": {"type": "passthrough"}}]}, "no such TPM backend", ("tpm", 0, "backend", "type")),
    ({"filesystems": [FOLDER_SPEC]}, "no such file system", ("filesystems", 0, "driver")),
    (
        {"hostdevs": [{"type": "usb", "source": {"bus": 1, "device": 2}}]},
        "kind of host device",
        ("hostdevs", 0, "type"),
    ),
    ({"rng": [{"backend": "builtin"}]}, "source of random numbers", ("rng", 0, "backend")),
    ({"rng": [{"model": "virtio"}]}, "source of random numbers", ("rng", 0, "backend")),
    ({"disks": [{"device": "cdrom"}]}, "no such kind of disk", ("disks", 0, "device")),
    ({"disks": [{"source": {"file": "/x"}, "target": {"bus": "usb"}}]}, "no such bus", ("disks", 0, "target", "bus")),
    ({"channels": [{"type": "qemu-vdagent"}]}, "no such channel", ("channels", 0, "type")),
    ({"sound": [{"model": "virtio"}]}, "needs libvirt 10.4, this one is 9.0", ("sound", 0, "model")),
    ({"watchdog": [{"model": "ib700"}, {"model": "ib700"}]}, "several from 9.1 on", ("watchdog", 1)),
    ({"crypto": [{"backend": {}}]}, "needs libvirt 9.1", ("crypto", 0)),
]


@pytest.mark.parametrize(("devices", "message", "path"), LACKING, ids=[message for _, message, _ in LACKING])
def test_what_the_host_lacks(devices: dict[str, Json], message: str, path: tuple[str | int, ...]) -> None:
    with pytest.raises(InputError, match=message) as caught:
        tree(with_devices(**devices), NOTHING)
    error: Any = caught.value
    first = getattr(error, "errors", [error])[0]
    assert first.field == ("libvirt", "devices", *path) and first.hint


@pytest.mark.parametrize(
    ("libvirt", "message", "field"),
    [
        ({"memory_backing": {"source": "memfd"}}, "no such memory source", ("memory_backing", "source")),
        ({"launch_security": {"type": "sev"}}, "this host has no SEV", ("launch_security", "type")),
        ({"launch_security": {"type": "tdx"}}, "needs libvirt 11.6", ("launch_security", "type")),
        ({"cpu": {"features": [{"name": "vmx"}]}}, "this host's processor is AMD's", ("cpu", "features", 0, "name")),
    ],
)
def test_what_the_machine_lacks(libvirt: dict[str, Json], message: str, field: tuple[str | int, ...]) -> None:
    with pytest.raises(InputError, match=message) as caught:
        tree(machine(libvirt=libvirt, accel="kvm"), knowing(NOTHING, rng_model=None, rng_backendModel=None))
    assert caught.value.field == ("libvirt", *field)


def test_a_session_has_no_cgroups() -> None:
    tuned: dict[str, Json] = {
        "cputune": {"shares": 512, "emulatorpin": {"cpuset": 0}},
        "memtune": {"hard_limit": "1G"},
    }
    tree(machine(libvirt=tuned))
    with pytest.raises(InputErrors, match="session has not") as caught:
        tree(machine(libvirt=tuned), replace(EVERYTHING, session=True))
    assert [one.field for one in caught.value.errors] == [
        ("libvirt", "cputune", "shares"),
        ("libvirt", "memtune", "hard_limit"),
    ]


def test_nested_virtualisation_may_be_turned_off_by_any_name() -> None:
    features: list[Json] = [{"name": "vmx", "policy": "disable"}, {"name": "svm"}]
    of = machine(libvirt={"cpu": {"features": features}}, accel="kvm")
    host = replace(EVERYTHING, vendor="AMD")
    assert [f.attrib for f in tree(of, host).findall("cpu/feature")] == [
        {"policy": "disable", "name": "vmx"},
        {"policy": "require", "name": "svm"},
    ]


def test_virtiofs_with_a_server_of_ones_own() -> None:
    host = replace(EVERYTHING, problems={"virtiofs": "its server virtiofsd is not installed"})
    with pytest.raises(InputError, match="virtiofsd is not installed"):
        tree(with_devices(filesystems=[FOLDER_SPEC]), host)
    tree(with_devices(filesystems=[{**FOLDER_SPEC, "binary": {"path": "/opt/virtiofsd"}}]), host)


def test_memory_that_comes_later() -> None:
    memory: list[Json] = [
        {"model": "dimm", "target": {"size": "128M"}},
        {"model": "virtio-pmem", "source": {"path": "${vm.dir}/pmem"}, "target": {"size": "64M"}},
    ]
    of = machine(libvirt={"cpu": {"numa": [{"cpus": "0-1", "memory": "256M"}]}, "devices": {"memory": memory}})
    root = tree(of)
    most = root.find("maxMemory")
    assert most is not None
    assert (most.attrib, most.text) == ({"slots": "2", "unit": "KiB"}, str((256 + 128 + 64) << 10))
    assert [m.findtext("target/node") for m in root.findall("devices/memory")] == ["0", None]
    assert root.findtext("devices/memory/source/path") == f"{FOLDER}/pmem"
