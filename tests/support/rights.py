"""Tests that take root's rights: marked ``root``, run apart by who is not root, counted when they are left out."""

from __future__ import annotations

import os
from typing import Any

import pytest

FIXTURES = frozenset({"room", "lab", "nobody_special"})
"""Of tests/bootc: loop devices and mounts. Of tests/bootstrap: another user."""


def add_option(parser: pytest.Parser) -> None:
    parser.addoption("--only-root", action="store_true", help="only tests that take root's rights")


class Rights:
    """A plugin: root runs everything, or those alone; others leave them out and say how many there are."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.left_out = 0

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """After ``-m`` and ``-k``."""
        for item in items:
            if FIXTURES & set(getattr(item, "fixturenames", ())):
                item.add_marker(pytest.mark.root)
        only = self.config.getoption("only_root")
        if not only and os.geteuid() == 0:
            return
        chosen = [item for item in items if bool(item.get_closest_marker("root")) == only]
        dropped = [item for item in items if item not in set(chosen)]
        self.left_out = 0 if only else len(dropped)
        self.config.hook.pytest_deselected(items=dropped)
        items[:] = chosen

    def pytest_sessionfinish(self) -> None:
        """A worker tells its controller."""
        if hasattr(self.config, "workeroutput"):
            self.config.workeroutput["left_out"] = self.left_out

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self.left_out = max(self.left_out, getattr(node, "workeroutput", {}).get("left_out", 0))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.left_out:
            terminalreporter.write_line(f"{self.left_out} tests take root's rights and were left out")
