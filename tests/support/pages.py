"""Worked examples on a page: their code, applied to a copy of the checkout."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.support.checkout import ROOT

PARTS = ("ovtasks", "schemas", "docs", "tests", "bench", "dodo.py", "pyproject.toml", "README.md", "CONTRIBUTING.md")
BLOCK = re.compile(r"^```(\w+) (\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, tag: str) -> Iterator[tuple[str, str]]:
    """Language and text of each code block that ends its first line in ``tag``."""
    for language, found, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if found == tag:
            yield language, text


def copy_checkout(target: Path) -> Path:
    """The package, compiled as it is, and what is made from it, without the rest of what Git ignores."""
    skip = shutil.ignore_patterns("*-pytest-*.pyc", ".*cache", "*.egg-info")
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=skip)
        else:
            shutil.copy(ROOT / name, target / name)
    return target


def follow(page: Path, tag: str, checkout: Path) -> list[str]:
    """Do what the blocks of an example say; returns the files that were written.

    A ``python`` block begins with the file's name in a comment. It is a new file, or comes after what the file has. A
    ``diff`` block begins with ``+++`` and the file's name. Its lines begin with a blank, ``-`` or ``+``, as in a patch;
    those with a blank or ``-`` must be found exactly once.
    """
    written = []
    for language, text in blocks(page, tag):
        head, _, body = text.partition("\n")
        name = head.removeprefix("# " if language == "python" else "+++ ")
        assert name != head, f"{page.name}: a {language} block that names no file: {head}"
        path = checkout / name
        if language == "python":
            before = path.read_text(encoding="utf-8") if path.exists() else ""
            path.write_text(before + body, encoding="utf-8")
        else:
            lines = body.splitlines(keepends=True)
            old = "".join(line[1:] for line in lines if line[0] in " -")
            new = "".join(line[1:] for line in lines if line[0] in " +")
            before = path.read_text(encoding="utf-8")
            assert before.count(old) == 1, f"{page.name}: {name} has not these lines, or has them twice:\n{old}"
            path.write_text(before.replace(old, new), encoding="utf-8")
        written.append(name)
    return written
