"""Errors end in logs: what may be secret is not quoted in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ovtasks.errors import OvError
from ovtasks.project.load import load_project
from ovtasks.values.urls import public

WRONG: list[dict[str, Any]] = [
    {"source": {"kind": "cloud_image", "url": "ftp://bob:hunter2@example.org/a.img"}},
    {"source": {"kind": "cloud_image", "url": "https://bob:hunter2@h:99999/a.img?token=hunter2"}},
    *(
        {"source": {"kind": "cloud_image", "url": url}}
        for url in (
            "https://bob:hunter2/x@example.org/a.img",
            "https://bob:hunter2?x@example.org/a.img",
            "https://bob:hunter2#x@example.org/a.img",
            "https://bob:99#hunter2@example.org/a.img",
            "https://bob:hunter2@example\u2100.org/a.img",
            "http:/bob:hunter2@example.org/a.img",
            "http:bob:hunter2@example.org/a.img",
            "//bob:hunter2@example.org/a.img",
        )
    ),
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
    assert all(one.hint for one in getattr(caught.value, "errors", [caught.value]))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://bob:hunter2/x@h/a.img", "https://h/a.img"),
        ("https://bob:hunter2#x@h/a.img?b=1", "https://h/a.img?b=1"),
        ("https:/bob:hunter2@h/a.img", "https:/h/a.img"),
        ("//bob:hunter2@h/a.img", "//h/a.img"),
        ("https://h/a.img;token=hunter2/b", "https://h/a.img;token=…/b"),
        ("https://h/a;v=1/b.img;key=hunter2?x=1", "https://h/a;v=1/b.img;key=…?x=1"),
        ("https://h:8080/a@b:c@d.img", "https://h:8080/a@b:c@d.img"),
        ("https://[::1]:80/a@b.img", "https://[::1]:80/a@b.img"),
        ("/srv/a:b@c/d.img", "/srv/a:b@c/d.img"),
        ("/a:b@c/d.img", "/a:b@c/d.img"),
        ("file:///a:b@c/d.img", "file:///a:b@c/d.img"),
    ],
)
def test_the_part_of_a_url_that_is_shown(url: str, shown: str) -> None:
    assert public(url) == shown
