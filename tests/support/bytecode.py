"""Compiled modules are kept, also where PYTHONDONTWRITEBYTECODE is set.

Images for CI set that variable. Each program that tests start would compile the package again, for longer than most of
what it is asked for takes, and each run of pytest would rewrite every test module. Modules of the tests' own projects
are not touched: those are edited within a second, which a compiled module's time stamp does not show.
"""

from __future__ import annotations

import compileall
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Bytecode:
    """A plugin: the process that the user started compiles the package, each worker keeps what it collects."""

    def __init__(self, config: pytest.Config) -> None:
        self.ours = ROOT.stat().st_uid == os.geteuid()  # root leaves nothing of its own in a user's checkout
        if self.ours and not hasattr(config, "workerinput"):
            compileall.compile_dir(ROOT / "ovtasks", quiet=2)

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Iterator[None]:
        before, sys.dont_write_bytecode = sys.dont_write_bytecode, sys.dont_write_bytecode and not self.ours
        try:
            return (yield)
        finally:
            sys.dont_write_bytecode = before
