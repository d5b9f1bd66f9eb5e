"""Pages made from the code are up to date."""

from __future__ import annotations

import json

from docs.generate import LIBVIRT_SCHEMA, PAGE, SCHEMA, libvirt_schema, page


def test_field_reference_is_up_to_date() -> None:
    made = page(json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert PAGE.read_text(encoding="utf-8") == made, "run: python -m docs.generate"


def test_libvirt_schema_is_up_to_date() -> None:
    assert LIBVIRT_SCHEMA.read_text(encoding="utf-8") == libvirt_schema(), "run: python -m docs.generate"


def test_every_field_is_described() -> None:
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            assert line.rstrip(" |").count("|") >= 4, f"no meaning: {line}"
