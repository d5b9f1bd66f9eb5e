"""Gives tests a VM: made for the run, and gone with its disk at the end."""

import os
import subprocess
from collections.abc import Iterator

import pytest

NAME = os.environ.get("VM", "web")
INSTANCE = "pytest"


class Vm:
    """An instance of NAME, beside those that you work with."""

    def ov(self, verb: str, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """``ov vm VERB`` for this VM."""
        argv = ["ov", "vm", verb, NAME, "-i", INSTANCE, *words]
        return subprocess.run(argv, check=check, text=True, stdout=subprocess.PIPE)

    def run(self, command: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command in the guest."""
        return self.ov("ssh", "--", command, check=check)


@pytest.fixture(scope="session")
def vm() -> Iterator[Vm]:
    """The VM, when it can be logged in to."""
    made = Vm()
    try:
        made.ov("create")
        made.ov("wait")
        yield made
    finally:
        made.ov("destroy", "--disk", "-y", check=False)
