"""Errors end in logs: what may be secret is not quoted in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ovtasks.errors import OvError
from ovtasks.project.load import load_project

WRONG: list[dict[str, Any]] = [
    {"source": {"kind": "cloud_image", "url": "ftp://bob:hunter2@example.org/a.img"}},
    {"source": {"kind": "cloud_image", "url": "https://bob:hunter2@h:99999/a.img?token=hunter2"}},
    {"cloud_init": {"write_files": [{"path": "/a", "content": ["hunter2"]}]}},
    {"cloud_init": {"write_files": [{"path": "/a", "content": "x", "perms": "0999"}], "network": "hunter2"}},
    {"libvirt": {"devices": {"graphics": [{"type": "spice", "passwd": ["hunter2"]}]}}},
]


@pytest.mark.parametrize("part", WRONG, ids=str)
def test_not_quoted(tmp_path: Path, part: dict[str, Any]) -> None:
    vm = {"source": {"kind": "cloud_image", "url": "https://example.org/a.img"}, **part}
    (tmp_path / "vms.yml").write_text(yaml.safe_dump({"vms": {"a": vm}}), encoding="utf-8")
    with pytest.raises(OvError) as caught:
        load_project(tmp_path, cache=False).vms["a"]
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"
