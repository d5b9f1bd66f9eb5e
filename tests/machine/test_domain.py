"""Domain XML: its parts, libvirt's own schema of it, and a real libvirt that takes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from ovtasks.errors import InputError, InputErrors
from ovtasks.host.run import run
from ovtasks.machine.machine import Boot, Machine, Nic
from ovtasks.machine.xml.domain import NAMESPACE, QEMU_NAMESPACE, HostFeatures, domain_xml
from ovtasks.values.firmware import Firmware
from ovtasks.values.jsonvalue import Json
from ovtasks.values.ports import PortForward
from tests.machine.hosts import knowing
from tests.support.machines import FORWARDS, HOST, MAC, machine, shapes

SHAPES = shapes()
PASST = Nic(MAC, forwards=FORWARDS, stack="passt")
KVM = {
    "kvm": machine(accel="kvm"),
    "kvm-model": machine(accel="kvm", libvirt={"cpu": {"mode": "host-model"}}),
    "passt": machine(nic=PASST),
    "passt-plain": machine(nic=Nic(MAC, stack="passt")),
    "aarch64": machine(arch="aarch64", machine="virt", boot=Boot(Firmware.UEFI_INSECURE, auto=True)),
    "qcow2-firmware": machine(
        boot=Boot(Firmware.UEFI_INSECURE, False, Path("/c.qcow2"), Path("/v.qcow2"), Path("/n.qcow2"), "qcow2", "qcow2")
    ),
}


def tree(of: Machine, host: HostFeatures = HOST) -> ET.Element:
    return ET.fromstring(domain_xml(of, host))


def one(root: ET.Element, path: str) -> ET.Element:
    (found,) = root.findall(path)
    return found


def arguments(root: ET.Element) -> list[str]:
    return [arg.attrib["value"] for arg in root.findall(f"{{{QEMU_NAMESPACE}}}commandline/{{{QEMU_NAMESPACE}}}arg")]


def test_vsock() -> None:
    root = tree(machine(cid=70000))
    assert one(root, "devices/vsock").attrib == {"model": "virtio"}
    assert one(root, "devices/vsock/cid").attrib == {"auto": "no", "address": "70000"}
    entry = one(root, "sysinfo/oemStrings/entry").text
    assert entry == "io.systemd.credential:vmm.notify_socket=vsock-stream:2:70000"
    assert one(root, "os/smbios").attrib == {"mode": "sysinfo"}
    assert "vsock" not in domain_xml(machine(), HOST)


# --- the whole text ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHAPES)
def test_same_machine_same_bytes(name: str) -> None:
    text = domain_xml(SHAPES[name], HOST)
    assert text == domain_xml(shapes()[name], HOST)
    assert text.startswith('<domain type="qemu"') and text.endswith("</domain>\n") and "\n  <name>ov-web" in text


@pytest.mark.parametrize("name", [*SHAPES, *KVM])
def test_valid_by_libvirts_own_schema(name: str, tmp_path: Path) -> None:
    of = {**SHAPES, **KVM}[name]
    if name == "qcow2-firmware" and _libvirt_version() < (9, 2):
        text = domain_xml(of, HOST).replace(' format="qcow2"', "")  # only newer schemas know it
    else:
        text = domain_xml(of, HOST)
    file = tmp_path / "domain.xml"
    file.write_text(text)
    run(["virt-xml-validate", file, "domain"])


def _libvirt_version() -> tuple[int, ...]:
    return tuple(int(part) for part in run(["virsh", "--version"]).stdout.strip().split("."))


def test_characters_that_xml_cannot_hold() -> None:
    with pytest.raises(InputError, match="XML cannot hold"):
        domain_xml(machine(Path("/data/\x01")), HOST)
    with pytest.raises(InputError, match="XML cannot hold"):
        domain_xml(machine(project=Path("/data/\udcff")), HOST)


def test_odd_paths_come_back_as_they_are() -> None:
    folder = Path("/data/a, b <c> & 'd' \"e\"\tf\ng é")
    root = tree(machine(folder, seed=folder / "seed.iso"))
    assert [source.get("file") for source in root.findall("devices/disk/source")] == [
        str(folder / "disk.qcow2"),
        str(folder / "seed.iso"),
    ]
    assert one(root, "devices/serial/log").attrib == {"file": str(folder / "serial.log"), "append": "on"}


# --- its parts --------------------------------------------------------------------------------------------------------


def test_identity_and_metadata() -> None:
    root = tree(SHAPES["instance"])
    assert [root.findtext(tag) for tag in ("name", "title")] == ["ov-web-dev", "web (dev)"]
    assert root.findtext("uuid") == SHAPES["instance"].uuid
    expected = {"name": "web", "instance": "dev", "project": '/p/"a" & <b>', "disposable": "true", "lifecycle": "dev"}
    assert one(root, f"metadata/{{{NAMESPACE}}}vm").attrib == expected
    assert set(one(tree(machine()), f"metadata/{{{NAMESPACE}}}vm").attrib) == {"name", "project"}


def test_size_and_fate() -> None:
    root = tree(machine(ram=(1 << 30) + 1023, cpus=3))
    assert root.findtext("memory") == root.findtext("currentMemory") == str(1 << 20)
    assert root.findtext("vcpu") == "3"
    assert [root.findtext(f"on_{event}") for event in ("poweroff", "reboot", "crash")] == [
        *("destroy", "restart", "destroy"),
    ]


def test_disks() -> None:
    disk, seed = tree(SHAPES["seed"]).findall("devices/disk")
    assert {d.get("device") for d in (disk, seed)} == {"disk"}  # no CD-ROM
    assert [one(d, "target").attrib for d in (disk, seed)] == [
        {"dev": "vda", "bus": "virtio"},
        {"dev": "vdb", "bus": "virtio"},
    ]
    assert [one(d, "driver").get("type") for d in (disk, seed)] == ["qcow2", "raw"]
    assert [d.find("readonly") is not None for d in (disk, seed)] == [False, True]


def test_strings_and_credentials() -> None:
    root = tree(SHAPES["both"])
    assert [entry.text for entry in root.findall("sysinfo[@type='smbios']/oemStrings/entry")] == ["a"]
    assert one(root, "os/smbios").attrib == {"mode": "sysinfo"}
    assert one(root, "sysinfo[@type='fwcfg']/entry").attrib == {
        "name": "opt/io.systemd.credentials/tmpfiles.extra",
        "file": "/data/ov-web/tmpfiles",
    }
    assert tree(machine()).find("sysinfo") is None and tree(machine()).find("os/smbios") is None
    with pytest.raises(InputError, match="comma"):
        domain_xml(machine(credentials={"a": Path("/a,b")}), HOST)


@pytest.mark.parametrize(
    ("name", "loader", "selected", "nvram"),
    [
        ("plain", False, None, False),
        ("auto", False, "no", False),
        ("auto-nvram", False, "no", True),
        ("auto-secure", False, "yes", True),
        ("files", True, None, True),
        ("files-secure", True, None, True),
    ],
)
def test_firmware_is_named_in_one_way(name: str, loader: bool, selected: str | None, nvram: bool) -> None:
    root = tree(SHAPES[name])
    assert (root.find("os/loader") is not None) is loader
    assert (root.find("os").get("firmware") == "efi") is (selected is not None)  # type: ignore[union-attr]
    features = {f.get("name"): f.get("enabled") for f in root.findall("os/firmware/feature")}
    assert features.get("secure-boot") == selected
    assert (root.find("os/nvram") is not None) is nvram
    secure = name.endswith("secure")
    assert (root.find("features/smm[@state='on']") is not None) is secure
    if loader:
        assert one(root, "os/loader").get("secure") == ("yes" if secure else "no")
        assert one(root, "os/nvram").get("template")
    assert one(root, "os/boot").get("dev") == "hd" and not root.findall("devices/*/boot")


def test_bios_speaks_to_the_serial_port_unless_there_is_a_screen() -> None:
    assert tree(machine()).find("os/bios[@useserial='yes']") is not None
    assert tree(SHAPES["desktop"]).find("os/bios") is None
    assert tree(SHAPES["auto"]).find("os/bios") is None
    assert tree(machine(arch="riscv64", machine="virt")).find("os/bios") is None


@pytest.mark.parametrize(
    ("of", "mode", "without"),
    [
        (machine(), "maximum", ["la57"]),
        (KVM["kvm"], "host-passthrough", []),
        (KVM["aarch64"], "maximum", []),
        (SHAPES["desktop"], "custom", []),
        (KVM["kvm-model"], "host-model", []),
    ],
)
def test_cpu(of: Machine, mode: str, without: list[str]) -> None:
    root = tree(of)
    assert root.get("type") == ("kvm" if of.accel == "kvm" else "qemu")
    assert one(root, "cpu").get("mode") == mode
    assert [f.get("name") for f in root.findall("cpu/feature[@policy='disable']")] == without


def test_features() -> None:
    found = {e.tag: e.get("state") for e in one(tree(SHAPES["desktop"]), "features")}
    assert found == {"acpi": None, "apic": None, "pae": None, "hap": "on", "vmport": "off", "pmu": "off", "tcg": None}
    assert {e.tag for e in one(tree(KVM["aarch64"]), "features")} == {"acpi", "tcg"}
    without = machine(libvirt={"features": {"acpi": False, "apic": "no", "smm": True}})
    assert {e.tag for e in one(tree(without), "features")} == {"smm", "tcg"}


def test_memory_for_translated_code() -> None:
    """QEMU's own 1 GiB is slower, and costs the host that much for each emulated VM."""
    cache = one(tree(machine()), "features/tcg/tb-cache")
    assert (cache.get("unit"), cache.text) == ("KiB", "262144")
    assert one(tree(machine(libvirt={"features": {"tb_cache": "1G"}})), "features/tcg/tb-cache").text == "1048576"
    assert tree(machine(accel="kvm")).find("features/tcg") is None


