"""Pages made from the code are up to date."""

from __future__ import annotations

import pytest

from docs import libvirt_page, rooms
from docs.generate import LIBVIRT_PAGE, LIBVIRT_SCHEMA, PAGES, libvirt_schema, page

AGAIN = "run: python -m docs.generate"


def test_libvirt_reference_is_up_to_date() -> None:
    assert LIBVIRT_PAGE.read_text(encoding="utf-8") == libvirt_page.page(), "run: python -m docs.generate"


@pytest.mark.parametrize("name", PAGES)
def test_field_reference_is_up_to_date(name: str) -> None:
    assert PAGES[name].read_text(encoding="utf-8") == page(name), AGAIN


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
