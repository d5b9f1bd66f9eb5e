"""Downloads under duress: killed processes, two at once, full disks, servers that contradict themselves."""

from __future__ import annotations

import gzip
import hashlib
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.errors import OvError
from ovtasks.images import http
from ovtasks.images.fetch import fetch, revalidate
from ovtasks.images.store import Store
from ovtasks.images.verify import verify
from ovtasks.project.model import Checksum
from tests.images.conftest import NAME, ask, obtain
from tests.images.notes import Notes, leftovers
from tests.support import processes
from tests.support.disks import small_disk
from tests.support.processes import Process
from tests.support.programs import mount
from tests.support.server import Site, serve

ROOT = Path(__file__).parents[2]
PATH = f"/{NAME}"

FETCH = """
import sys
from pathlib import Path
from ovtasks.images.fetch import fetch
from ovtasks.images.request import ImageRequest
from ovtasks.images.verify import verify
from ovtasks.project.model import Checksum

class Said:
    def note(self, text):
        print(text, file=sys.stderr)
    def update(self, done, total, unit="B"):
        pass

request = ImageRequest(sys.argv[1], Checksum("none"), Path(sys.argv[2]))
print(verify(request, fetch(request, Said()), Said()).sha256)
"""


def start(url: str, store: Store) -> Process:
    """Fetch and verify in a process of its own; it prints the digest, and its notes on stderr."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return processes.start(sys.executable, "-c", FETCH, url, store.root, env=env)


def await_part(store: Store, process: Process) -> int:
    """Wait until a download is well under way; returns how many bytes are there."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        for path in (store.root / "incoming").glob("[!.]*.part"):
            if (size := path.stat().st_size) >= 1 << 20:
                return size
        time.sleep(0.002)
    raise AssertionError(f"no download to be seen, status {process.poll()}")


@pytest.fixture
def big() -> bytes:
    """A raw disk that is not a multiple of any block size."""
    return bytes(510) + b"\x55\xaa" + os.urandom((6 << 20) + 77)


def test_two_processes_download_once(store: Store, big: bytes) -> None:
    big += bytes(16 << 20)  # long enough for the second process to start, on a busy machine, too
    with serve(Site({PATH: big}, {PATH: ["slow"]})) as site:
        first = start(f"{site.url}{PATH}", store)
        await_part(store, first)
        second = start(f"{site.url}{PATH}", store)
        said = [process.communicate(timeout=60) for process in (first, second)]
    assert said[0][0] == said[1][0] and len(said[0][0]) == 65
    assert f"waiting for process {first.pid}, which works on {site.url}{PATH}" in said[1][1]
    assert len(site.gets(PATH)) == 1 and leftovers(store) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_then_resumed(store: Store, notes: Notes, big: bytes, number: signal.Signals) -> None:
    """The next process asks for the rest only, and the whole is right."""
    with serve(Site({PATH: big}, {PATH: ["slow"]})) as site:
        process = start(f"{site.url}{PATH}", store)
        seen = await_part(store, process)
        process.send_signal(number)
        process.communicate(timeout=30)
        assert process.returncode != 0
        assert obtain(ask(site, store), notes).path.read_bytes() == big
    asked = site.gets(PATH)[-1]
    assert int(asked["Range"].removeprefix("bytes=").removesuffix("-")) >= seen and asked["If-Range"]
    assert leftovers(store) == []


@pytest.mark.root
def test_full_cache_is_known_before_the_download(site: Site, tmp_path: Path, image: bytes, notes: Notes) -> None:
    with small_disk(tmp_path / "small") as small:
        store = Store(small / "store")
        with pytest.raises(OvError, match=f"not enough room for the image: {len(image)} bytes needed") as caught:
            fetch(ask(site, store), notes)
        assert "ov gc" in (caught.value.hint or "") and leftovers(store) == []


@pytest.mark.root
def test_disk_fills_up_under_a_download_of_unknown_length(site: Site, tmp_path: Path, notes: Notes) -> None:
    site.files[PATH] = os.urandom(300_000)
    site.faults[PATH] = ["chunked"]
    with small_disk(tmp_path / "small") as small:
        store = Store(small / "store")
        with pytest.raises(OvError, match="the disk is full") as caught:
            fetch(ask(site, store), notes)
        assert "XDG_CACHE_HOME" in (caught.value.hint or "") and leftovers(store) == []


@pytest.mark.root
def test_disk_fills_up_while_unpacking(site: Site, tmp_path: Path, notes: Notes) -> None:
    site.files["/disk.gz"] = gzip.compress(b"\1" * (1 << 20))
    with small_disk(tmp_path / "small") as small:
        store = Store(small / "store")
        with pytest.raises(OvError, match="the disk is full"):
            fetch(ask(site, store, name="disk.gz"), notes)
        assert leftovers(store) == [] and store.entries() == []


