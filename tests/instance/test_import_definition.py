"""What ``ov vm import`` makes of a domain's XML."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.errors import InputError
from ovtasks.sources.imported.definition import Adoption, adoption_of

DISK = "<disk type='file' device='disk'><driver type='{}'/><source file='/d/{}'/><target dev='{}'/>{}</disk>"
ROOT_DISK = DISK.format("qcow2", "a.qcow2", "vda", "")


def adopted(
    devices: str = ROOT_DISK, *, os: str = "<type arch='x86_64' machine='q35'>hvm</type>", more: str = ""
) -> Adoption:
    head = f"<memory>1048576</memory><vcpu>2</vcpu><os>{os}</os>{more}"
    return adoption_of(f"<domain type='kvm'>{head}<devices>{devices}</devices></domain>", "web")


def test_the_least() -> None:
    found = adopted()
    assert (found.disk.path, found.disk.format, found.arch) == (Path("/d/a.qcow2"), "qcow2", "x86_64")
    assert {**found.entry, "libvirt": None} == {
        "ram": "1G",
        "cpus": 2,
        "machine": "q35",
        "backend": "libvirt",
        "libvirt": None,
    }


def test_the_disk_that_it_boots_from_and_no_other() -> None:
    first = DISK.format("raw", "b.img", "vda", "<boot order='2'/>")
    second = DISK.format("qcow2", "c.qcow2", "vdb", "<boot order='1'/>")
    cdrom = "<disk type='file' device='cdrom'><source file='/d/x.iso'/><target dev='sda'/></disk>"
    empty = "<disk type='file' device='cdrom'><target dev='sdb'/></disk>"
    found = adopted(first + second + cdrom + empty)
    assert (found.disk.path, found.disk.format) == (Path("/d/c.qcow2"), "qcow2")
    left = [one for one in found.notes if "disk" in one or "cdrom" in one]
    assert [("/d/b.img" in one, "/d/x.iso" in one) for one in left] == [(True, False), (False, True)]
    assert "disks" not in found.entry.get("libvirt", {}).get("devices", {})


@pytest.mark.parametrize(
    ("card", "network"),
    [
        ("<interface type='user'/>", None),
        ("<interface type='user'><model type='rtl8139'/></interface>", {"model": "rtl8139"}),
        (
            "<interface type='network'><mac address='52:54:00:0:0:1'/><source network='lab'/></interface>",
            {"mode": "network", "network": "lab"},
        ),
        ("<interface type='bridge'><source bridge='br0'/></interface>", {"mode": "bridge", "bridge": "br0"}),
        ("<interface type='direct'><source dev='eth0' mode='bridge'/></interface>", {"mode": "direct", "dev": "eth0"}),
    ],
)
def test_the_first_card(card: str, network: dict[str, str] | None) -> None:
    assert adopted(ROOT_DISK + card).entry.get("network") == network


def test_a_card_that_we_have_no_mode_for_is_named() -> None:
    found = adopted(f"{ROOT_DISK}<interface type='hostdev'/>")
    assert any("of type hostdev" in one for one in found.notes) and "network" not in found.entry


def test_further_cards_have_addresses_of_their_own() -> None:
    inside = "<mac address='52:54:00:aa:bb:cc'/><source bridge='b'/><model type='virtio'/>"
    cards = f"<interface type='user'/><interface type='bridge'>{inside}</interface>"
    (card,) = adopted(ROOT_DISK + cards).entry["libvirt"]["devices"]["interfaces"]
    assert (card["type"], "mac" in card) == ("bridge", False)


@pytest.mark.parametrize(
    ("os", "firmware", "nvram"),
    [
        ("<type>hvm</type><loader type='pflash' secure='yes'>/x</loader>", "uefi-secure", None),
        ("<type>hvm</type><loader type='pflash'>/x</loader><nvram>/y</nvram>", "uefi-insecure", "/y"),
        (
            "<type>hvm</type><loader type='pflash'>/x</loader><nvram type='file'><source file='/z'/></nvram>",
            "uefi-insecure",
            "/z",
        ),
        ("<type>hvm</type><loader type='rom'>/x</loader>", None, None),
    ],
)
def test_the_firmware(os: str, firmware: str | None, nvram: str | None) -> None:
    found = adopted(os=os)
    assert found.entry.get("firmware") == firmware
    assert found.nvram == (Path(nvram) if nvram else None)


def test_what_has_no_field_is_named() -> None:
    found = adopted(os="<type>hvm</type><kernel>/k</kernel><bootmenu enable='yes'/>", more="<nonsense/>")
    assert "not taken: <kernel>, <bootmenu> of <os>" in found.notes and "not taken: <nonsense>" in found.notes


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        ("", "has no disk"),
        ("<disk type='network' device='disk'><source protocol='rbd' name='p/i'/></disk>", "of type network"),
    ],
)
def test_without_a_disk_in_a_file(devices: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        adopted(devices)


def test_a_container_is_no_vm() -> None:
    with pytest.raises(InputError, match="lxc"):
        adoption_of("<domain type='lxc'><os><type>exe</type></os></domain>", "web")


def test_what_a_card_has_besides_is_named() -> None:
    inside = "<source bridge='b'/><filterref filter='clean-traffic'/><mtu size='9000'/><address type='pci'/>"
    found = adopted(f"{ROOT_DISK}<interface type='bridge'>{inside}</interface>")
    assert "not taken: <filterref>, <mtu> of the first network card" in found.notes


def test_a_display_that_others_reach_is_named() -> None:
    here, there = (f"<graphics type='vnc'><listen type='address' address='{one}'/></graphics>" for one in ("::1", "::"))
    assert not any("display" in one for one in adopted(ROOT_DISK + here).notes)
    assert any("it listens on ::" in one for one in adopted(ROOT_DISK + there).notes)
