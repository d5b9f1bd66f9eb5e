"""Which firmware starts a disk: real partition tables by sfdisk, real file systems by mkfs.fat and mtools."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from ovtasks.errors import Where
from ovtasks.host.accel import host_arch
from ovtasks.host.run import run
from ovtasks.images.boot import PROGRAMS, Bootable, bootable
from ovtasks.images.fat import Fat, NotFatError
from ovtasks.images.glimpse import glimpse
from ovtasks.instance.boot_doubt import doubt
from ovtasks.project.model import CloudImageSource, VmSpec
from ovtasks.values.firmware import Firmware

pytestmark = pytest.mark.slow  # programs that make disks, many times
MiB = 1 << 20
BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
LAYOUT = f"label: gpt\nsize=1MiB, type={BIOS_BOOT}\nsize=8MiB, type={ESP}\nsize=4MiB, type={LINUX}\n"
CORE, ESP_START = 1 * MiB, 2 * MiB  # where sfdisk puts those
FALLBACK = f"EFI/BOOT/{PROGRAMS['x86_64'][0]}"


def program(machine: int = 0x8664, *, signed: bool = False, wide: bool = True) -> bytes:
    """The headers of a PE file."""
    optional = struct.pack("<H", 0x20B if wide else 0x10B) + bytes(110 if wide else 94)
    directories = b"".join(struct.pack("<II", 4096, 1024 if index == 4 and signed else 0) for index in range(16))
    headers = b"PE\0\0" + struct.pack("<H", machine) + bytes(18) + optional + directories
    return (b"MZ" + bytes(0x3A) + struct.pack("<I", 0x80)).ljust(0x80, b"\0") + headers + bytes(8192)


def write(disk: Path, place: int, data: bytes) -> None:
    with disk.open("r+b") as file:
        file.seek(place)
        file.write(data)


def a_disk(folder: Path, script: str = LAYOUT, size: int = 16 * MiB) -> Path:
    disk = folder / "disk.raw"
    with disk.open("wb") as file:
        file.truncate(size)
    run(["sfdisk", "--quiet", disk], stdin=script.encode())
    return disk


def fat(folder: Path, files: Mapping[str, bytes], *, kind: int = 16, size: int = 8 * MiB, cluster: int = 1) -> bytes:
    """A file system with those files."""
    image = folder / "fat.img"
    with image.open("wb") as file:
        file.truncate(size)
    run(["mkfs.fat", "-F", str(kind), "-s", str(cluster), image])
    environment = {"MTOOLS_SKIP_CHECK": "1"}
    made = set()
    for name, content in files.items():
        for parent in [*reversed(Path(name).parents)][1:]:
            if parent not in made:
                run(["mmd", "-i", image, f"::{parent}"], env=environment)
                made.add(parent)
        (folder / "content").write_bytes(content)
        run(["mcopy", "-i", image, folder / "content", f"::{name}"], env=environment)
    return image.read_bytes()


def grub(disk: Path, *, core: bool = True) -> None:
    """What GRUB's boot.img has in the places that count, and a core image where it says."""
    code = bytearray(440)
    code[:3], code[0x180:0x185], code[0x5C:0x64] = b"\xeb\x63\x90", b"GRUB ", struct.pack("<Q", CORE // 512)
    write(disk, 0, bytes(code))
    if core:
        write(disk, CORE, b"\x52\xe8\x28\x01" * 128)


def with_esp(folder: Path, files: Mapping[str, bytes]) -> Path:
    disk = a_disk(folder)
    write(disk, ESP_START, fat(folder, files))
    return disk


def found(disk: Path, machine: str = "x86_64") -> Bootable:
    known = bootable(disk, machine)
    assert known is not None
    return known


def test_partitions_alone_start_nothing(tmp_path: Path) -> None:
    """As bootc leaves them when it installs no boot loader."""
    known = found(a_disk(tmp_path))
    assert (known.bios, known.uefi) == (False, False)
    assert known.why_not_bios == "there is no boot code in its first sector"
    assert known.why_not_uefi == "its EFI system partition has no FAT file system"


def test_both(tmp_path: Path) -> None:
    disk = with_esp(tmp_path, {FALLBACK: program()})
    grub(disk)
    assert found(disk) == Bootable(True, True, signed=False)


def test_grub_without_what_it_loads(tmp_path: Path) -> None:
    disk = a_disk(tmp_path)
    grub(disk, core=False)
    known = found(disk)
    assert known.bios is False and "what it loads is not" in known.why_not_bios
    write(disk, 0x5C, struct.pack("<Q", 1 << 40))  # behind the disk's end
    assert found(disk).bios is False


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "is empty"),
        ({"startup.nsh": b"x"}, "has no EFI/BOOT/BOOTX64.EFI"),
        ({"EFI/systemd/systemd-bootx64.efi": program()}, "has no EFI/BOOT/BOOTX64.EFI"),
        ({"EFI/BOOT/BOOTAA64.EFI": program(0xAA64)}, "has BOOTAA64.EFI, for another architecture, and no BOOTX64.EFI"),
        ({FALLBACK: program(0xAA64)}, "a program for another architecture"),
        ({FALLBACK: b""}, "is not an EFI program"),
        ({FALLBACK: b"MZ" + bytes(5000)}, "is not an EFI program"),
        ({FALLBACK: b"#!/bin/sh\n"}, "is not an EFI program"),
        ({"EFI": b"a file"}, "has no EFI/BOOT/BOOTX64.EFI"),
        ({"EFI/BOOT/BOOTX64.EFI/x": b"a folder"}, "has no EFI/BOOT/BOOTX64.EFI"),
    ],
)
def test_what_the_esp_lacks(tmp_path: Path, files: Mapping[str, bytes], why: str) -> None:
    known = found(with_esp(tmp_path, files))
    assert known.uefi is False and why in known.why_not_uefi


