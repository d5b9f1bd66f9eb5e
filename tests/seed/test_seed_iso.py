"""The seed image, read back with tools that are not the writer."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from ovtasks.errors import EXIT_INPUT, InputError
from ovtasks.host.run import run
from ovtasks.seed.iso import seed_iso
from tests.support.programs import python
from tests.support.specs import KEY, files, vm

FILES = {
    "user-data": b"#cloud-config\n" + b"# long\n" * 3000,
    "meta-data": b"instance-id: ov-1\n",
    "network-config": "version: 2 # ü\n".encode(),
}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "seed.iso"
    path.write_bytes(seed_iso(FILES))
    return path


def test_volume_is_found_by_its_label(image: Path) -> None:
    said = run(["isoinfo", "-d", "-i", image]).stdout
    assert "Volume id: cidata" in said
    assert "Joliet with UCS level 3 found" in said
    assert "Rock Ridge signatures version 1 found" in said
    assert run(["blkid", "-p", "-o", "value", "-s", "LABEL", image]).stdout == "cidata\n"
    for field in ("System id", "Publisher id", "Data preparer id", "Application id", "Volume set id"):
        assert any(line.strip() == f"{field}:" for line in said.splitlines()), field


@pytest.mark.parametrize("names", ["-R", "-J"])
def test_every_file_reads_back(image: Path, names: str) -> None:
    for name, content in FILES.items():
        assert run(["isoinfo", names, "-x", f"/{name}", "-i", image]).stdout.encode() == content


def test_modes_and_dates_are_fixed(image: Path) -> None:
    listing = run(["isoinfo", "-R", "-l", "-i", image]).stdout
    lines = [line for line in listing.splitlines() if line.endswith(tuple(f"{name} " for name in FILES))]
    assert len(lines) == 3
    for line in lines:
        assert line.startswith("-r--r--r--   1    0    0")
        assert "Jan  1 1980" in line
    assert str(time.localtime().tm_year) not in listing


def test_bytes_depend_on_the_files_only() -> None:
    """Another process, clock, time zone, hash seed and order of keys."""
    script = (
        "import hashlib, time; real = time.time; time.time = lambda: real() + 40000000\n"
        "from tests.seed.test_seed_iso import FILES, seed_iso\n"
        "print(hashlib.sha256(seed_iso(dict(reversed(FILES.items())))).hexdigest())"
    )
    expected = hashlib.sha256(seed_iso(FILES)).hexdigest()
    for zone, seed in (("Asia/Kathmandu", "1"), ("America/St_Johns", "2")):
        env = {**os.environ, "TZ": zone, "PYTHONHASHSEED": seed}
        assert python("-c", script, env=env).stdout.strip() == expected


def test_other_bytes_for_other_files() -> None:
    assert seed_iso(FILES) != seed_iso({**FILES, "meta-data": b"instance-id: ov-2\n"})


@pytest.mark.parametrize("name", ["", "a/b", "ü", "x" * 65])
def test_impossible_names(name: str) -> None:
    with pytest.raises(InputError, match="cannot be a file name in a seed image") as e:
        seed_iso({name: b""})
    assert e.value.exit_code == EXIT_INPUT


def test_names_that_collide() -> None:
    with pytest.raises(InputError, match="'user_data' and 'user-data' are the same name"):
        seed_iso({"user-data": b"", "user_data": b""})


def test_rendering_and_image_are_quick() -> None:
    seed_iso(files(vm(user="demo"), KEY))  # imports
    best = min(_timed() for _ in range(5))
    assert best < 0.1, f"{best * 1000:.0f} ms"


def _timed() -> float:
    """Seconds of processor time: a neighbour's load does not count."""
    start = time.process_time()
    seed_iso(files(vm(user="demo"), KEY))
    return time.process_time() - start