@pytest.mark.root
def test_read_only_cache(site: Site, tmp_path: Path, notes: Notes) -> None:
    with small_disk(tmp_path / "small") as small:
        mount("-o", "remount,ro", small)
        with pytest.raises(OvError, match="read-only") as caught:
            fetch(ask(site, Store(small / "store")), notes)
        assert "XDG_CACHE_HOME" in (caught.value.hint or "")


def test_file_where_the_cache_should_be(site: Site, tmp_path: Path, notes: Notes) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(OvError, match="a file is where a directory should be"):
        fetch(ask(site, Store(tmp_path / "file")), notes)
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


def test_unknown_length(site: Site, store: Store, notes: Notes, sha256: str) -> None:
    site.faults[PATH] = ["chunked:1000", "chunked"]
    assert obtain(ask(site, store), notes).sha256 == sha256


def test_other_range_than_asked_for(site: Site, store: Store, notes: Notes, sha256: str) -> None:
    """Taking those bytes would make a wrong file: everything is asked for again."""
    site.faults[PATH] = ["drop:50000", "shifted"]
    assert obtain(ask(site, store), notes).sha256 == sha256
    assert [headers.get("Range") for headers in site.gets(PATH)] == [None, "bytes=50000-", None]


def test_range_refused_though_bytes_are_missing(site: Site, store: Store, notes: Notes, sha256: str) -> None:
    site.faults[PATH] = ["drop:50000", "status:416"]
    assert obtain(ask(site, store), notes).sha256 == sha256


def test_longer_pause_when_the_server_asks(site: Site, store: Store, notes: Notes, sha256: str) -> None:
    site.faults[PATH] = ["status:503:1"]
    begin = time.monotonic()
    assert obtain(ask(site, store), notes).sha256 == sha256
    assert time.monotonic() - begin >= 1
    site.faults["/busy"] = ["status:429:86400"]
    with pytest.raises(OvError, match="429") as caught:
        fetch(ask(site, store, name="busy"), notes)
    assert "later" in (caught.value.hint or "") and len(site.gets("/busy")) == 1, "nobody waits a day"


def test_silent_server(site: Site, store: Store, notes: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = replace(http.LIMITS, idle=0.05, retries=1)
    monkeypatch.setattr(http, "LIMITS", limits)
    site.faults[PATH] = ["silent", "silent"]
    with pytest.raises(OvError, match=r"no answer within|broke") as caught:
        fetch(ask(site, store), notes)
    assert caught.value.hint


def test_file_of_the_store_that_was_cut_off(site: Site, store: Store, notes: Notes, image: bytes, sha256: str) -> None:
    path = obtain(ask(site, store), notes).path
    path.chmod(0o644)
    os.truncate(path, 200_000)
    assert obtain(ask(site, store), notes).path.read_bytes() == image
    assert leftovers(store) == [] and [entry.sha256 for entry in store.entries()] == [sha256]


def test_refresh_from_a_server_without_validators(site: Site, store: Store, notes: Notes) -> None:
    """All bytes come again; when they are the same, no copy of them stays behind."""
    site.etags = False
    request = ask(site, store)
    first = fetch(request, notes)
    verify(request, first, notes)
    assert revalidate(request, first, notes).sha256 == first.sha256
    assert len(site.gets(PATH)) == 2 and leftovers(store) == []


def test_refresh_while_the_mirror_is_updated(site: Site, store: Store, notes: Notes, image: bytes, sha256: str) -> None:
    """The checksum file is new, the image is not yet: the old image stays what is used."""
    site.files[f"{PATH}.sha256"] = sha256.encode()
    request = ask(site, store, Checksum())
    first = fetch(request, notes)
    verify(request, first, notes)
    site.files[f"{PATH}.sha256"] = b"a" * 64
    with pytest.raises(OvError, match="now asks for sha256:aaaa") as caught:
        revalidate(request, first, notes)
    assert "try again later" in (caught.value.hint or "")
    assert fetch(request, notes) == first and verify(request, first, notes).sha256 == sha256


def test_refresh_when_only_the_other_kind_of_checksum_is_left(
    site: Site, store: Store, notes: Notes, image: bytes, sha256: str
) -> None:
    site.files[f"{PATH}.sha256"] = sha256.encode()
    request = ask(site, store, Checksum())
    first = fetch(request, notes)
    verify(request, first, notes)
    site.files[f"{PATH}.sha512"] = hashlib.sha512(image).hexdigest().encode()
    del site.files[f"{PATH}.sha256"]
    again = revalidate(request, first, notes)
    assert again.expected and again.expected.startswith("sha512:") and again.sha256 == sha256
    assert verify(request, again, notes).sha256 == sha256
