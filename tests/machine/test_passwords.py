"""A display's password that would be cut or refused is refused here, wherever it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.errors import InputError, InputErrors
from ovtasks.machine.devices.graphics.passwords import too_long
from ovtasks.project.load import load_project

VM = """\
vms:
  web:
    source: {kind: cloud_image, url: https://example.org/a.qcow2}
    libvirt:
"""
FIELD = "      devices: {{graphics: [{{type: {kind}, passwd: '{text}'}}]}}\n"
SNIPPET = '      snippets:\n        - |\n          <graphics type="{kind}" passwd="{text}"/>\n'
INNER = '      xml_passthrough: |\n        <devices>\n          <graphics passwd="{text}" type="{kind}"/></devices>\n'


def faults(tmp_path: Path, form: str, kind: str, text: str) -> list[InputError]:
    (tmp_path / "vms.yml").write_text(VM + form.format(kind=kind, text=text), encoding="utf-8")
    try:
        load_project(tmp_path)
    except InputErrors as e:
        return list(e.errors)
    except InputError as e:
        return [e]
    return []


@pytest.mark.parametrize("form", [FIELD, SNIPPET, INNER], ids=["field", "snippet", "passthrough"])
@pytest.mark.parametrize(("kind", "limit"), [("vnc", 8), ("spice", 60)])
def test_the_limit(kind: str, limit: int, form: str, tmp_path: Path) -> None:
    for text in ("x" * limit, "é" * (limit // 2)):
        assert faults(tmp_path, form, kind, text) == []
    for text in ("s" * (limit + 1), "é" * (limit // 2) + "s", "€" * limit):
        (error,) = faults(tmp_path, form, kind, text)
        assert f"has {len(text.encode())} bytes" in error.message and f"at most {limit} bytes" in str(error.hint)
        assert text not in str(error)
        line = {FIELD: 5, SNIPPET: 7, INNER: 7}[form]
        assert error.where is not None and error.where.line == line and error.where.column > 1


def test_kinds_without_a_password() -> None:
    assert too_long("sdl", "x" * 99) is None and too_long("", "x" * 99) is None
