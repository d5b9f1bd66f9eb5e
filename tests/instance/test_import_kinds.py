"""Domains of the kinds that people have, as libvirt shows them: each becomes a VM, or an error that says what to do.

libvirt is not asked here; tests/instance/test_import.py does that with one of them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from ovtasks.backends.contract import Backend, Capabilities
from ovtasks.backends.libvirt import foreign
from ovtasks.backends.libvirt.foreign import ForeignDomain, look_at
from ovtasks.errors import InputError, OvError, RefusedError
from ovtasks.host import firmware
from ovtasks.host.firmware import Files, make_nvram
from ovtasks.instance.assemble import assemble
from ovtasks.instance.record import new_record
from ovtasks.project.load import load_project
from ovtasks.sources.imported import adopt
from ovtasks.sources.imported.adopt import Wish, import_domain
from tests.support.programs import attempt, qemu_img
from tests.support.projects import write
from tests.support.workbench import make_image

METADATA = """
  <metadata><libosinfo:libosinfo xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'>
    <libosinfo:os id='http://debian.org/debian/12'/></libosinfo:libosinfo></metadata>"""
CONTROLLERS = "".join(
    f"<controller type='pci' index='{n}' model='pcie-root-port'><model name='pcie-root-port'/>"
    f"<target chassis='{n}' port='0x{n + 15:x}'/>"
    f"<address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x{n - 1}'/></controller>"
    for n in range(1, 8)
)
VIRT_MANAGER = f"""
<domain type='kvm'>
  <name>debian12</name><uuid>0f6a4b2e-4a6c-4a61-9a53-70e4cf3a9d10</uuid><title>My Debian</title>{METADATA}
  <memory unit='KiB'>4194304</memory><currentMemory unit='KiB'>4194304</currentMemory><vcpu placement='static'>2</vcpu>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><boot dev='hd'/></os>
  <features><acpi/><apic/><vmport state='off'/></features>
  <cpu mode='host-passthrough' check='none' migratable='on'/>
  <clock offset='utc'><timer name='rtc' tickpolicy='catchup'/><timer name='pit' tickpolicy='delay'/>
    <timer name='hpet' present='no'/></clock>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
  <pm><suspend-to-mem enabled='no'/><suspend-to-disk enabled='no'/></pm>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2' discard='unmap'/><source file='{{disk}}'/>
      <target dev='vda' bus='virtio'/>
      <address type='pci' domain='0x0000' bus='0x04' slot='0x00' function='0x0'/></disk>
    <disk type='file' device='cdrom'><driver name='qemu' type='raw'/><target dev='sda' bus='sata'/><readonly/>
      <address type='drive' controller='0' bus='0' target='0' unit='0'/></disk>
    <controller type='usb' index='0' model='qemu-xhci' ports='15'/><controller type='pci' index='0' model='pcie-root'/>
    {CONTROLLERS}<controller type='sata' index='0'/><controller type='virtio-serial' index='0'/>
    <interface type='network'><mac address='52:54:00:5c:11:22'/><source network='default'/><model type='virtio'/>
      <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></interface>
    <serial type='pty'><target type='isa-serial' port='0'><model name='isa-serial'/></target></serial>
    <console type='pty'><target type='serial' port='0'/></console>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>
    <input type='tablet' bus='usb'><address type='usb' bus='0' port='1'/></input>
    <input type='mouse' bus='ps2'/><input type='keyboard' bus='ps2'/>
    <graphics type='spice' autoport='yes'><listen type='address'/><image compression='off'/></graphics>
    <sound model='ich9'/><audio id='1' type='spice'/>
    <video><model type='virtio' heads='1' primary='yes'/></video>
    <redirdev bus='usb' type='spicevmc'/><redirdev bus='usb' type='spicevmc'/>
    <watchdog model='itco' action='reset'/>
    <memballoon model='virtio'/>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>"""
OLD = """
<domain type='qemu'>
  <name>old pc</name><memory unit='GiB'>1</memory><currentMemory unit='MiB'>512</currentMemory><vcpu>1</vcpu>
  <os><type arch='{arch}' machine='{machine}'>hvm</type>{os}</os>
  <devices>{disks}{more}</devices>