def test_network_cards() -> None:
    bridge = one(tree(SHAPES["bridge"]), "devices/interface")
    assert (bridge.get("type"), one(bridge, "source").attrib) == ("bridge", {"bridge": "br0"})
    assert (one(bridge, "model").get("type"), one(bridge, "mac").get("address")) == ("e1000", MAC)
    for name, network in (("nat", "default"), ("network", "lab")):
        card = one(tree(SHAPES[name]), "devices/interface")
        assert (card.get("type"), one(card, "source").attrib) == ("network", {"network": network})
    older = one(tree(machine(nic=Nic(MAC, mode="network", bridge="lab"))), "devices/interface/source")
    assert older.attrib == {"network": "lab"}
    direct = one(tree(SHAPES["direct"]), "devices/interface")
    assert (direct.get("type"), one(direct, "source").attrib) == ("direct", {"dev": "eth0", "mode": "bridge"})
    plain = one(tree(machine()), "devices/interface")
    assert (plain.get("type"), one(plain, "model").get("type")) == ("user", "virtio")
    assert arguments(tree(machine())) == []


def test_forwards_by_passt() -> None:
    card = one(tree(KVM["passt"]), "devices/interface")
    assert one(card, "backend").attrib == {"type": "passt"}
    assert [
        (p.get("proto"), p.get("address"), [(r.get("start"), r.get("to")) for r in p])
        for p in card.findall("portForward")
    ] == [
        ("tcp", "127.0.0.1", [("20022", "22"), ("8080", "80")]),
        ("udp", "127.0.0.1", [("5353", "53")]),
        ("tcp", "0.0.0.0", [("8443", "443")]),
    ]
    assert not arguments(tree(KVM["passt"]))
    with pytest.raises(InputError, match="does not know passt"):
        domain_xml(KVM["passt"], replace(HOST, passt=False))


