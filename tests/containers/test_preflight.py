"""Before minutes of work: what is missing on this machine is said first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ovtasks.containers.engine import Engine, Mode
from ovtasks.errors import OvError
from ovtasks.sources.bootc.preflight import check_loop, check_space

NATIVE = Engine(Mode.NATIVE, ("podman",), ())
TiB = 1 << 40


def test_loop_devices_are_here(tmp_path: Path) -> None:
    (tmp_path / "loop-control").touch()
    check_loop(NATIVE, tmp_path / "loop-control", tmp_path / "modules")


def test_a_kernel_that_was_upgraded_wants_a_reboot(tmp_path: Path) -> None:
    (tmp_path / "modules" / "0.0.0-newer").mkdir(parents=True)
    with pytest.raises(OvError) as caught:
        check_loop(NATIVE, tmp_path / "loop-control", tmp_path / "modules")
    assert os.uname().release in caught.value.message
    assert "reboot" in (caught.value.hint or "")


def test_without_a_loop_driver_the_hint_names_the_module(tmp_path: Path) -> None:
    (tmp_path / "modules" / os.uname().release).mkdir(parents=True)
    with pytest.raises(OvError) as caught:
        check_loop(NATIVE, tmp_path / "loop-control", tmp_path / "modules")
    assert "no loop devices" in caught.value.message
    assert "modprobe loop" in (caught.value.hint or "")


def test_room_for_raw_and_qcow2(tmp_path: Path) -> None:
    check_space(tmp_path / "not" / "yet", 1, 1 << 20)
    with pytest.raises(OvError) as caught:
        check_space(tmp_path, 100 * TiB, 200 * TiB)
    assert "free; the raw disk and the qcow2 need about" in caught.value.message
    assert "ov gc" in (caught.value.hint or "")


def test_a_disk_smaller_than_its_image_counts_as_it_is(tmp_path: Path) -> None:
    check_space(tmp_path, 100 * TiB, 1 << 20)
