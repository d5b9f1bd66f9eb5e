"""Nothing to do for ten layers in a VM, beside nothing to build: ``doit deploy:web-vm`` and ``doit build:web``.

The guest is a folder behind an sshd of this machine, as in the tests of deployments.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from pathlib import Path

import pytest

from bench._measure import PYTHON_PASS, SCRIPTS, compile_package, in_turns, table, verdict
from ovtasks.cli.main import run
from tests.deploy.guest import Guest, new_guest
from tests.deploy.idle import ten_layers

RUNS = 15
LIMIT = 1.5


class _Silence(pytest.CaptureFixture[str]):
    """What a test would capture is not looked at here."""

    def __init__(self) -> None:
        pass


def main() -> int:
    """Deploy, then measure in turns."""
    compile_package()
    patch = pytest.MonkeyPatch()
    with tempfile.TemporaryDirectory(prefix="ov-bench-") as name, new_guest(Path(name), patch, _Silence()) as guest:
        ten_layers(guest)
        for _ in range(2):
            for words in (["vm", "build", "web"], ["deploy", "add", "web-vm"]):
                _quietly(guest, words)
        doit = str(SCRIPTS / "doit")
        commands = {
            "python -c pass": PYTHON_PASS,
            "doit build:web": [doit, "build:web"],
            "doit deploy:web-vm": [doit, "deploy:web-vm"],
        }
        found = in_turns(commands, guest.project, runs=RUNS)
        table("nothing to do, ten layers", found, "python -c pass")
    patch.undo()
    ratio = found["doit deploy:web-vm"].ratio(found["doit build:web"])
    return verdict({"doit deploy to doit build, ten layers": (ratio, LIMIT)})


def _quietly(guest: Guest, words: list[str]) -> None:
    guest.settle()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        status = run(["-C", str(guest.project), *words])
    if status:
        raise SystemExit(f"ov {' '.join(words)}: {said.getvalue()}")


if __name__ == "__main__":
    sys.exit(main())