def test_forwards_by_qemu_itself() -> None:
    root = tree(SHAPES["forwards"])
    assert root.find("devices/interface") is None
    assert arguments(root) == [
        "-netdev",
        "user,id=ovnet0,hostfwd=tcp:127.0.0.1:20022-:22,hostfwd=tcp:127.0.0.1:8080-:80,"
        "hostfwd=udp:127.0.0.1:5353-:53,hostfwd=tcp:0.0.0.0:8443-:443",
        "-device",
        f"virtio-net-pci,netdev=ovnet0,mac={MAC},addr=0x10,romfile=",
    ]
    assert arguments(tree(SHAPES["e1000"]))[3].startswith("e1000,")
    six = Nic(MAC, forwards=(PortForward(1, 2, address="::1"),))
    with pytest.raises(InputError, match=r"\[::1\]:1:2 needs passt"):
        domain_xml(machine(nic=six), HOST)


# --- the spec's libvirt: ----------------------------------------------------------------------------------------------


def test_desktop_devices() -> None:
    devices = one(tree(SHAPES["desktop"]), "devices")
    video = one(devices, "video/model")
    assert video.attrib == {"type": "virtio", "vram": "65536", "heads": "1"}
    assert one(video, "acceleration").attrib == {"accel3d": "no"}
    assert [g.attrib for g in devices.findall("graphics")] == [
        {"type": "spice", "autoport": "yes"},
        {"type": "vnc", "port": "5999", "autoport": "no"},
    ]
    assert {e.get("address") for e in devices.findall("graphics/listen")} == {"127.0.0.1"}
    assert [(c.get("type"), one(c, "target").get("name")) for c in devices.findall("channel")] == [
        ("unix", "org.qemu.guest_agent.0"),
        ("spicevmc", "com.redhat.spice.0"),
        ("unix", "org.example.0"),
    ]
    assert [(b.get("model"), b.text) for b in devices.findall("rng/backend")] == [
        ("builtin", None),
        ("random", "/dev/random"),
    ]
    assert one(devices, "tpm").get("model") == "tpm-tis"
    assert one(devices, "tpm/backend").attrib == {"type": "emulator", "version": "2.0"}
    assert one(devices, "memballoon").attrib == {"model": "virtio", "autodeflate": "on"}


