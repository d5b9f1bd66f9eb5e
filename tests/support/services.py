"""Tests that need a service's package (sshd, a registry, libvirt's daemon, cloud-init): marked ``services``.

The mark follows from the imports: who imports, at whatever distance, a module that starts such a program needs it.
``--no-services`` leaves these tests out, and says how many they are.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ovtasks.cli.checkout import SERVICES

TESTS = Path(__file__).parents[1]
STARTERS = frozenset(
    {
        "tests.bootc.registry",
        "tests.containers.registry",
        "tests.seed.cloudinit",
        "tests.seed.cloudinit_reads",
        "tests.support.session",
        "tests.support.sshd",
    }
)
"""The modules that start the programs of these packages."""
CALLED = re.compile(rf'(?:require|program|which|find)\("({"|".join(SERVICES)})"|\["({"|".join(SERVICES)})"')
"""How a test calls such a program by itself."""
_IMPORT = re.compile(
    r"^\s*(?:from (tests(?:\.\w+)+) import ([^\n(]+|\([^)]+\))|import (tests(?:\.\w+)+))", re.MULTILINE
)


def add_option(parser: pytest.Parser) -> None:
    parser.addoption("--no-services", action="store_true", help="leave out the tests that need a service's package")


@cache
def imports(module: str) -> frozenset[str]:
    """The modules of tests/ that this one imports, directly."""
    found = set()
    file = TESTS.parent / f"{module.replace('.', '/')}.py"
    for source, names, plain in _IMPORT.findall(file.read_text(encoding="utf-8") if file.is_file() else ""):
        found |= {source or plain, *(f"{source}.{name}" for name in re.findall(r"\w+", names))}
    return frozenset(name for name in found if (TESTS.parent / f"{name.replace('.', '/')}.py").is_file())


@cache
def needs_services(module: str) -> bool:
    """Whether a module of tests/ starts such a program, or imports one that does."""
    seen, ahead = set(), [module]
    while ahead:
        name = ahead.pop()
        if name not in seen:
            seen.add(name)
            ahead += imports(name)
    return bool(seen & STARTERS)


class Services:
    """A plugin: it sets the mark, leaves marked tests out when asked to, and says how many there were."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.left_out = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Before ``-m``, which may name the mark."""
        for item in items:
            if any(map(needs_services, _modules(item))):
                item.add_marker(pytest.mark.services)
        if self.config.getoption("no_services"):
            dropped = [item for item in items if item.get_closest_marker("services")]
            self.left_out = len(dropped)
            self.config.hook.pytest_deselected(items=dropped)
            items[:] = [item for item in items if not item.get_closest_marker("services")]

    def pytest_sessionfinish(self) -> None:
        """A worker tells its controller."""
        if hasattr(self.config, "workeroutput"):
            self.config.workeroutput["without_services"] = self.left_out

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self.left_out = max(self.left_out, getattr(node, "workeroutput", {}).get("without_services", 0))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.left_out:
            names = ", ".join(SERVICES)
            terminalreporter.write_line(f"{self.left_out} tests need packages that start services ({names}): left out")


def _modules(item: pytest.Item) -> set[str]:
    """The modules of a test and of the fixtures that it uses."""
    definitions = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    return {item.module.__name__, *(one[-1].func.__module__ for one in definitions.values())}  # type: ignore[attr-defined]