</domain>"""
DISK = (
    "<disk type='{type}' device='disk'><driver name='qemu' type='{format}'{driver}/><source {at}='{path}'/>"
    "<target dev='{dev}' bus='{bus}'/>{more}</disk>"
)


def disk(path: Path | str = "{disk}", dev: str = "vda", bus: str = "virtio", more: str = "", **words: str) -> str:
    values = {"type": "file", "format": "qcow2", "driver": "", "at": "file", **words}
    return DISK.format(path=path, dev=dev, bus=bus, more=more, **values)


def machine(disks: str = disk(), more: str = "", *, os: str = "", type: str = "q35", arch: str = "x86_64") -> str:
    return OLD.format(disks=disks, more=more, os=os, machine=type, arch=arch)


@dataclass
class Import:
    """Imports into the project ``root``, whose disks are beside it."""

    root: Path
    monkeypatch: pytest.MonkeyPatch
    notes: list[str] = field(default_factory=list)

    @property
    def disk(self) -> Path:
        return self.root.parent / "old.qcow2"

    def __call__(self, xml: str, *, name: str = "old", reference: bool = False, **state: Any) -> dict[str, Any]:
        domain = ForeignDomain("the domain", xml.replace("{disk}", str(self.disk)), **state)
        self.monkeypatch.setattr(adopt, "look_at", lambda _: domain)
        import_domain(Wish(domain.name, name, reference), load_project(self.root, cache=False), self)
        assert load_project(self.root, cache=False).vms[name].source.kind == "imported"
        made: dict[str, Any] = yaml.safe_load((self.root / "vms.yml").read_text())["vms"][name]
        return made

    def note(self, text: str) -> None:
        self.notes.append(text)

    def update(self, done: int, total: int | None, unit: str = "B") -> None:
        """Nobody looks."""

    def noted(self, words: str) -> bool:
        return any(words in one for one in self.notes)


@pytest.fixture
def importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Import:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    root = tmp_path / "project"
    write(root, "vms: {}\n")
    found = Import(root, monkeypatch)
    make_image(found.disk, "1M", mark=b"old")
    monkeypatch.setattr(adopt, "host_arch", lambda: "x86_64")
    return found


def test_virt_managers(importing: Import) -> None:
    """Nothing but what the machine was named by is lost."""
    made = importing(VIRT_MANAGER)
    assert {key: made[key] for key in ("ram", "cpus", "machine", "network", "backend")} == {
        "ram": "4G",
        "cpus": 2,
        "machine": "pc-q35-7.2",
        "network": {"mode": "network", "network": "default"},
        "backend": "libvirt",
    }
    libvirt = made["libvirt"]
    devices = libvirt["devices"]
    assert (devices["video"][0]["model"], devices["graphics"][0]["type"]) == ("virtio", "spice")
    assert (len(devices["redirdev"]), devices["sound"][0]["model"]) == (2, "ich9")
    assert libvirt["cpu"]["mode"] == "host-passthrough" and "disks" not in devices
    assert [one.split()[0] for one in libvirt["snippets"]] == ["<pm>"]
    assert importing.notes == [
        "old: its network cards have new MAC addresses",
        "old: taken as XML, into libvirt.snippets: <pm>",
    ]


@pytest.mark.parametrize(
    ("dev", "bus", "type"), [("sda", "sata", "q35"), ("hda", "ide", "pc-i440fx-7.2"), ("sda", "scsi", "q35")]
)
def test_the_disk_stays_on_its_bus(importing: Import, dev: str, bus: str, type: str) -> None:
    """A guest may have no driver for another one."""
    controller = "<controller type='scsi' index='0' model='virtio-scsi'/>" if bus == "scsi" else ""
    made = importing(
        machine(disk(dev=dev, bus=bus, driver=" cache='none'", more="<serial>S1</serial>"), controller, type=type)
    )
    (snippet,) = made["libvirt"]["snippets"]
    assert f'dev="vda" bus="{bus}"' in snippet and 'cache="none"' in snippet and "<serial>S1" in snippet
    assert made["machine"] == type
    assert importing.noted("<currentMemory> of 512M")


def test_virt_installs_with_uefi(importing: Import) -> None:
    """Its variables are copied: Debian's installer names its boot loader only there."""
    nvram = importing.root.parent / "old_VARS.fd"
    nvram.write_bytes(b"variables")
    os = f"<firmware><feature enabled='yes' name='secure-boot'/></firmware><nvram>{nvram}</nvram><boot dev='hd'/>"
    tpm = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"
    xml = machine(more=tpm, os=os).replace("<os>", "<os firmware='efi'>")
    for name, reference in (("one", False), ("two", True)):
        made = importing(xml, name=name, reference=reference)
        copy = importing.root / "imported" / f"{name}.nvram"
        assert (made["firmware"], made["source"]["nvram_path"]) == ("uefi-secure", str(copy))
        assert (copy.read_bytes(), copy.stat().st_mode & 0o777) == (b"variables", 0o400)
        assert not (importing.root / "imported" / f".{name}.importing").exists()
    assert importing.noted("its TPM holds") and made["libvirt"]["devices"]["tpm"]
    nvram.unlink()
    assert "nvram_path" not in importing(xml, name="three")["source"], "a domain that was never started has none"


