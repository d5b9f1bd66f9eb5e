"""The demo VM's artifacts for all boot tests of the session."""

from __future__ import annotations

import pytest

from tests.support.demo import Demo, build_demo


@pytest.fixture(scope="session")
def demo(session_directories: None, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return build_demo(tmp_path_factory.getbasetemp() / "demo")
