"""``ov`` many times over, struck or not: a process that has loaded it forks for each call, which saves time.

``python -m tests.instance.forks`` reads words as JSON, one call per line: the strike's number first, -1 for none (see
:mod:`tests.instance.strikes`). It answers each with the status and what was said.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ovtasks import cli
from tests.instance import strikes
from tests.support.processes import PIPE, Process, settle, start
from tests.support.rooms import Room

LOADED: tuple[str, ...] = (
    "cli.main",
    "cli.parser",
    "cli.snapshot",
    "cli.gc",
    "cli.lifecycle",
    "deploy.receipts",
    "instance.snapshots",
)
LOADED += ("instance.leftovers", "backends.qemu", "backends.qemu.probing", "graph.tasks", "project.load", "host.spawn")


@dataclass(frozen=True)
class Forks:
    """Calls of ``ov`` in a room."""

    process: Process

    def call(self, number: int, *words: str) -> tuple[int, str]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps([number, *words]) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the process that forks has ended"
        code, said = json.loads(answer)
        assert "Traceback" not in said, said
        return code, said

    def ov(self, *words: str) -> str:
        code, said = self.call(-1, *words)
        assert code == 0, f"ov {' '.join(words)}: {code}\n{said}"
        return said

    def strike(self, number: int, *words: str) -> bool:
        """Run ``ov vm snapshot`` with a kill before its call NUMBER. Returns whether it was killed."""
        code, said = self.call(number, "vm", "snapshot", *words)
        assert code in {0, -9}, said
        return code != 0

    def calls(self, *words: str) -> int:
        """Run it to its end; how many calls it makes."""
        code, said = self.call(0, "vm", "snapshot", *words)
        found = re.search(r"calls: (\d+)", said)
        assert code == 0 and found is not None, said
        return int(found[1])


@contextmanager
def forks(room: Room) -> Iterator[Forks]:
    at = room.words.index("-c")
    process = start(*room.words[:at], "-m", "tests.instance.forks", cwd=room.project, env=room.env, stdin=PIPE)
    try:
        yield Forks(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        settle(process, 60)


def run(words: list[str]) -> tuple[int, str]:
    with tempfile.TemporaryFile() as said:
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                os.dup2(said.fileno(), 1)
                os.dup2(said.fileno(), 2)
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                sys.argv = ["strikes", *map(str, words)]
                code = strikes.main()
            except SystemExit as e:
                code = e.code if isinstance(e.code, int) else 1
            finally:
                sys.setprofile(None)
                if sys.exc_info()[0] is not None:
                    traceback.print_exc()
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        said.seek(0)
        return os.waitstatus_to_exitcode(status), said.read().decode(errors="replace")


def main() -> None:
    entry = cli.main
    for name in LOADED:
        importlib.import_module(f"ovtasks.{name}")
    vars(cli)["main"] = entry  # the module of that name hides it
    while line := sys.stdin.readline():
        sys.stdout.write(json.dumps(run(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
