"""The README and the guides, as one text, and their code."""

from __future__ import annotations

import re

from tests.support.checkout import ROOT

PAGES = ("README.md", "docs/building.md", "docs/running.md", "docs/bootc.md", "CONTRIBUTING.md")
"""In the order in which one reads them."""
TEXT = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
BLOCK = re.compile(r"^```(\w+)(?: (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)

SHIP = """from ovtasks import load_tasks


def task_ship():
    return {
        "file_dep": ["output/web/qcow2/disk.qcow2"],
        "targets": ["shipped"],
        "actions": ["echo shipped >> %(targets)s"],
    }


load_tasks(globals())
"""
"""A task of the user's own, as a page shows it."""


def blocks(language: str, tag: str) -> list[str]:
    return [text for found, name, text in BLOCK.findall(TEXT) if (found, name) == (language, tag)]
