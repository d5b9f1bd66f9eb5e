"""What docstrings refer to is there: modules, and names behind a module (``:func:`.step.need_keys```)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
REFERENCE = re.compile(r":(mod|func|class|data|attr|meth):`~?(\.*)((?:[a-z_]\w*\.)*)(\w+)`")


def file_of(place: Path) -> Path | None:
    """The file of the module at ``place``, a path without its ending."""
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)


def broken(path: Path) -> Iterator[str]:
    """The references in ``path`` that lead nowhere."""
    for role, dots, before, name in REFERENCE.findall(path.read_text(encoding="utf-8")):
        parts = [part for part in before.split(".") if part]
        if not dots and (not parts or parts[0] != "ovtasks"):
            continue  # a name of this file, or of another package
        base = path.parents[len(dots) - 1] if dots else ROOT
        module = file_of(base.joinpath(*parts, name) if role == "mod" else base.joinpath(*parts))
        if module is None or (role != "mod" and not re.search(rf"\b{name}\b", module.read_text(encoding="utf-8"))):
            yield f"{path.relative_to(ROOT)}: {dots}{before}{name}"


def test_references_lead_somewhere() -> None:
    modules = sorted((ROOT / "ovtasks").rglob("*.py"))
    assert len(modules) > 200
    assert [found for path in modules for found in broken(path)] == []
