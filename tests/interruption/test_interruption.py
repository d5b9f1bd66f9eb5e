"""A run of the tests that is interrupted leaves nothing; one that is killed leaves nothing to the next."""

from __future__ import annotations

import signal
import sys

import pytest

from tests.support.checkout import ROOT, run

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.xdist_group("bridge")]
WORKERS = ("-n", "3")


@pytest.mark.parametrize(
    ("number", "to", "names", "words"),
    [
        (signal.SIGINT, "pytest", "bridge,libvirt,mounts", WORKERS),
        (signal.SIGINT, "group", "bridge,mounts", WORKERS),
        (signal.SIGTERM, "pytest", "bridge", ()),
        (signal.SIGHUP, "pytest", "mounts", ()),
        (signal.SIGTERM, "doit", "libvirt", ()),
        (signal.SIGKILL, "doit", "mounts", ()),
        (signal.SIGKILL, "group", "bridge,libvirt,mounts", WORKERS),
    ],
)
def test_nothing_is_left(number: signal.Signals, to: str, names: str, words: tuple[str, ...]) -> None:
    namespaces = ["unshare", "--pid", "--fork", "--mount", "--net", "--mount-proc", "--kill-child"]
    inner = [sys.executable, "-m", "tests.interruption.place", str(int(number)), to, names, *words]
    done = run(*namespaces, *inner, cwd=ROOT)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stdout + done.stderr
