"""Half an image is not an image: qcow2 and raw disks are as long as their own tables say."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovtasks.errors import OvError
from tests.images.chain import Chain
from tests.support.programs import qemu_img

pytestmark = pytest.mark.slow  # as a whole


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, bytes]]:
    """Images by the words that made them, of a disk with data at its end."""
    folder = tmp_path_factory.mktemp("whole")
    raw, made = folder / "disk.raw", folder / "disk.qcow2"
    raw.write_bytes(bytes(510) + b"\x55\xaa" + os.urandom(500_000) + bytes(200_000) + os.urandom(65536 * 12 - 700_512))
    found = {}
    for words in MADE:
        qemu_img("convert", "-f", "raw", "-O", "qcow2", *words.split(), raw, made)
        found[words] = made.read_bytes()
    yield found


MADE = [
    "",
    "-c",
    "-c -o compression_type=zstd",
    "-c -o cluster_size=4k",
    "-o compat=0.10",
    "-o cluster_size=512",
    "-o extended_l2=on",
    "-o preallocation=metadata",
    "-o preallocation=full",
    "-o lazy_refcounts=on",
]


@pytest.mark.parametrize("words", MADE)
def test_cut_images_are_refused_and_whole_ones_are_not(
    tmp_path: Path, chain: Chain, whole: dict[str, bytes], words: str
) -> None:
    """Wherever the cut is: in the last cluster too, which qemu-img check does not see."""
    image, own = whole[words], tmp_path / "image"
    chain.write(str(own))
    for size in (len(image) - 5000, len(image) * 2 // 3, len(image) // 3, 200_000, 70_000, 300):
        own.write_bytes(image[:size])
        with pytest.raises(OvError, match=r"cut off|damaged|cannot be read") as caught:
            chain.build()
        assert caught.value.hint and chain.store.entries() == []
    own.write_bytes(image)
    chain.build()
    chain.is_right(image)


def gpt(sectors: int, last: int, *, size: int = 512) -> bytes:
    """A disk with one partition that ends with sector ``last``."""
    entry = bytes(range(1, 17)) + bytes(range(16, 32)) + struct.pack("<QQ", 40, last) + bytes(80)
    header = b"EFI PART" + bytes(24) + struct.pack("<Q", sectors - 1) + bytes(32) + struct.pack("<QII", 2, 4, 128)
    protective = bytes(446) + struct.pack("<BBBBBBBBII", 0, 0, 2, 0, 0xEE, 255, 255, 255, 1, sectors - 1)
    boot = protective + bytes(48) + b"\x55\xaa"
    table = boot.ljust(size, b"\0") + header.ljust(size, b"\0") + entry.ljust(size, b"\0")
    return table.ljust(sectors * size, b"\0")


def mbr(sectors: int, *partitions: tuple[int, int, int]) -> bytes:
    """A disk with these partitions: type, first sector, length."""
    entries = b"".join(struct.pack("<B3xB3xII", 0, *one) for one in partitions)
    return (bytes(446) + entries.ljust(64, b"\0") + b"\x55\xaa").ljust(sectors * 512, b"\0")


RAW = [
    (gpt(200, 166), None),
    (gpt(200, 166)[: 150 * 512], "partition 1 ends at byte 85504"),
    (gpt(200, 166)[:-512], "the partition table's copy ends at byte 102400"),
    (gpt(100, 80, size=4096), None),
    (gpt(100, 80, size=4096)[: 70 * 4096], "partition 1 ends at byte 331776"),
    (mbr(200, (0x83, 1, 100), (0x82, 101, 99)), None),
    (mbr(200, (0x83, 1, 100), (0x82, 101, 100)), "partition 2 ends at byte 102912"),
    (mbr(200, (0x83, 1, 100), (5, 101, 99))[:-1], "partition 2 ends at byte 102400"),
    (b"\xeb\x3c\x90MSDOS5.0".ljust(446, b"\x33") + b"\x90" * 64 + b"\x55\xaa" + bytes(9000), None),
    (mbr(200), None),
]


@pytest.mark.parametrize(("data", "said"), RAW, ids=range(len(RAW)))
def test_raw_disks_hold_their_partitions(tmp_path: Path, chain: Chain, data: bytes, said: str | None) -> None:
    (tmp_path / "disk.raw").write_bytes(data)
    chain.write(str(tmp_path / "disk.raw"))
    if said is None:
        chain.build()
        chain.is_right(data)
        return
    with pytest.raises(OvError, match=f"is cut off: the file has {len(data)} bytes, and {said}"):
        chain.build()
