"""The demo VM's disk as built by its command, without its seed. test_instances.py boots it with the seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.demo import Demo
from tests.support.qemu import boot

pytestmark = pytest.mark.boot


def test_without_seed_it_boots_and_nobody_gets_in(demo: Demo, tmp_path: Path) -> None:
    """And what was built stays as it is while a machine runs on it."""
    before = (demo.disk.stat().st_mtime_ns, demo.disk.stat().st_size)
    with boot(demo.disk, tmp_path) as guest:
        guest.wait_console(r"Command line: .* no_timer_check ")
        guest.wait_console(r"Cloud-init v\. \S+ finished at .*Datasource DataSourceNone")
        assert "login:" in guest.wait_console(r"^.*login:")[0]
    assert (demo.disk.stat().st_mtime_ns, demo.disk.stat().st_size) == before
