"""Pages made from the code are up to date."""

from __future__ import annotations

import pytest

from docs.generate import PAGES, page


@pytest.mark.parametrize("name", PAGES)
def test_field_reference_is_up_to_date(name: str) -> None:
    assert PAGES[name].read_text(encoding="utf-8") == page(name), "run: python docs/generate.py"


@pytest.mark.parametrize("name", PAGES)
def test_every_field_is_described(name: str) -> None:
    for line in PAGES[name].read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            assert line.rstrip(" |").count("|") >= 4, f"no meaning: {line}"
