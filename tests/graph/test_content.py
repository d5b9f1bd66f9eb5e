"""A file's digest: the same for every copy, another for every other content."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.graph import content, freshness
from ovtasks.graph.content import BLOCK, blocks_digest, digest_of, has_digest
from ovtasks.graph.freshness import check
from ovtasks.graph.receipt import Output, Receipt
from ovtasks.graph.step import Step
from tests.support.programs import call

SIZE = 9 * BLOCK + 1234  # ends within a block


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    """Data, a hole, data that ends within a block, a block of written zeros, a hole, data up to the end."""
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.write(os.urandom(BLOCK))
        file.seek(3 * BLOCK + 4096)
        file.write(os.urandom(8192))
        file.seek(5 * BLOCK)
        file.write(bytes(BLOCK))
        file.seek(8 * BLOCK)
        file.write(os.urandom(SIZE - 8 * BLOCK))
    return path


def definition(data: bytes) -> str:
    """What the module's docstring says, written down once more and as simply as possible."""
    whole = hashlib.sha256(f"blocks-sha256 {BLOCK} {len(data)}\n".encode())
    for number in range(-(-len(data) // BLOCK)):
        block = data[number * BLOCK : (number + 1) * BLOCK]
        if any(block):
            whole.update(number.to_bytes(8, "big") + hashlib.sha256(block).digest())
    return f"blocks-sha256:{whole.hexdigest()}"


def test_follows_its_definition(sparse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = definition(sparse.read_bytes())
    assert blocks_digest(sparse) == expected
    monkeypatch.setattr(content, "BATCH", 2)  # several threads
    assert blocks_digest(sparse) == expected


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 4 * BLOCK])
def test_sizes(tmp_path: Path, size: int) -> None:
    (tmp_path / "data").write_bytes(os.urandom(size))
    (tmp_path / "zeros").write_bytes(bytes(size))
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(size)
    assert blocks_digest(tmp_path / "data") == definition((tmp_path / "data").read_bytes())
    assert blocks_digest(tmp_path / "zeros") == blocks_digest(tmp_path / "hole") == definition(bytes(size))


@pytest.mark.parametrize("how", ["always", "never", "auto"])
def test_a_copy_has_the_same(sparse: Path, tmp_path: Path, how: str) -> None:
    call("cp", f"--sparse={how}", sparse, tmp_path / "copy")
    assert blocks_digest(tmp_path / "copy") == blocks_digest(sparse)


def test_zeros_that_are_punched_out_change_nothing(sparse: Path) -> None:
    before, blocks = blocks_digest(sparse), sparse.stat().st_blocks
    call("fallocate", "--dig-holes", sparse)
    assert sparse.stat().st_blocks < blocks
    assert blocks_digest(sparse) == before


@pytest.mark.parametrize("place", [0, BLOCK - 1, 2 * BLOCK, 3 * BLOCK + 5000, 6 * BLOCK + 7, SIZE - 1])
def test_any_byte_counts(sparse: Path, place: int) -> None:
    before = blocks_digest(sparse)
    with sparse.open("r+b") as file:
        file.seek(place)
        old = file.read(1)
        file.seek(place)
        file.write(bytes([old[0] ^ 1]))
    assert blocks_digest(sparse) != before


def test_length_and_place_count(sparse: Path, tmp_path: Path) -> None:
    before = blocks_digest(sparse)
    os.truncate(sparse, SIZE + 1)
    assert blocks_digest(sparse) != before
    (tmp_path / "a").write_bytes(b"x" * BLOCK + bytes(BLOCK))
    (tmp_path / "b").write_bytes(bytes(BLOCK) + b"x" * BLOCK)
    assert blocks_digest(tmp_path / "a") != blocks_digest(tmp_path / "b")


def test_small_files_have_what_sha256sum_says(sparse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = call("sha256sum", sparse).stdout.split()[0]
    assert digest_of(sparse) == f"sha256:{said}"
    monkeypatch.setattr(content, "SMALL", SIZE - 1)
    assert digest_of(sparse) == blocks_digest(sparse)
    assert has_digest(sparse, f"sha256:{said}") and has_digest(sparse, blocks_digest(sparse))
    assert not has_digest(sparse, f"md5:{said}") and not has_digest(sparse, "blocks-sha256:" + said)


def test_secret_files_have_a_slow_one(sparse: Path) -> None:
    digest = content.secret_digest_of(sparse, "seed:a:raw")
    assert digest.startswith("secret:scrypt:") and digest.endswith(":seed:a:raw")
    assert hashlib.sha256(sparse.read_bytes()).hexdigest() not in digest
    assert has_digest(sparse, digest)
    assert content.secret_digest_of(sparse, "seed:b") != digest
    os.truncate(sparse, SIZE - 1)
    assert not has_digest(sparse, digest)


def test_what_runs_anyway_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A moved disk of gigabytes, and a step whose inputs changed."""
    target = tmp_path / "disk"
    target.write_bytes(b"x" * 10)
    step = Step("disk:a", {"size": 1}, (target,), lambda ws: None, "disk")
    Receipt("disk:a", {"size": 1}, {"base": "b"}, (Output.of(target),), "d").save(step.receipt)
    os.utime(target, (1, 1))
    read: list[str] = []

    def has(path: Path, digest: str, progress: object) -> bool:
        read.append(digest)
        return True

    monkeypatch.setattr(freshness, "has_digest", has)
    assert [r.key for r in check(replace(step, inputs={"size": 2}), {"base": "b"}).reasons] == ["size"] and not read
    assert [r.key for r in check(step, {"base": "c"}).reasons] == ["base"] and len(read) == 1  # may come out the same
    assert check(step, {"base": "b"}).fresh and len(read) == 2
    target.write_bytes(b"y" * 11)
    assert [r.key for r in check(replace(step, inputs={"size": 2}), {"base": "b"}).reasons] == ["size", "disk"]