@pytest.mark.parametrize("auto", [True, False], ids=["libvirt finds the firmware", "we find it"])
def test_each_instance_begins_with_its_variables(
    importing: Import, auto: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvram = importing.root.parent / "vars.fd"
    nvram.write_bytes(b"variables")
    importing(machine(os=f"<loader type='pflash'>/c</loader><nvram>{nvram}</nvram>"))
    files = Files(Path("/code.fd"), Path("/template.fd"))
    monkeypatch.setattr(firmware, "find", lambda *_: files)

    class Able:
        def capabilities(self, arch: str, machine: str, uri: str | None = None) -> Capabilities:
            return Capabilities(("tcg",), firmware=("uefi-insecure",) if auto else ())

    record = new_record("old", None, importing.root, "libvirt", None, None)
    vm = load_project(importing.root, cache=False).vms["old"]
    boot = assemble(vm, record, cast(Backend, Able()), (), ()).boot
    assert boot.template == importing.root / "imported" / "old.nvram"
    assert boot.nvram == record.folder.path / "nvram-uefi-insecure.fd"
    record.folder.path.mkdir(parents=True)
    make_nvram(boot.template, boot.nvram)
    assert (boot.nvram.read_bytes(), boot.nvram.stat().st_mode & 0o777) == (b"variables", 0o600)


def test_several_disks_and_cdroms(importing: Import) -> None:
    cdrom = "<disk type='file' device='cdrom'><source file='/iso/{}.iso'/><target dev='{}' bus='sata'/></disk>"
    disks = cdrom.format("a", "sda") + disk() + disk("/d/data.raw", "vdb", format="raw") + cdrom.format("b", "sdb")
    made = importing(machine(disks, "<disk type='file' device='floppy'><target dev='fda'/></disk>"), reference=True)
    assert made["source"]["disk_path"] == str(importing.disk)
    left = [one.removeprefix("old: not taken: ") for one in importing.notes if "adds it" in one]
    adds = "; libvirt.devices.disks adds it"
    assert left == [f"cdrom sda, /iso/a.iso{adds}", f"disk vdb, /d/data.raw{adds}", f"cdrom sdb, /iso/b.iso{adds}"]
    assert "snippets" not in made.get("libvirt", {})


def test_a_raw_disk(importing: Import) -> None:
    raw = importing.root.parent / "old.img"
    raw.write_bytes(b"QFI\xfb" + b"x" * 4092)  # a header of its guest's making: it stays raw
    made = importing(machine(disk(raw, format="raw")), reference=True, name="there")
    assert (made["source"]["disk_path"], made["source"]["disk_format"]) == (str(raw), "raw")
    made = importing(machine(disk(raw, format="raw")), name="copy")
    assert made["source"]["disk_format"] == "qcow2"
    qemu_img("compare", "-q", "-f", "raw", "-F", "qcow2", raw, made["source"]["disk_path"])


def test_a_chain_of_snapshots(importing: Import) -> None:
    """It becomes one file; what it stood on is never needed again."""
    top = importing.root.parent / "old.snap1"
    qemu_img("create", "-q", "-f", "qcow2", "-b", importing.disk, "-F", "qcow2", top)
    with pytest.raises(RefusedError, match="stands on") as refused:
        importing(machine(disk(top)), reference=True)
    assert refused.value.hint == "ov vm import 'the domain' --copy"
    made = importing(machine(disk(top)), snapshots=2)
    qemu_img("compare", "-q", top, made["source"]["disk_path"])
    assert importing.noted("its snapshots (2)")
    assert b"backing" not in attempt("qemu-img", "info", made["source"]["disk_path"]).stdout.encode()
    importing.disk.unlink()
    with pytest.raises(OvError, match=r"old\.qcow2, is missing") as missing:
        importing(machine(disk(top)), name="again")
    assert "--backing-chain" in (missing.value.hint or "")


def test_a_block_device(importing: Import) -> None:
    """It is copied, never referred to. (A file stands for it, since a device needs root.)"""
    xml = machine(disk("/dev/null", type="block", format="raw", at="dev"))
    with pytest.raises(RefusedError, match="is not a file") as refused:
        importing(xml, reference=True)
    assert "--copy" in (refused.value.hint or "")
    raw = importing.root.parent / "volume"
    raw.write_bytes(b"block" * 4096)
    made = importing(machine(disk(raw, type="block", format="raw", at="dev")))
    qemu_img("compare", "-q", "-f", "raw", "-F", "qcow2", raw, made["source"]["disk_path"])


ENCRYPTED = disk(more="<encryption format='luks'><secret type='passphrase' uuid='x'/></encryption>")
POOL = "<disk type='volume' device='disk'><source pool='gone' volume='v'/><target dev='vda'/></disk>"
ERRORS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "no disk": (machine(""), {}, "has no disk", "virsh attach-disk"),
    "a volume of no pool": (machine(POOL), {}, "type volume", "virsh vol-download"),
    "encrypted": (machine(ENCRYPTED), {}, "is encrypted", "qemu-img convert"),
    "missing": (machine(disk("/none.qcow2")), {}, "/none.qcow2, is missing", "virsh domblklist"),
    "running": (machine(), {"active": True}, "runs", "virsh shutdown 'the domain'"),
    "saved": (machine(), {"saved": True}, "is saved", "virsh start 'the domain'"),
    "foreign": (machine(arch="aarch64", type="virt"), {}, "is a machine of aarch64", "aarch64"),
    "a name of no VM": (machine(), {"name": "my vm"}, "my vm", "--name"),
    "a container": ("<domain type='lxc'><os><type>exe</type></os></domain>", {}, "lxc", "QEMU and KVM"),
    "not what it says": (machine(disk(format="vmdk")), {}, "vmdk", "qemu-img"),
}


