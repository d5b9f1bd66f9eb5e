"""Pages made from the code are up to date."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs import commands_page, layers_page, libvirt_page, output_page, rooms
from docs.generate import LIBVIRT_PAGE, LIBVIRT_SCHEMA, PAGES, libvirt_schema, page
from ovtasks.layers.checks.model import CheckContext, Probe
from ovtasks.layers.checks.reading import read_checks
from ovtasks.layers.facts import SystemFacts
from ovtasks.layers.plan import compile_layer
from ovtasks.project.layer_file import read_layer
from ovtasks.project.schema import Checker

AGAIN = "run: python -m docs.generate"


def test_libvirt_reference_is_up_to_date() -> None:
    assert LIBVIRT_PAGE.read_text(encoding="utf-8") == libvirt_page.page(), "run: python -m docs.generate"


@pytest.mark.parametrize("name", PAGES)
def test_field_reference_is_up_to_date(name: str) -> None:
    assert PAGES[name].read_text(encoding="utf-8") == page(name), AGAIN


def test_commands_page_is_up_to_date() -> None:
    assert commands_page.PAGE.read_text(encoding="utf-8") == commands_page.page(), AGAIN


def test_output_page_is_up_to_date() -> None:
    assert output_page.PAGE.read_text(encoding="utf-8") == output_page.page(), AGAIN


def test_layers_page_is_up_to_date() -> None:
    assert layers_page.PAGE.read_text(encoding="utf-8") == layers_page.page(), AGAIN


def test_the_page_s_layer_is_carried_out(tmp_path: Path) -> None:
    text = layers_page.HEAD.partition("```yaml\n")[2].partition("```")[0]
    place = tmp_path / "layers/notes/layer.yml"
    place.parent.mkdir(parents=True)
    place.write_text(text)
    (place.parent / "notes.sh").touch()
    layer, errors = read_layer(place, Checker())
    assert layer is not None and not errors
    for distro, version in (("debian", "13"), ("fedora", "43"), ("ubuntu", "24.04")):
        plan = compile_layer(layer, SystemFacts(distro, version))
        assert plan.operations and not plan.skipped
    assert all(isinstance(one, Probe) for one in read_checks(layer.checks, CheckContext(SystemFacts("debian"))))


def test_libvirt_schema_is_up_to_date() -> None:
    assert LIBVIRT_SCHEMA.read_text(encoding="utf-8") == libvirt_schema(), AGAIN


def test_picture_of_the_rooms_is_up_to_date() -> None:
    assert rooms.PAGE.read_text(encoding="utf-8") == rooms.page(), AGAIN


def test_picture_says_the_same_as_the_imports() -> None:
    """Arrows that are left out are implied: whoever follows the rest reaches every room that is imported from."""
    needs, shown = rooms.needs(), rooms.direct(rooms.needs())
    for name, below in needs.items():
        reached, waiting = set(), [*shown[name]]
        while waiting:
            reached.add(waiting[-1])
            waiting += shown[waiting.pop()]
        assert below <= reached, name


@pytest.mark.parametrize("name", PAGES)
def test_every_field_is_described(name: str) -> None:
    for line in PAGES[name].read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            assert line.rstrip(" |").count("|") >= 4, f"no meaning: {line}"
