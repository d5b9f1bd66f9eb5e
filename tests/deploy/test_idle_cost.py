"""Nothing to do for ten layers costs hardly more than nothing to build: both are answered by ``stat``."""

from __future__ import annotations

import resource
import sys

import pytest

from tests.deploy.guest import Guest
from tests.deploy.idle import ten_layers
from tests.support.programs import attempt

pytestmark = pytest.mark.slow  # a guest that nobody knows
DOIT = "import sys; sys.argv[0] = 'doit'; from doit.__main__ import main; sys.exit(main())"
MODULES = (
    "import sys; sys.argv[0] = 'doit'; from doit.__main__ import main; code = main(); "
    "print(*sorted(sys.modules), file=sys.stderr); sys.exit(code)"
)
HEAVY = {
    "yaml",
    "jsonschema",
    "paramiko",
    "ruamel",
    "requests",
    "libvirt",
    "ovtasks.layers.plan",
    "ovtasks.layers.script",
}
LIMIT = 2.0
"""The bench's limit is 1.5, in wall time on a quiet machine."""


@pytest.fixture
def settled(guest: Guest) -> Guest:
    """A VM that is built, and ten layers in it."""
    ten_layers(guest)
    for _ in range(2):  # the second one finds files that are no longer young
        guest.ov("vm", "build", "web")
        guest.ov("deploy", "add", "web-vm")
    return guest


def seconds(guest: Guest, goal: str) -> float:
    """Processor seconds of one idle run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = attempt(sys.executable, "-c", DOIT, goal, cwd=guest.project)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0 and all(line.startswith("-- ") for line in done.stdout.splitlines()), done
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def modules(guest: Guest, goal: str) -> set[str]:
    done = attempt(sys.executable, "-c", MODULES, goal, cwd=guest.project)
    assert done.returncode == 0, done
    return {*done.stderr.split()}


def test_nothing_to_do(settled: Guest) -> None:
    build, deploy = modules(settled, "build:web"), modules(settled, "deploy:web-vm")
    assert not deploy & HEAVY
    assert len(deploy - build) < 40, sorted(deploy - build)
    turns = [(seconds(settled, "build:web"), seconds(settled, "deploy:web-vm")) for _ in range(4)]
    fastest = [min(one) for one in zip(*turns, strict=True)]
    print("processor seconds, build and deploy:", *(f"{one:.3f}" for one in fastest))
    assert fastest[1] < LIMIT * fastest[0], turns
