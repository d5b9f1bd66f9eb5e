"""A VM and another VM's instance never share a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.errors import EXIT_REFUSED, OvError, RefusedError
from ovtasks.instance.owner import claim, read_owner
from tests.support.workbench import Workbench, make_image


def test_claimed_once_for_all(tmp_path: Path) -> None:
    folder = tmp_path / "ov-a-b"
    claim(folder, "a", "b")
    claim(folder, "a", "b")
    assert folder.stat().st_mode & 0o777 == 0o700
    (folder / "disk.qcow2").touch()
    with pytest.raises(RefusedError) as caught:
        claim(folder, "a-b")
    assert caught.value.message == "the name ov-a-b belongs to instance b of VM a, so VM a-b cannot have it"
    assert "rename one of them" in (caught.value.hint or "")


def test_what_a_create_left_is_nobodys(tmp_path: Path) -> None:
    folder = tmp_path / "ov-a-b"
    claim(folder, "a", "b")
    (folder / "instance.json").write_text("{}")
    (folder / "built").mkdir()
    (folder / ".disk.qcow2.part").touch()
    claim(folder, "a-b")
    assert read_owner(folder) == {"vm": "a-b", "instance": None}
    assert [path.name for path in folder.iterdir()] == ["owner.json"]


def test_a_lost_owner_is_known_from_the_record(tmp_path: Path) -> None:
    folder = tmp_path / "ov-a-b"
    folder.mkdir()
    (folder / "disk.qcow2").touch()
    (folder / "instance.json").write_text('{"version": 1, "vm": "a", "instance": "b"}')
    for owner in (None, "{", "[]"):
        if owner is not None:
            (folder / "owner.json").write_text(owner)
        with pytest.raises(RefusedError, match="belongs to instance b of VM a"):
            claim(folder, "a-b")


def test_damaged_owner(tmp_path: Path) -> None:
    (tmp_path / "owner.json").write_text("{", encoding="utf-8")
    with pytest.raises(OvError, match="is damaged"):
        claim(tmp_path, "a")


def test_build_of_a_vm_with_the_name_of_an_instance(tmp_path: Path) -> None:
    image = tmp_path / "image.qcow2"
    make_image(image)
    bench = Workbench(tmp_path / "project")
    bench.root.mkdir()
    folder = tmp_path / "xdg" / "data" / "ov" / "vm" / "ov-a-b"
    claim(folder, "a", "b")
    (folder / "disk.qcow2").touch()
    source = {"kind": "cloud_image", "url": str(image), "checksum": {"type": "none"}}
    bench.write({"a-b": {"source": source, "ssh": {"key_source": "generate", "user": "me"}}})
    error = bench.ov("vm", "build", "a-b", code=EXIT_REFUSED).stderr
    assert "belongs to instance b of VM a, so VM a-b cannot have it" in error and "Traceback" not in error
