"""Wrong bytes come, or right ones are damaged later: the next plain build is right, and nothing lies about."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from ovtasks.errors import OvError
from ovtasks.images.fetch import fetch
from ovtasks.images.lockfile import write_lock
from ovtasks.images.request import ImageRequest, Pin
from ovtasks.project.model import Checksum
from tests.images.chain import Chain
from tests.images.conftest import NAME
from tests.images.notes import leftovers
from tests.images.test_content import COMPRESSORS
from tests.support.server import Site

pytestmark = pytest.mark.slow  # as a whole

PATH = f"/{NAME}"
HTML = b"<html><body>Please log in</body></html>"


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
    assert any("starting over" in note for note in chain.notes.notes)


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
    assert any("the file of an earlier build is dropped" in note for note in chain.notes.notes)
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