def test_defaults_of_devices() -> None:
    devices = one(tree(machine(), replace(HOST, emulator="/opt/qemu")), "devices")
    assert devices.findtext("emulator") == "/opt/qemu"
    assert one(devices, "rng/backend").text == "/dev/urandom"
    assert one(devices, "memballoon").attrib == {"model": "virtio"}
    assert not devices.findall("graphics") and not devices.findall("video") and not devices.findall("tpm")


def devices(**blocks: Json) -> dict[str, Json]:
    return {"devices": blocks}


REFUSED: list[tuple[dict[str, Json], str]] = [
    ({"featurs": {}}, r"unknown key 'featurs' in libvirt"),
    (devices(video=[{"model": "vga"}, {"model": "vga", "vgamem64": 1}]), r"unknown key 'vgamem64' in .*video\[1\]"),
    (
        devices(memballoon={"stats": {"period": 1, "perod": 1}}),
        r"unknown key 'perod' in libvirt\.devices\.memballoon\.stats",
    ),
    (devices(graphics=[{"type": "vnc", "gl": "yes"}]), r"graphics\[0\]\.gl goes with type: spice or"),
    (devices(graphics=[{"type": "desktop"}]), r"graphics\[0\]\.type cannot be 'desktop'"),
    (devices(graphics=[{}]), r"'type' is missing in libvirt\.devices\.graphics\[0\]"),
    (devices(graphics=[{"type": "vnc", "autoport": "no"}]), r"graphics\[0\]\.port is missing"),
    (devices(graphics={"type": "vnc"}), r"libvirt\.devices\.graphics is not a list"),
    (devices(graphics=["vnc"]), r"libvirt\.devices\.graphics\[0\] is not a mapping"),
    (devices(video=[{"vram": 1}]), r"'model' is missing in libvirt\.devices\.video\[0\]"),
    (devices(video=[{"model": "vga", "vram": "64M"}]), r"video\[0\]\.vram cannot be '64M'"),
    (devices(video=[{"model": "vga", "vram": True}]), r"video\[0\]\.vram cannot be True"),
    (devices(channels=[{"type": "unix"}]), r"channels\[0\]\.name is missing"),
    (devices(channels=[{"name": "a"}, {"name": "a"}]), r"channels\[1\]\.name: the channel a appears twice"),
    (devices(rng=[{"backend": "egd"}]), r"rng\[0\]\.type is missing: backend egd needs it"),
    (devices(rng=[{"rate": {"period": 1}}]), r"'bytes' is missing in libvirt\.devices\.rng\[0\]\.rate"),
    ({"features": {"acpi": "perhaps"}}, r"libvirt\.features\.acpi cannot be 'perhaps'"),
    ({"features": None}, r"libvirt\.features is not a mapping"),
    ({"cpu": {"mode": "custom"}}, r"libvirt\.cpu\.model is missing"),
    ({"cpu": {"mode": "maximum", "model": "qemu64"}}, r"libvirt\.cpu\.model goes with mode: custom"),
    ({"cpu": {"mode": "host-passthrough"}}, r"libvirt\.cpu\.mode host-passthrough needs KVM"),
    ({"cpu": {"topology": {"cores": 3}}}, r"libvirt\.cpu\.topology is 3 cores, but the VM has cpus: 2"),
]


@pytest.mark.parametrize(("libvirt", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_refused(libvirt: dict[str, Json], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        domain_xml(machine(libvirt=libvirt), HOST)
    assert caught.value.hint
    assert caught.value.field is not None and caught.value.field[0] == "libvirt"


def test_several_refused_at_once() -> None:
    with pytest.raises(InputErrors) as caught:
        domain_xml(machine(libvirt={"clock": 1, "devices": {"sound": 2}}), HOST)
    assert [error.message.split()[0] for error in caught.value.errors] == ["libvirt.clock", "libvirt.devices.sound"]


def test_secure_boot_needs_smm() -> None:
    with pytest.raises(InputError, match=r"libvirt\.features\.smm turns it off"):
        domain_xml(replace(SHAPES["auto-secure"], libvirt={"features": {"smm": False}}), HOST)


@pytest.mark.parametrize(
    ("host", "message"),
    [
        (knowing(HOST, graphics_type=frozenset({"vnc"})), r"graphics\[0\]\.type spice: QEMU here has no SPICE"),
        (
            knowing(HOST, video_modelType=frozenset({"vga"})),
            r"video\[0\]\.model virtio: QEMU here has no such video card",
        ),
        (knowing(HOST, tpm_backendModel=frozenset()), r"tpm\[0\] needs the TPM emulator swtpm"),
    ],
)
def test_what_the_host_lacks(host: HostFeatures, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        domain_xml(SHAPES["desktop"], host)
    assert caught.value.hint


# --- a real libvirt ---------------------------------------------------------------------------------------------------
