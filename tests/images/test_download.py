"""Bringing the bytes: retries, resume, redirects, and every way a server can fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.errors import InputError, OvError
from ovtasks.images import http
from ovtasks.images.fetch import fetch, revalidate
from ovtasks.images.request import ImageRequest
from ovtasks.images.store import Store
from ovtasks.images.verify import verify
from ovtasks.project.model import Checksum
from tests.images.conftest import NAME, ask, obtain
from tests.images.notes import Notes, leftovers
from tests.support.server import Site, self_signed, serve

PATH = f"/{NAME}"


def test_plain_download(site: Site, store: Store, notes: Notes, image: bytes, sha256: str) -> None:
    verified = obtain(ask(site, store), notes)
    assert verified.sha256 == sha256 and verified.format == "qcow2" and verified.virtual_size == 16 << 20
    assert verified.path.read_bytes() == image
    assert verified.path.stat().st_mode & 0o777 == 0o444
    assert leftovers(store) == []


def test_never_asked_again(site: Site, store: Store, notes: Notes) -> None:
    obtain(ask(site, store), notes)
    count = len(site.requests)
    obtain(ask(site, store), notes)
    assert len(site.requests) == count


def test_offline_after_the_first_time(image: bytes, store: Store, notes: Notes) -> None:
    with serve(Site({PATH: image})) as site:
        request = ask(site, store)
        obtain(request, notes)
    obtain(request, notes)


@pytest.mark.parametrize("fault", ["drop:1000", "drop:0", "short:70000", "status:500", "status:503:0", "status:429:0"])
def test_retried(site: Site, store: Store, notes: Notes, sha256: str, fault: str) -> None:
    site.faults[PATH] = [fault, fault]
    assert obtain(ask(site, store), notes).sha256 == sha256
    ranges = [headers.get("Range") for headers in site.gets(PATH)]
    if fault == "short:70000":
        assert ranges == [None, "bytes=70000-", "bytes=140000-"], "it went on where it broke off"


def test_given_up_keeps_what_came_and_goes_on(site: Site, store: Store, notes: Notes, sha256: str) -> None:
    site.faults[PATH] = ["drop:50000"] + ["status:500"] * 9
    with pytest.raises(OvError, match="500"):
        fetch(ask(site, store), notes)
    site.faults[PATH] = []
    before = len(site.gets(PATH))
    assert obtain(ask(site, store), notes).sha256 == sha256
    assert [h.get("Range") for h in site.gets(PATH)[before:]] == ["bytes=50000-"]
    assert any("resuming" in note for note in notes.notes)


def test_resume_when_the_file_changed(site: Site, store: Store, notes: Notes, image: bytes) -> None:
    site.faults[PATH] = ["drop:50000"] + ["status:500"] * 9
    with pytest.raises(OvError):
        fetch(ask(site, store), notes)
    site.faults[PATH] = []
    changed = image[:-1] + b"!"
    site.files[PATH] = changed
    assert obtain(ask(site, store), notes).path.read_bytes() == changed


def test_resume_of_a_complete_file(site: Site, store: Store, notes: Notes, image: bytes, sha256: str) -> None:
    """The process died after the last byte: the server answers 416."""
    site.faults[PATH] = ["drop:50000"] + ["status:500"] * 9
    with pytest.raises(OvError):
        fetch(ask(site, store), notes)
    part = next((store.root / "incoming").glob("*.part"))
    part.write_bytes(image)
    site.faults[PATH] = []
    assert obtain(ask(site, store), notes).sha256 == sha256


def test_resume_ignored_by_the_server(site: Site, store: Store, notes: Notes, sha256: str) -> None:
    site.faults[PATH] = ["drop:50000", "ignore-range"]
    assert obtain(ask(site, store), notes).sha256 == sha256


def test_resume_by_date_without_etag(site: Site, store: Store, notes: Notes, sha256: str) -> None:
    site.etags = False
    site.faults[PATH] = ["drop:50000"]
    assert obtain(ask(site, store), notes).sha256 == sha256
    assert site.gets(PATH)[1]["If-Range"].endswith("GMT")


def test_redirects(site: Site, store: Store, notes: Notes, sha256: str) -> None:
    site.files["/latest"] = b""
    site.faults["/latest"] = [f"redirect:{site.url}{PATH}"]
    fetched = fetch(ask(site, store, name="latest"), notes)
    assert fetched.final_url == f"{site.url}{PATH}" and fetched.sha256 == sha256
    site.files["/loop"] = b""
    site.faults["/loop"] = [f"redirect:{site.url}/loop"] * 12
    with pytest.raises(OvError, match="more than 10 redirects"):
        fetch(ask(site, store, name="loop"), notes)


@pytest.mark.parametrize(
    ("status", "hint"), [(404, "no such file"), (403, "refuses"), (401, "netrc"), (410, "removed")]
)
def test_final_statuses_are_not_retried(site: Site, store: Store, notes: Notes, status: int, hint: str) -> None:
    site.faults[PATH] = [f"status:{status}"] * 3
    with pytest.raises(OvError) as caught:
        fetch(ask(site, store), notes)
    assert str(status) in caught.value.message and hint in (caught.value.hint or "")
    assert len(site.gets(PATH)) == 1


def test_tls_is_verified(tmp_path: Path, image: bytes, store: Store, notes: Notes) -> None:
    pem = self_signed(tmp_path / "self-signed.pem")
    with serve(Site({PATH: image}), certificate=pem) as site, pytest.raises(OvError) as caught:
        fetch(ask(site, store), notes)
    assert "TLS failed" in caught.value.message and "CA" in (caught.value.hint or "")


def test_redirect_from_https_to_http(
    site: Site, tmp_path: Path, sha256: str, store: Store, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """https is never left, not even for bytes whose digest is known: who wants that writes the http URL."""
    pem = self_signed(tmp_path / "own-ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", f"{pem}.crt")
    to_http = f"redirect:{site.url}{PATH}"
    with serve(Site(faults={PATH: [to_http, to_http]}), certificate=pem) as secure:
        with pytest.raises(OvError, match="redirected from https to http") as caught:
            fetch(ask(secure, store), notes)
        assert "sha256" in (caught.value.hint or "") and leftovers(store) == []
        with pytest.raises(OvError, match="redirected from https to http"):
            fetch(ask(secure, store, Checksum("sha256", sha256)), notes)
    assert site.requests == [], "the http server is not even asked"
    assert obtain(ask(site, store, Checksum("sha256", sha256)), notes).sha256 == sha256


def test_server_that_always_starts_over_and_breaks_off(store: Store, notes: Notes) -> None:
    """It reaches megabytes each time, yet never new ones: this must end."""
    big = Site({"/big.raw": bytes(3 << 20)}, {"/big.raw": ["restart:2500000"] * 50})
    with serve(big) as site, pytest.raises(OvError, match="2500000 of 3145728 bytes"):
        fetch(ask(site, store, name="big.raw"), notes)
    assert len(site.gets("/big.raw")) <= 2 + http.LIMITS.retries


def test_nobody_listens_and_unknown_names(store: Store, notes: Notes) -> None:
    with serve(Site()) as site:
        port = site.url
    with pytest.raises(OvError, match="refuses the connection"):
        fetch(ImageRequest(f"{port}/x", Checksum("none"), store.root), notes)
    with pytest.raises(OvError, match="cannot be resolved"):
        fetch(ImageRequest("http://no-such-host.invalid/x", Checksum("none"), store.root), notes)


def test_proxy_variable_is_used(site: Site, store: Store, notes: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", site.url)
    monkeypatch.delenv("no_proxy", raising=False)
    site.files["/images/x.qcow2"] = site.files[PATH]
    fetch(ImageRequest("http://images.invalid/images/x.qcow2", Checksum("none"), store.root), notes)
    assert site.gets("/images/x.qcow2"), "the request went through the proxy"


def test_local_files(tmp_path: Path, image: bytes, sha256: str, store: Store, notes: Notes) -> None:
    path = tmp_path / "my image.qcow2"
    path.write_bytes(image)
    for url in (str(path), path.as_uri()):
        assert obtain(ImageRequest(url, Checksum("none"), store.root), notes).sha256 == sha256
    stored = store.path(sha256)
    assert not stored.samefile(path) and path.stat().st_nlink == 1, "the user's own file is copied, never linked"
    for wrong, message in ((tmp_path / "none.qcow2", "No such file"), (tmp_path, "is a directory")):
        with pytest.raises(InputError, match=message):
            fetch(ImageRequest(str(wrong), Checksum("none"), store.root), notes)
    with pytest.raises(InputError, match="not a place"):
        fetch(ImageRequest("ftp://example.org/x", Checksum("none"), store.root), notes)


def test_refresh_unchanged_then_changed(site: Site, store: Store, notes: Notes, image: bytes) -> None:
    request = ask(site, store)
    first = fetch(request, notes)
    verify(request, first, notes)
    same = revalidate(request, first, notes)
    assert same.sha256 == first.sha256
    assert site.gets(PATH)[-1]["If-None-Match"] == first.etag
    site.files[PATH] = image + bytes(512)
    new = revalidate(request, same, notes)
    assert new.sha256 != first.sha256
    assert verify(request, new, notes).path.read_bytes() == image + bytes(512)
    assert store.has(first.sha256), "those who use the old one keep it"


def test_refresh_of_a_local_file(tmp_path: Path, image: bytes, store: Store, notes: Notes) -> None:
    path = tmp_path / NAME
    path.write_bytes(image)
    request = ImageRequest(str(path), Checksum("none"), store.root)
    first = fetch(request, notes)
    assert revalidate(request, first, notes).sha256 == first.sha256
    path.write_bytes(image + bytes(512))
    assert revalidate(request, first, notes).sha256 != first.sha256


def test_empty_and_changing_files(site: Site, store: Store, notes: Notes) -> None:
    site.files["/empty"] = b""
    with pytest.raises(OvError, match="is empty"):
        fetch(ask(site, store, name="empty"), notes)
    assert leftovers(store) == []


def test_credentials_stay_out_of_messages_and_records(site: Site, store: Store, notes: Notes) -> None:
    url = site.url.replace("//", "//user:secret@")
    request = replace(ask(site, store), url=f"{url}{PATH}")
    fetched = fetch(request, notes)
    assert "secret" not in str(fetched.to_json())
    assert "Authorization" in site.gets(PATH)[0]
    site.faults["/none"] = ["status:404"]
    with pytest.raises(OvError) as caught:
        fetch(replace(request, url=f"{url}/none"), notes)
    assert "secret" not in str(caught.value)
