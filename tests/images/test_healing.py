"""Wrong bytes come, or right ones are damaged later: the next plain build is right, and nothing lies about."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ovtasks.errors import InputError, OvError
from ovtasks.images.fetch import fetch
from ovtasks.images.lockfile import write_lock
from ovtasks.images.request import ImageRequest, Pin
from ovtasks.project.model import Checksum
from tests.images.chain import Chain
from tests.images.conftest import NAME, leftovers
from tests.images.test_content import COMPRESSORS
from tests.support.programs import qemu_img
from tests.support.server import Site

pytestmark = pytest.mark.slow  # as a whole

PATH = f"/{NAME}"
HTML = b"<html><body>Please log in</body></html>"


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return Chain(tmp_path / "project", tmp_path / "store")


def damaged(image: bytes) -> bytes:
    return image[:-300] + b"damage" + image[-294:]


def misaligned(image: bytes) -> bytes:
    """A qcow2 whose first L2 table is at a place where none can be."""
    at = struct.unpack(">Q", image[40:48])[0]
    return image[:at] + struct.pack(">Q", struct.unpack(">Q", image[at : at + 8])[0] + 512) + image[at + 8 :]


WRONG: dict[str, Callable[[bytes], bytes]] = {
    "portal": lambda image: HTML,
    "half": lambda image: image[: len(image) // 2],
    "damaged": damaged,
    "another format": lambda image: b"KDMV" + image[4:],
    "empty": lambda image: b"",
    "longer": lambda image: image + b"more",
    "corrupt table": misaligned,
}
NOT_SEEN = {"damaged", "longer"}  # where nothing says what the bytes must be


@pytest.mark.parametrize("place", ["path", "file", "http"])
@pytest.mark.parametrize(
    ("name", "checksum"),
    [(name, kind) for name in WRONG for kind in ("none", "value", "file") if kind != "none" or name not in NOT_SEEN],
)
def test_wrong_bytes_then_right_ones(
    site: Site, tmp_path: Path, chain: Chain, image: bytes, name: str, checksum: str, place: str
) -> None:
    digest, own = hashlib.sha256(image).hexdigest(), tmp_path / NAME
    url = {"path": str(own), "file": own.as_uri(), "http": f"{site.url}{PATH}"}[place]

    def put(data: bytes) -> None:
        own.write_bytes(data)
        site.files[PATH] = data

    if checksum == "file":
        (tmp_path / "SHA256SUMS").write_text(f"{digest}  {NAME}\n", encoding="utf-8")
        site.files["/SHA256SUMS"] = f"{digest}  {NAME}\n".encode()
    chain.write(url, {"none": None, "value": {"value": digest}, "file": {"type": "sha256"}}[checksum])
    put(WRONG[name](image))
    for _ in range(2):
        with pytest.raises(OvError) as caught:
            chain.build()
        assert chain.store.entries() == [] and leftovers(chain.store) == []
        assert place == "http" or "was removed" not in caught.value.message, "a user's own file is never removed"
    put(image)
    assert chain.build() == ["fetch", "verify"]
    chain.is_right(image)


@pytest.mark.parametrize("name", COMPRESSORS)
@pytest.mark.parametrize("wrong", ["cut", "other content", "portal"])
def test_compressed(site: Site, chain: Chain, image: bytes, name: str, wrong: str) -> None:
    packed = COMPRESSORS[name](image)
    chain.write(f"{site.url}/disk.{name}", None if wrong == "portal" else {"value": hashlib.sha256(packed).hexdigest()})
    other = {"cut": packed[:-9], "other content": COMPRESSORS[name](damaged(image)), "portal": COMPRESSORS[name](HTML)}
    site.files[f"/disk.{name}"] = other[wrong]
    with pytest.raises(OvError):
        chain.build()
    assert leftovers(chain.store) == []
    site.files[f"/disk.{name}"] = packed
    chain.build()
    chain.is_right(image)


def test_corrected_checksum_file_is_read_again(site: Site, chain: Chain, image: bytes, sha256: str) -> None:
    chain.write(f"{site.url}{PATH}", {"type": "sha256"})
    site.files[f"{PATH}.sha256"] = b"a" * 64
    with pytest.raises(OvError, match="wrong digest"):
        chain.build()
    site.files[f"{PATH}.sha256"] = sha256.encode()
    chain.build()
    chain.is_right(image)


def test_refresh_that_brings_wrong_bytes_leaves_what_was_built(site: Site, chain: Chain, image: bytes) -> None:
    """The old image stays what is used, without a word and without the network."""
    from ovtasks.images.fetch import revalidate
    from ovtasks.images.provenance import Fetched

    chain.write(f"{site.url}{PATH}")
    chain.build()
    request = ImageRequest(f"{site.url}{PATH}", Checksum("none"), chain.cache)
    fetched: Fetched = fetch(request, chain.notes)
    for wrong in (HTML, image[:150_000], b"KDMV" + image):
        site.files[PATH] = wrong
        with pytest.raises(OvError):
            revalidate(request, fetched, chain.notes)
        asked = len(site.requests)
        chain.is_right(image)
        assert len(site.requests) == asked and fetch(request, chain.notes) == fetched


def test_locked_bytes_are_what_is_fetched_towards(site: Site, chain: Chain, image: bytes, sha256: str) -> None:
    url = f"{site.url}{PATH}"
    chain.write(url, {"type": "sha256"})
    write_lock(chain.root / "ovtasks.lock", {url: Pin(url, sha256, len(image))})
    site.files[PATH] = image + bytes(512)
    with pytest.raises(OvError, match="wrong digest") as caught:
        chain.build()
    assert "ov lock --update" in (caught.value.hint or "")
    site.files[PATH] = image
    chain.build()
    chain.is_right(image)
    assert chain.verified().expected_from == "ovtasks.lock"


def test_resumed_onto_damaged_bytes_begins_anew(site: Site, chain: Chain, image: bytes, sha256: str) -> None:
    """What an earlier run left was damaged since: one run notices, and ends right."""
    chain.write(f"{site.url}{PATH}", {"value": sha256})
    site.faults[PATH] = ["drop:200000", *["status:500"] * 9]
    with pytest.raises(OvError):
        chain.build()
    site.faults.clear()
    (part,) = chain.cache.glob("incoming/*.part")
    with part.open("r+b") as file:
        file.seek(1000)
        file.write(b"damage")
    chain.build()
    chain.is_right(image)
    assert any("once more from the start" in note for note in chain.notes.notes)


def killed_between_fetch_and_verify(chain: Chain) -> Path:
    """A build that ended after its fetch; the path of what it left."""
    from ovtasks.graph import plugins
    from ovtasks.graph.chains import Graph
    from ovtasks.graph.execute import execute
    from ovtasks.project.load import load_project

    graph = Graph(load_project(chain.root, kinds=plugins.schema, cache=False))
    (step,) = [step for step in graph.chain("a") if step.verb == "fetch"]
    execute(step, {}, graph.locks, chain.notes)
    (part,) = chain.cache.glob("incoming/*.part")
    return part


@pytest.mark.parametrize("harm", ["cut", "same length", "zeroed", "gone"])
def test_bytes_harmed_before_they_had_a_name(site: Site, chain: Chain, image: bytes, harm: str) -> None:
    chain.write(f"{site.url}{PATH}")
    part = killed_between_fetch_and_verify(chain)
    HARMS[harm](part)
    chain.build()
    chain.is_right(image)


@pytest.mark.parametrize("name", ["portal", "half", "another format"])
def test_project_that_an_older_version_left_stuck(site: Site, chain: Chain, image: bytes, name: str) -> None:
    """It fetched wrong bytes and had not looked at them: its fetch is finished, its download lies beside the store."""
    chain.write(f"{site.url}{PATH}")
    part = killed_between_fetch_and_verify(chain)
    wrong = WRONG[name](image)
    digest = hashlib.sha256(wrong).hexdigest()
    part.chmod(0o600)
    part.write_bytes(wrong)
    chain.store.note_parts(part.name.partition(".")[0])
    (index,) = [path for path in chain.cache.glob("by-url/*.json") if path.name.count(".") == 1]
    old = hashlib.sha256(image).hexdigest()
    for record in (index, *chain.root.glob("output/.images/*.fetched.json.receipt.json")):
        text = record.read_text(encoding="utf-8").replace(old, digest)
        record.write_text(re.sub(rf": ?{len(image)}\b", f": {len(wrong)}", text), encoding="utf-8")
    for verified in chain.cache.glob("by-url/*.verified.json"):
        verified.unlink()
    assert chain.build() == ["verify"]
    assert any("what an earlier build brought is dropped" in note for note in chain.notes.notes)
    chain.build()
    chain.is_right(image)


def test_bytes_gone_and_the_server_has_others_by_now(site: Site, chain: Chain, image: bytes) -> None:
    """What was fetched was never built from: what is there now is as good. What was built from is not exchanged."""
    chain.write(f"{site.url}{PATH}")
    killed_between_fetch_and_verify(chain).unlink()
    newer = image + bytes(512)
    site.files[PATH] = newer
    chain.build()
    chain.build()
    chain.is_right(newer)
    site.files[PATH] = image
    shutil.rmtree(chain.cache)
    chain.link().unlink()
    with pytest.raises(OvError, match="brings other bytes") as caught:
        chain.build()
    assert "--refresh" in (caught.value.hint or "") and leftovers(chain.store) == []


def overwrite(path: Path) -> None:
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(70_000)
        file.write(b"other bytes")
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))


def cut(path: Path, size: int) -> None:
    path.chmod(0o644)
    os.truncate(path, size)


HARMS: dict[str, Callable[[Path], None]] = {
    "cut": lambda path: cut(path, 100_000),
    "zeroed": lambda path: cut(path, 0),
    "same length": overwrite,
    "gone": lambda path: path.unlink(),
    "longer": lambda path: cut(path, 10 << 20),
}


@pytest.mark.parametrize("where", ["store", "link", "copy of the link"])
@pytest.mark.parametrize("checksum", ["none", "value", "file"])
@pytest.mark.parametrize("harm", HARMS)
def test_harmed_later(
    site: Site, chain: Chain, image: bytes, sha256: str, harm: str, checksum: str, where: str
) -> None:
    """By its name in the store, through a hard link of it, or a file of its own in the project (another disk)."""
    site.files["/SHA256SUMS"] = f"{sha256}  {NAME}\n".encode()
    checksums: dict[str, dict[str, str] | None] = {"none": None, "value": {"value": sha256}, "file": {"type": "sha256"}}
    chain.write(f"{site.url}{PATH}", checksums[checksum])
    chain.build()
    link = chain.link()
    if where == "copy of the link":
        shutil.copy2(link, tmp := link.with_suffix(".tmp"))
        tmp.replace(link)
        chain.build()
    HARMS[harm](chain.store.path(sha256) if where == "store" else link)
    chain.build()
    if where == "store" and harm == "gone":
        assert chain.link().read_bytes() == image, "the project's link is enough"
        return
    chain.is_right(image)


def test_lost_store_is_made_anew_from_the_project(site: Site, chain: Chain, image: bytes, sha256: str) -> None:
    """Offline, the store harmed, a good copy in the project: that is read, found right and taken."""
    chain.write(f"{site.url}{PATH}")
    chain.build()
    base = chain.root / "output" / "a" / f"base-{sha256[:12]}.qcow2"
    base.parent.mkdir()
    base.write_bytes(image)
    overwrite(chain.link())
    site.files.clear()
    chain.build()
    chain.is_right(image)
    assert any(f"taken from {base}" in note for note in chain.notes.notes)
    overwrite(chain.link())
    base.write_bytes(damaged(image))
    with pytest.raises(OvError, match="404"):
        chain.build()
    site.files[PATH] = image
    chain.build()
    chain.is_right(image)


def test_two_projects_share_the_store_and_one_harms_it(site: Site, chain: Chain, image: bytes, sha256: str) -> None:
    other = Chain(chain.root.with_name("other"), chain.cache)
    for each in (chain, other):
        each.write(f"{site.url}{PATH}", {"value": sha256})
        each.build()
    overwrite(other.link())
    chain.build()
    chain.is_right(image)
    other.build()
    other.is_right(image)


def test_known_stat_is_not_read_again(
    site: Site, chain: Chain, image: bytes, sha256: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ovtasks.images import store

    chain.write(f"{site.url}{PATH}")
    chain.build()
    monkeypatch.setattr(store, "_sha256_of", lambda path: pytest.fail(f"{path} was read"))
    assert chain.store.sound(sha256, len(image)) and chain.build() == []
    other = Chain(chain.root.with_name("other"), chain.cache)
    other.write(f"{site.url}{PATH}", {"value": sha256})
    other.build()
    assert other.link().samefile(chain.link())


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


ODD_NAMES = [
    "my image.qcow2",
    "100%.qcow2",
    "a#b.qcow2",
    "what?.qcow2",
    "%41.qcow2",
    "bär-日本.qcow2",
    "a&b=c;d.qcow2",
    "[x].qcow2",
    "~.qcow2",
    "a@b:c.qcow2",
    "\\.qcow2",
    "'q\"uote.qcow2",
    " blank",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_of_any_character(tmp_path: Path, site: Site, image: bytes, sha256: str, name: str) -> None:
    """As a path, taken literally; as a file URL and as a web address, percent-encoded; with digests beside them."""
    from urllib.parse import quote

    own = tmp_path / "My Images" / name
    own.parent.mkdir()
    own.write_bytes(image)
    line = f"{sha256.upper()} *{name}\n"
    if "\\" in name:  # as coreutils writes it
        line = "\\" + line.replace("\\", "\\\\")
    (own.parent / "SHA256SUMS").write_text(line, encoding="utf-8")
    site.files[f"/{quote(name)}"] = image
    site.files["/SHA256SUMS"] = (own.parent / "SHA256SUMS").read_bytes()
    for number, url in enumerate((str(own), own.as_uri(), f"{site.url}/{quote(name)}")):
        chain = Chain(tmp_path / f"p{number}", tmp_path / f"s{number}")
        chain.write(url, {"type": "sha256"})
        chain.build()
        chain.is_right(image)


def test_blanks_in_a_web_address(site: Site, chain: Chain, image: bytes) -> None:
    site.files["/my%20images/disk%201.qcow2"] = image
    chain.write(f"{site.url}/my images/disk 1.qcow2")
    chain.build()
    chain.is_right(image)


def test_missing_image_is_that(site: Site, chain: Chain, tmp_path: Path) -> None:
    for url, said, kind in (
        (f"{site.url}/none.qcow2", "the server answered 404", OvError),
        (str(tmp_path / "none.qcow2"), "cannot read the image .*No such file", InputError),
        ((tmp_path / "none.qcow2").as_uri(), "cannot read the image .*No such file", InputError),
        (str(tmp_path), "is a directory, not an image", InputError),
    ):
        chain.write(url, {"type": "sha256"})
        with pytest.raises(kind, match=said) as caught:
            chain.build()
        assert "checksum" not in caught.value.message and caught.value.hint


def test_places_that_are_no_checksum_files(chain: Chain, tmp_path: Path, image: bytes) -> None:
    """Each is named, and none is waited for."""
    own = tmp_path / NAME
    own.write_bytes(image)
    os.mkfifo(f"{own}.SHA256")
    (tmp_path / f"{NAME}.sha256").mkdir()
    (tmp_path / "SHA256SUMS").symlink_to("nowhere")
    (tmp_path / "SHA512SUMS").write_bytes(bytes(2 << 20))
    chain.write(str(own), {"type": "sha256"})
    with pytest.raises(InputError, match="no checksum found") as caught:
        chain.build()
    for said in (".SHA256 is not a regular file", ".sha256 is a directory", "SHA256SUMS: no such file", "larger than"):
        assert said in caught.value.message


def test_checksum_at_its_own_place(site: Site, chain: Chain, tmp_path: Path, image: bytes, sha256: str) -> None:
    site.files["/sums/all.txt"] = f"{'b' * 64}  other\n{sha256}  {NAME}\n".encode()
    (tmp_path / "own sums").write_text(f"{sha256}\n", encoding="utf-8")
    for place in ("sums/all.txt", "/sums/all.txt", f"{site.url}/sums/all.txt", (tmp_path / "own sums").as_uri()):
        chain.write(f"{site.url}{PATH}", {"url": place})
        chain.build()
        chain.is_right(image)
    assert "integrity only" not in chain.verified().notes[0], "a file of this machine is no stranger's word"
    chain.write(f"{site.url}{PATH}", {"url": "none.txt"})
    with pytest.raises(InputError, match=r"no checksum found.*\n.*none.txt: 404"):
        chain.build()
    own = tmp_path / NAME
    own.write_bytes(image)
    chain.write(str(own), {"url": "own sums"})
    chain.build()
    chain.is_right(image)


@pytest.mark.parametrize("packed", [False, True])
def test_holes_of_local_images_are_kept(tmp_path: Path, chain: Chain, packed: bool) -> None:
    own, sectors = tmp_path / "disk.raw", 100_000
    with own.open("wb") as file:
        file.write(mbr(1, (0x83, 1, sectors - 1)))
        file.seek(20 << 20)
        file.write(b"in the middle")
        file.seek(sectors * 512 - 3)
        file.write(b"end")
    digest = hashlib.sha256(own.read_bytes()).hexdigest()
    data = own.read_bytes()
    if packed:
        own.write_bytes(gzip.compress(data, compresslevel=1))
    chain.write(str(own), None if packed else {"value": digest})
    chain.build()
    found = chain.store.path(digest)
    assert found.stat().st_blocks * 512 < 2 << 20 and found.read_bytes() == data
