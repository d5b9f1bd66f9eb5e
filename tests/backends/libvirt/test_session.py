"""The backend with a real session daemon and real QEMU processes, as an ordinary user.

What happens as that user is in :mod:`tests.backends.libvirt.scenes`: a function each, run in a process of its own.
"""

from __future__ import annotations

import os

import pytest

from ovtasks.backends.libvirt import Libvirt
from ovtasks.errors import OvError
from tests.backends.libvirt import scenes
from tests.support.session import SessionUser

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("libvirt")]


def play(user: SessionUser, scene: str) -> None:
    done = user.run(user.python, "-m", "tests.backends.libvirt.scenes", scene)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr, done.stderr  # libvirt's own printing of errors is off


@pytest.mark.parametrize("scene", scenes.ALL)
def test_as_user(user: SessionUser, scene: str) -> None:
    play(user, scene)
    assert not user.pids("qemu-system-x86_64")


def test_root_has_no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.delenv("OV_LIBVIRT_URI", raising=False)
    with pytest.raises(OvError, match="root has no libvirt session"):
        Libvirt().probe(start=True)
