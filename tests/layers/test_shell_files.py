"""The shell files of layers."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks import layers
from tests.support.programs import call


@pytest.mark.slow
def test_no_complaint_of_shellcheck() -> None:
    files = sorted(Path(layers.__file__).parent.rglob("*.sh"))
    assert files
    call("shellcheck", "--shell=sh", *files)
