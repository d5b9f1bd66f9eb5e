"""A mirror of the distributions, for the examples' images."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.mirror import NEWEST, certificate, distributions, mirror, publish, signer
from tests.support.openpgp import Signer
from tests.support.server import Site
from tests.support.workbench import make_image

__all__ = ["certificate", "distributions", "mirror", "signer"]


@pytest.fixture
def filled(mirror: Site, signer: Signer, tmp_path: Path) -> Site:
    """The mirror with the newest image of every distribution: disks whose machines halt at once."""
    make_image(tmp_path / "image.qcow2")
    data = (tmp_path / "image.qcow2").read_bytes()
    for row in NEWEST.values():
        publish(mirror, row, data, signer)
    return mirror
