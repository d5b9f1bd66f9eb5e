"""The demo VM's base image serves the tests here too; whichever folder's tests come first build it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.demo import demo
from tests.support.user import User, new_user

__all__ = ["demo", "nobody_special", "someone"]


@pytest.fixture
def someone() -> Iterator[User]:
    """An ordinary user who may use user namespaces to the full."""
    with new_user(subordinate=True) as user:
        yield user


@pytest.fixture
def nobody_special() -> Iterator[User]:
    """An ordinary user without subordinate user numbers."""
    with new_user(subordinate=False) as user:
        yield user
