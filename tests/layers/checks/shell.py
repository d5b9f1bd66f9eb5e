"""This machine in place of a guest, and checks as a layer's file has them."""

from __future__ import annotations

import getpass
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ovtasks.errors import Where
from ovtasks.guest.deadline import SYSTEM_CLOCK, Clock
from ovtasks.layers.checks.model import CheckContext, CheckResult
from ovtasks.layers.checks.reading import read_checks
from ovtasks.layers.checks.run import ScriptRunner, carry_out
from ovtasks.layers.facts import SystemFacts
from ovtasks.project.layer_model import LayerCheck
from ovtasks.project.layer_parts import value as plain
from ovtasks.values.jsonvalue import Json
from tests.support.programs import Ended, attempt

FACTS = SystemFacts(
    "debian",
    "13",
    user=getpass.getuser(),
    uid=os.getuid(),
    gid=os.getgid(),
    home=str(Path.home()),
)
CONTEXT = CheckContext(FACTS, variables={"HOME": FACTS.home, "USER": FACTS.user, "TOOL": "a tool"})


@dataclass(frozen=True)
class Answered:
    """What a script said."""

    stdout: bytes


@dataclass
class Shell:
    """Runs the scripts of checks by a shell of this machine. ``programs``: a folder that comes first in PATH."""

    programs: Path | None = None
    scripts: list[str] = field(default_factory=list)
    shell: Sequence[str] = ("sh",)

    def __post_init__(self) -> None:
        if self.programs is None:
            return
        for program in (self.programs / "sudo", self.programs / "doas"):  # root would not see the other programs
            if not program.exists():
                program.write_text("#!/bin/sh\nexit 1\n")
                program.chmod(0o755)

    def run(self, script: str, /) -> Answered:
        """As a connection does it; nothing may be said on stderr."""
        self.scripts.append(script)
        path = f"{self.programs}:{os.environ['PATH']}" if self.programs else os.environ["PATH"]
        done: Ended = attempt(*self.shell, "-s", stdin=script, env={**os.environ, "PATH": path})
        assert not done.stderr, done.stderr
        return Answered(done.stdout.encode())


@dataclass
class FastClock:
    """A clock whose pauses take no time; each is ``longer`` times as long as it should be."""

    now: float = 0.0
    longer: float = 1.0

    def monotonic(self) -> float:
        """As :class:`Clock`."""
        return self.now

    def sleep(self, seconds: float, /) -> None:
        """As :class:`Clock`."""
        self.now += seconds * self.longer


def part(line: int = 1, /, **data: Json) -> LayerCheck:
    """An entry of ``eval``, its verb first; ``kernel_param`` stands for ``kernel-param``."""
    renamed = {"kernel-param" if key == "kernel_param" else key: value for key, value in data.items()}
    return LayerCheck(plain(renamed), Where("layer.yml", line, 5), verb=next(iter(renamed)))


def run_checks(
    guest: ScriptRunner, parts: Sequence[LayerCheck], context: CheckContext, *, clock: Clock = SYSTEM_CLOCK
) -> list[CheckResult]:
    """Read checks, and carry them out."""
    return carry_out(guest, read_checks(parts, context), clock=clock)


def checked(*parts: LayerCheck, context: CheckContext = CONTEXT, shell: Shell | None = None) -> list[CheckResult]:
    """The results of checks against this machine, without a wait."""
    return run_checks(shell or Shell(), parts, replace(context, factor=context.factor), clock=FastClock(longer=100))


def told(*parts: LayerCheck, context: CheckContext = CONTEXT, shell: Shell | None = None) -> list[str]:
    """The results as ``ok`` or ``failed: …``."""
    results = checked(*parts, context=context, shell=shell)
    return [one.outcome if not one.told else f"{one.outcome}: {one.told}" for one in results]
