"""Whatever the file says: a project, or input errors with places. Never a traceback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ovtasks.errors import InputErrors
from ovtasks.project.load import load_project
from ovtasks.project.schema import KINDS, source_schema, vm_schema
from tests.support.projects import write

pytestmark = pytest.mark.slow

_words = st.sampled_from(
    [
        "",
        "a",
        "20G",
        "yes",
        "no",
        "user",
        "bridge",
        "url",
        "generate",
        "~/x",
        "${X}",
        "/x",
        "80:80",
        "1:2:3",
        "\0",
        "none",
    ]
)
_leaves = st.none() | st.booleans() | st.integers(-5, 70000) | st.floats(allow_nan=False) | _words | st.text(max_size=5)
_anything = st.recursive(
    _leaves, lambda below: st.lists(below, max_size=3) | st.dictionaries(_words, below, max_size=3), max_leaves=8
)


def _like(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that are often what the schema wants and often not."""
    good: st.SearchStrategy[Any] = _leaves
    if "enum" in schema:
        good = st.sampled_from(schema["enum"])
    elif schema.get("properties"):
        optional = {key: _like(value) for key, value in schema["properties"].items()}
        good = st.fixed_dictionaries({}, optional=optional)
    elif "items" in schema:
        good = st.lists(_like(schema["items"]), max_size=2)
    return st.one_of(good, good, good, _anything)


def _vms() -> st.SearchStrategy[Any]:
    sources = [
        st.builds(lambda fields, kind=kind: {**fields, "kind": kind}, st.fixed_dictionaries({}, optional=properties))
        for kind in KINDS
        for properties in [
            {key: _like(value) for key, value in source_schema(kind)["properties"].items() if key != "kind"}
        ]
    ]
    fields = {key: _like(value) for key, value in vm_schema()["properties"].items() if key != "source"}
    vm = st.builds(
        lambda source, rest: {"source": source, **rest},
        st.one_of(*sources, _anything),
        st.fixed_dictionaries({}, optional=fields),
    )
    return st.dictionaries(st.sampled_from(["a", "b", "A", "a-b", "x y"]), vm, min_size=1, max_size=3)


@pytest.mark.parametrize("root", ["vms", "vm"])
def test_random_vms_are_built_or_refused(root: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("random")

    @settings(deadline=None, max_examples=60)
    @given(_vms())
    def load(vms: dict[str, Any]) -> None:
        _try(folder, {root: vms})

    load()


def test_random_mappings_are_built_or_refused(tmp_path: Path) -> None:
    keys = st.sampled_from(["vms", "vm", "includes", "name", "deploy", "x"])

    @settings(deadline=None, max_examples=100)
    @given(st.dictionaries(keys, _anything, max_size=4) | _anything)
    def load(data: Any) -> None:
        _try(tmp_path, data)

    load()


def _try(folder: Path, data: Any) -> None:
    write(folder, yaml.safe_dump(data))
    try:
        project = load_project(folder, cache=False)
    except InputErrors as e:
        assert e.errors
        for error in e.errors:
            assert error.where is not None
            assert error.message
        return
    assert [project.vms[name].name for name in project.vms] == [*project.vms]
