"""The table of what is built in, and how plugins of other packages are found beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks import registry
from ovtasks.errors import OvError
from ovtasks.graph import plugins


def test_everything_in_the_table_is_there() -> None:
    for group, rows in registry.BUILT_IN.items():
        for name in rows:
            made = registry.find(group, name)
            assert isinstance(made, type)
            attribute = "name" if group == registry.OPERATIONS else "kind"
            assert getattr(made(), attribute) == name
    assert plugins.images().options
    assert callable(registry.load(registry.IMAGES)) and all(callable(registry.load(place)) for place in registry.VERBS)


def lay_out(site: Path, entries: str) -> None:
    """A package of another author, as pip lays it out."""
    info = site / "ov_strange-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ov-strange\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[ovtasks.sources]\n{entries}", encoding="utf-8")


def test_ours_win_and_others_follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, "strange = builtins:dict\nbootc = builtins:dict\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert registry.names(registry.SOURCES) == ("cloud_image", "bootc", "bootstrap", "imported", "clone", "strange")
    assert registry.find(registry.SOURCES, "strange") is dict
    assert registry.find(registry.SOURCES, "bootc") is not dict
    assert registry.find(registry.SOURCES, "stranger") is None


@pytest.mark.parametrize("place", ["ov_not_there:Source", "builtins:NotThere"])
def test_what_cannot_be_loaded_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    lay_out(tmp_path, f"strange = {place}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(OvError, match=f"the plugin strange \\({place}\\) cannot be loaded") as caught:
        plugins.source("strange")
    assert "ov-strange" in str(caught.value.hint)