@pytest.mark.parametrize("machine", sorted(PROGRAMS))
def test_every_architecture_has_its_own_program(tmp_path: Path, machine: str) -> None:
    """By its long name where it is one; in whatever case."""
    name, number = PROGRAMS[machine]
    disk = with_esp(tmp_path, {f"efi/Boot/{name.lower()}": program(number)})
    assert found(disk, machine).uefi is True
    other = "x86_64" if machine != "x86_64" else "aarch64"
    assert found(disk, other).uefi is False


@pytest.mark.parametrize(("kind", "size", "cluster"), [(12, 4 * MiB, 4), (16, 8 * MiB, 1), (32, 40 * MiB, 1)])
def test_every_width_of_fat(tmp_path: Path, kind: int, size: int, cluster: int) -> None:
    """A folder and a file of many clusters, with names that do not fit into eight letters and three."""
    files = {f"EFI/BOOT/a name of its own, number {number}.efi": bytes(40) for number in range(30)}
    image = tmp_path / "fat"
    image.write_bytes(fat(tmp_path, {**files, FALLBACK: program(signed=True)}, kind=kind, size=size, cluster=cluster))
    with image.open("rb") as file:
        system = Fat(file, 0)
        entry = system.find(FALLBACK.lower())
        assert entry is not None and system.head(entry, 1 << 20) == program(signed=True)
        folder = system.find("EFI/BOOT")
        assert {name.rpartition("/")[2] for name in files} < {entry.name for entry in system.entries(folder)}
    assert found(image) == Bootable(None, True, True), "mkfs.fat writes boot code of its own"


@pytest.mark.parametrize(("signed", "wide"), [(True, True), (False, True), (True, False), (False, False)])
def test_a_signature(tmp_path: Path, signed: bool, wide: bool) -> None:
    disk = with_esp(tmp_path, {FALLBACK: program(signed=signed, wide=wide)})
    assert found(disk).signed is signed


def test_damaged_file_systems_end_the_search(tmp_path: Path) -> None:
    """Chains in a circle, clusters beyond the end, random bytes."""
    content = bytearray(fat(tmp_path, {FALLBACK: program()}, kind=16))
    image = tmp_path / "damaged"
    for place in range(512, 4096, 2):
        content[place : place + 2] = b"\x02\x00"
    image.write_bytes(content)
    found(image)
    for cut in (0, 3, 89, 512, 5000):
        image.write_bytes(content[:cut])
        try:
            with image.open("rb") as file:
                Fat(file, 0).find(FALLBACK)
        except NotFatError:
            assert cut < 512


def test_the_older_table_has_an_esp_too(tmp_path: Path) -> None:
    disk = a_disk(tmp_path, "label: dos\nsize=8MiB, type=ef\nsize=4MiB, type=83\n")
    write(disk, MiB, fat(tmp_path, {FALLBACK: program()}))
    assert found(disk).uefi is True
    extended = a_disk(tmp_path, "label: dos\nsize=4MiB, type=83\nsize=8MiB, type=5\n")
    assert found(extended).uefi is None, "what is inside is not looked at"


def test_a_hybrid_table(tmp_path: Path) -> None:
    """The GPT counts, whatever else the first sector lists."""
    disk = with_esp(tmp_path, {FALLBACK: program()})
    write(disk, 446 + 16, struct.pack("<B3xB3xII", 0x80, 0x83, 2048, 2048) + b"\0")
    grub(disk)
    assert found(disk) == Bootable(True, True, signed=False)


