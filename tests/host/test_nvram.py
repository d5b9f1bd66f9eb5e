"""A VM's own copy of the firmware's variables."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from ovtasks.errors import OvError
from ovtasks.host.firmware import Files, make_nvram, nvram_name
from tests.host.conftest import Host


def test_nvram_is_named_after_the_templates_content(host: Host) -> None:
    one = host.files("a")
    name = nvram_name(one)
    assert name.startswith("nvram-")
    assert name.endswith(".fd")
    assert len(name) == len("nvram-.fd") + 12
    copy = host.images / "again"
    copy.write_bytes(one.template.read_bytes())
    assert nvram_name(Files(one.code, copy)) == name, "the same package installed again"
    copy.write_bytes(b"other keys")
    assert nvram_name(Files(one.code, copy)) != name
    copy.unlink()
    with pytest.raises(OvError, match="cannot be read: No such file"):
        nvram_name(Files(one.code, copy))


def test_nvram_is_made_once(host: Host, tmp_path: Path) -> None:
    files = host.files("a")
    files.template.chmod(0o444)
    path = tmp_path / "instance" / "nvram.fd"
    make_nvram(files.template, path)
    assert path.read_bytes() == files.template.read_bytes()
    assert path.stat().st_mode & 0o7777 == 0o600
    assert path.stat().st_nlink == 1
    path.write_text("the guest's own")
    make_nvram(files.template, path)
    assert path.read_text() == "the guest's own"
    assert os.listdir(path.parent) == ["nvram.fd"]  # noqa: PTH208 - names only


def test_nvram_after_a_killed_run(host: Host, tmp_path: Path) -> None:
    files = host.files("a")
    path = tmp_path / "nvram.fd"
    for left in (".nvram.fd.new", "..nvram.fd.new.part"):
        (tmp_path / left).write_text("half")
    make_nvram(files.template, path)
    assert path.read_bytes() == files.template.read_bytes()
    assert [name.name for name in tmp_path.glob("*nvram*")] == ["nvram.fd"]
    with pytest.raises(OvError, match="cannot be read: No such file"):
        make_nvram(tmp_path / "none", tmp_path / "other.fd")


def test_nvram_made_by_many_at_once(host: Host, tmp_path: Path) -> None:
    files = host.files("a")
    path = tmp_path / "nvram.fd"
    errors: list[OSError] = []

    def make() -> None:
        try:
            make_nvram(files.template, path)
            with path.open("ab") as file:
                file.write(b"+")
        except OSError as e:
            errors.append(e)

    threads = [threading.Thread(target=make) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert path.read_bytes() == files.template.read_bytes() + b"+" * 16, "nobody's copy replaced another one's"
    assert [name.name for name in tmp_path.glob("*nvram*")] == ["nvram.fd"]
