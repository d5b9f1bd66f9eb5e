"""URLs with a password or a token: the bytes come, and nothing that others read has the secret."""

from __future__ import annotations

import stat

import pytest

from ovtasks.errors import OvError
from ovtasks.images.fetch import fetch
from ovtasks.images.request import ImageRequest
from ovtasks.images.store import Store
from ovtasks.project.model import Checksum
from tests.images.conftest import NAME
from tests.images.notes import Notes
from tests.support.server import Site


def secret_url(site: Site, word: str) -> str:
    return site.url.replace("://", f"://bob:{word}@") + f"/{NAME}?token={word}"


def readable(store: Store, word: str) -> list[str]:
    """Files that others may read and that have the word; names that have it."""
    found = [path for path in store.root.rglob("*") if path.is_file()]
    open_to_all = [path for path in found if stat.S_IMODE(path.stat().st_mode) & 0o077]
    return [str(path) for path in open_to_all if word.encode() in path.read_bytes()] + [
        str(path) for path in found if word in path.name
    ]


@pytest.mark.parametrize("fault", ["", "drop:50000", "status:404", "redirect"])
def test_nothing_readable_has_it(site: Site, store: Store, notes: Notes, sha256: str, fault: str) -> None:
    word = "s3cr3t"
    url = secret_url(site, word)
    if fault == "redirect":
        fault = f"redirect:{site.url}/{NAME}?X-Amz-Signature={word}"
    after = [] if "redirect" in fault else ["status:500"] * 9
    site.faults[f"/{NAME}"] = [fault, *after] if fault else []
    said = ""
    try:
        fetch(ImageRequest(url, Checksum("sha256", sha256), store.root), notes)
    except OvError as e:
        said = f"{e.message}{e.hint}"
    assert bool(said) == fault.startswith(("drop", "status"))
    assert word not in said + "".join(notes.notes)
    assert readable(store, word) == []


def test_another_token_needs_no_download(site: Site, store: Store, notes: Notes, sha256: str) -> None:
    checksum = Checksum("sha256", sha256)
    first = ImageRequest(secret_url(site, "one"), checksum, store.root)
    second = ImageRequest(secret_url(site, "two"), checksum, store.root)
    assert first.key != second.key
    fetched = fetch(first, notes)
    assert fetch(second, notes).sha256 == fetched.sha256
