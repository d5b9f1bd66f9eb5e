"""One user with a libvirt session for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.session import SessionUser, session_user


@pytest.fixture(scope="session")
def user() -> Iterator[SessionUser]:
    with session_user() as made:
        yield made
