"""Servers with TLS, and redirects from one server to another."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ovtasks.errors import OvError
from tests.images.chain import Chain
from tests.images.parts import (
    BROKEN,
    DIGEST,
    DISK,
    HTML,
    IMAGE,
    LINE,
    NONE,
    RIGHT,
    SHA256,
    SUMS,
    N,
    answers,
    breaks,
    drips,
    head,
    meets,
    recovers,
    redirects,
)
from tests.images.stage import Asked, Stage, perform
from tests.support.server import self_signed

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("impatient")]  # slow as a whole


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls") / "own.pem")


LEAVES = "redirected from https to http"
SECURE: dict[str, tuple[str, str, str, str | None]] = {
    # paths, methods, where to ("http": a plain server that has everything), what is said
    "image": (DISK, "GET|HEAD", "http", LEAVES),
    "image, after HEAD was right": (DISK, "GET", "http", LEAVES),
    "checksum file": (re.escape(SUMS), "GET", "http", NONE),
    "everything": (".*", "GET|HEAD", "http", LEAVES),
    "image, by https": (DISK, "GET|HEAD", "/real.raw", RIGHT),
    "checksum file, by https": (re.escape(SUMS), "GET", "/sums", RIGHT),
}


@pytest.mark.parametrize("name", SECURE)
def test_https_stays_https(stage: Stage, chain: Chain, pem: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", f"{pem}.crt")
    paths, methods, place, said = SECURE[name]
    files = {**stage.files, "/real.raw": IMAGE, "/sums": LINE.encode()}
    with perform(Stage(files), pem) as secure:

        def elsewhere(asked: Asked) -> None:
            to = f"{stage.url}{asked.path}" if place == "http" else place
            asked.answer(b"", f"Location: {to}", status="302 Found")

        secure.play(paths, elsewhere, methods=methods)
        chain.write(f"{secure.url}{DISK}", {"type": "sha256"})
        meets(chain, said)
        assert stage.asked == [], "the plain server is not even asked"
        recovers(secure, chain)


TLS: dict[str, tuple[Callable[[Asked], None], str]] = {
    "cut in the body": (breaks, BROKEN),
    "ends without goodbye": (lambda asked: asked.say(head(f"Content-Length: {N}"), IMAGE[:5000]), BROKEN),
    "portal": (answers(HTML), DIGEST),
    "drips": (drips, BROKEN),
    "503": (answers(b"", status="503 Busy"), "503"),
}


@pytest.mark.parametrize("name", TLS)
def test_by_tls(chain: Chain, pem: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", f"{pem}.crt")
    part, said = TLS[name]
    with perform(Stage({DISK: IMAGE}), pem) as secure:
        secure.play(DISK, part)
        chain.write(f"{secure.url}{DISK}", {"value": SHA256})
        meets(chain, said)
        recovers(secure, chain)


def test_certificates(stage: Stage, chain: Chain, pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that nobody vouches for, one for another host, none at all, and a bundle that is not there."""
    with perform(Stage({DISK: IMAGE}), pem) as secure:
        chain.write(f"{secure.url}{DISK}", {"value": SHA256})
        meets(chain, "TLS failed")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")
        meets(chain, "bundle")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", f"{pem}.crt")
        chain.write(f"{secure.url.replace('127.0.0.1', 'localhost')}{DISK}", {"value": SHA256})
        meets(chain, "TLS failed")
        chain.write(f"{stage.url.replace('http:', 'https:')}{DISK}", {"value": SHA256})
        meets(chain, "TLS failed|connection failed|no answer within")
        chain.write(f"{secure.url}{DISK}", {"value": SHA256})
        recovers(secure, chain)


def test_a_plain_redirect_to_another_server_says_nothing_of_the_checksum(stage: Stage, chain: Chain) -> None:
    """The image may come from there; its digest is asked for where the user said."""
    with perform(Stage(dict(stage.files))) as other:
        del stage.files[SUMS]
        stage.play(DISK, lambda asked: asked.answer(b"", f"Location: {other.url}{DISK}", status="302 Found"))
        chain.write(f"{stage.url}{DISK}", {"type": "sha256"})
        with pytest.raises(OvError, match=NONE):
            chain.build()
        assert not [path for _, path in other.asked if path != DISK]
        stage.files[SUMS] = LINE.encode()
        chain.build()
        chain.is_right(IMAGE)
        assert "integrity only" in chain.verified().notes[0]


DATED = f"{SHA256}  disk-20250105.raw\n{'b' * 64}  disk-20240101.raw\n".encode()


@pytest.mark.parametrize("sums", ["/latest/SHA256SUMS", "/20250105/SHA256SUMS"])
@pytest.mark.parametrize("secure", [False, True])
def test_latest_leads_to_a_dated_name(
    chain: Chain, pem: Path, sums: str, secure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file speaks of the dated name only, beside the address that was written or beside that where it led."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", f"{pem}.crt")
    with perform(Stage({"/20250105/disk-20250105.raw": IMAGE, sums: DATED}), pem if secure else None) as stage:
        stage.play("/latest/disk.raw", redirects("../20250105/disk-20250105.raw"))
        chain.write(f"{stage.url}/latest/disk.raw", {"type": "sha256"})
        chain.build()
        chain.is_right(IMAGE)
        assert chain.verified().expected_from == f"{stage.url}{sums}"
        assert ("integrity only" in chain.verified().notes[0]) is not secure
