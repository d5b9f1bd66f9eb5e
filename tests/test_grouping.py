"""Tests that share a machine-wide thing (a bridge, libvirt's daemon) stay on one worker, as do those of long groups."""

from __future__ import annotations

import os

import pytest


@pytest.mark.xdist_group("grouping")
def test_xdist_sees_groups(request: pytest.FixtureRequest) -> None:
    """xdist finds a test's group behind an @ in its name. Should pytest and xdist not fit, this is where it shows."""
    grouped = request.node.nodeid.endswith("@grouping")
    assert grouped == ("PYTEST_XDIST_WORKER" in os.environ)