@pytest.mark.parametrize("kind", [*ERRORS])
def test_what_cannot_be_imported(importing: Import, kind: str) -> None:
    xml, how, message, hint = ERRORS[kind]
    with pytest.raises(OvError, match=message) as error:
        importing(xml, **how)
    assert hint in (error.value.hint or "")
    assert (importing.root / "vms.yml").read_text() == "vms: {}\n"
    assert not (importing.root / "imported").exists()


@pytest.mark.parametrize("place", ["disk", "nvram"])
def test_what_is_not_ours_to_read(importing: Import, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As images of qemu:///system are root's. (Root may read all: so the check is told that it may not.)"""
    nvram = importing.root.parent / "vars.fd"
    nvram.write_bytes(b"x")
    secret = importing.disk if place == "disk" else nvram
    opened = Path.open

    def closed(path: Path, *words: Any, **named: Any) -> Any:
        if path == secret:
            raise PermissionError(13, os.strerror(13), str(path))
        return opened(path, *words, **named)

    monkeypatch.setattr(Path, "open", closed)
    with pytest.raises(OvError, match="you may not read") as error:
        importing(machine(os=f"<loader type='pflash'>/c</loader><nvram>{nvram}</nvram>"))
    assert "setfacl -m u:" in (error.value.hint or "") and str(secret) in (error.value.hint or "")


def test_another_hosts_domain() -> None:
    with pytest.raises(InputError, match="another host") as error:
        look_at("old", "qemu+ssh://me@far/system")
    assert "virsh define" in (error.value.hint or "")


def test_volumes_of_pools_are_files(tmp_path: Path) -> None:
    class Daemon:
        def storagePoolLookupByName(self, name: str) -> Daemon:
            assert name == "pool"
            return self

        def storageVolLookupByName(self, name: str) -> Daemon:
            self.name = name
            return self

        def path(self) -> str:
            return f"/pool/{self.name}"

    xml = machine(POOL.replace("gone", "pool"))
    assert 'file="/pool/v"' in foreign._with_files(xml, Daemon())
