"""Python looks for garbage among what a test makes, not among all that was collected.

Thousands of tests are millions of objects, which stay to the end and would be gone through again and again: while they
are made, for a third of the time that collection takes, and in every full round after that.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


class Garbage:
    """A plugin: no rounds while tests are collected; what is there then is left out of the later ones."""

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Iterator[None]:
        gc.disable()
        try:
            return (yield)
        finally:
            gc.collect()
            gc.freeze()
            gc.enable()