def test_a_protective_table_alone(tmp_path: Path) -> None:
    disk = with_esp(tmp_path, {FALLBACK: program()})
    write(disk, 512, bytes(512))
    assert found(disk).uefi is True, "by the copy at the disk's end"
    write(disk, 16 * MiB - 512, bytes(512))
    known = found(disk)
    assert (known.bios, known.uefi) == (False, False)
    assert known.why_not_uefi == "it has no EFI system partition"


def test_boot_code_that_nobody_knows(tmp_path: Path) -> None:
    """Of another loader: it may well do, and is sure to where a partition is marked for it."""
    disk = a_disk(tmp_path, "label: dos\nsize=4MiB, type=83\n")
    write(disk, 0, b"\xfa\x31\xc0" * 20)
    assert found(disk).bios is None
    disk = a_disk(tmp_path, "label: dos\nsize=4MiB, type=83, bootable\n")
    write(disk, 0, b"\xfa\x31\xc0" * 20)
    write(disk, MiB, b"\xeb\x58\x90")
    assert found(disk).bios is True


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"EFI PART" * 512, b"\0" * 512 + b"EFI PART" + b"\xff" * 4096])
def test_without_a_table_nothing_is_said(tmp_path: Path, content: bytes) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(content)
    assert bootable(disk) is None


def test_whatever_stands_there_ends_in_an_answer(tmp_path: Path) -> None:
    """Bytes changed in the tables and the file system, with the sums right again: places beyond any disk, too."""
    disk = with_esp(tmp_path, {FALLBACK: program(), "EFI/BOOT/a name that is long.efi": bytes(9000)})
    grub(disk)
    good, dice = disk.read_bytes(), random.Random(7)
    places = [(0, 512), (512, 604), (1024, 1536), (ESP_START, ESP_START + 512), (ESP_START, ESP_START + 81920)]
    for _ in range(200):
        data = bytearray(good)
        for _ in range(dice.randint(1, 12)):
            data[dice.randrange(*dice.choice(places))] = dice.choice([0, 255, dice.randrange(256)])
        data[528:532] = bytes(4)
        (size,) = struct.unpack_from("<I", data, 524)
        data[528:532] = struct.pack("<I", zlib.crc32(data[512 : 512 + min(size, 512)]))
        disk.write_bytes(data if dice.random() < 0.9 else data[: dice.randrange(len(data))])
        known = bootable(disk, "x86_64")
        assert known is None or {known.bios, known.uefi} <= {True, False, None}


@pytest.mark.parametrize("form", ["raw", "qcow2", "compressed", "overlay"])
def test_a_look_into_an_image(tmp_path: Path, form: str) -> None:
    """As a cloud image is: with the same answer, and by a path with what option lists are taken apart at."""
    raw = with_esp(tmp_path, {FALLBACK: program()})
    grub(raw)
    image = tmp_path / "an, image=1"
    if form == "raw":
        image = raw
    else:
        words = ["-c"] if form == "compressed" else []
        run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", *words, raw, image])
    if form == "overlay":
        run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "qcow2", tmp_path / "over", "1G"])
        image = tmp_path / "over"
    with glimpse(image) as part:
        assert bootable(part, "x86_64") == bootable(raw, "x86_64") == Bootable(True, True, signed=False)
    assert not part.exists()


@pytest.mark.parametrize(
    ("firmware", "said"),
    [
        ("bios", "cannot be started by firmware bios: there is no boot code"),
        ("uefi-insecure", None),
        ("uefi-secure", None),
    ],
)
def test_a_doubt_is_said(tmp_path: Path, firmware: str, said: str | None) -> None:
    """Of a disk whose installer said nothing; one that nothing starts is something else's affair."""
    vm = VmSpec("web", CloudImageSource("cloud_image", {}), Where("vms.yml"), firmware=Firmware(firmware))
    name, number = PROGRAMS[host_arch()]
    found = doubt(vm, with_esp(tmp_path, {f"EFI/BOOT/{name}": program(number)}))
    assert (said in found and "firmware: uefi-insecure" in found) if said and found else found is None
    assert doubt(vm, a_disk(tmp_path)) is doubt(vm, tmp_path / "none") is None


def test_what_is_remembered_of_it() -> None:
    known = Bootable(True, None, False, "", "because")
    assert Bootable.from_json(known.to_json()) == known
    assert Bootable.from_json({"bios": 1, "uefi": "yes"}) == Bootable(None, None)
