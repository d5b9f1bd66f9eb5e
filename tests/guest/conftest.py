"""A guest that tests of one file share: a real sshd, and a connection to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ovtasks.guest.connection import Connection, connect
from tests.support.sshd import Sshd, new_sshd


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """It runs, and nobody changes it."""
    with new_sshd(tmp_path_factory.mktemp("shared") / "sshd") as server:
        server.start()
        yield server


@pytest.fixture(scope="module")
def guest(shared: Sshd) -> Iterator[Connection]:
    with connect(shared.target) as guest:
        yield guest
