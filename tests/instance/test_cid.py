"""An instance's vsock CID. Few hosts of tests have vhost-vsock: the kernel's answers are given here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.errors import RefusedError
from ovtasks.host import vsock
from ovtasks.instance.cid import CIDS, choose_cid
from ovtasks.instance.record import Record, new_record
from ovtasks.values.jsonvalue import Json


def record(vm: str = "web") -> Record:
    return new_record(vm, None, Path("/project"), "qemu", None, None)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """CIDs of other guests, on a host with vsock."""
    taken: set[int] = set()
    monkeypatch.setattr(vsock, "problem", lambda: None)
    monkeypatch.setattr(vsock, "free", lambda cid: cid not in taken)
    return taken


def test_always_the_same(taken: set[int]) -> None:
    cid = choose_cid(record(), {})
    assert cid is not None and cid in CIDS and cid > 2
    assert choose_cid(record(), {}) == cid != choose_cid(record("other"), {})


def test_it_is_kept(taken: set[int]) -> None:
    assert choose_cid(replace(record(), cid=70001), {}) == 70001


def test_one_that_another_guest_has_is_exchanged(taken: set[int]) -> None:
    own = choose_cid(record(), {})
    assert own is not None
    taken.add(own)
    assert choose_cid(replace(record(), cid=own), {}) == CIDS[(own - CIDS.start + 1) % len(CIDS)]


def test_a_written_one(taken: set[int]) -> None:
    libvirt: dict[str, Json] = {"devices": {"vsock": {"cid": {"address": "4000"}}}}
    assert choose_cid(replace(record(), cid=70001), libvirt) == 4000
    taken.add(4000)
    with pytest.raises(RefusedError, match="another VM has 4000") as caught:
        choose_cid(record(), libvirt)
    assert caught.value.hint


def test_nothing_free(taken: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vsock, "free", lambda cid: False)
    assert choose_cid(record(), {}) is None


def test_a_host_without_vsock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(vsock, "DEVICE", tmp_path / "vhost-vsock")
    assert vsock.problem() == "the kernel module vhost_vsock is not loaded"
    assert not vsock.free(70000)
    assert choose_cid(replace(record(), cid=70000), {}) is None


def test_a_device_that_is_no_vsock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(vsock, "DEVICE", tmp_path)
    assert vsock.problem() == f"{tmp_path} cannot be opened: is a directory"
    monkeypatch.setattr(vsock, "DEVICE", Path("/dev/null"))
    assert not vsock.free(70000), "it takes no CID"
