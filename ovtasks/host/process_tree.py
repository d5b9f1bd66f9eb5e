"""Ends a child and everything that it started: by signals, and by sudo for processes of root."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

GRACE = 2.5
"""Seconds between SIGTERM and SIGKILL."""
LAST = 1.5
"""Seconds to wait after SIGKILL. A process that is still there then hangs in the kernel, or is another user's."""
LOOK = 0.02


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process, identified by its id and the time of its start, because the kernel reuses ids."""

    pid: int
    started: int

    def lives(self) -> bool:
        """Whether the process still runs; a zombie does not."""
        found = _look(self.pid)
        return found is not None and found.member == self and found.state not in "ZX"


@dataclass(frozen=True, slots=True)
class _Seen:
    member: ProcessIdentity
    parent: int
    group: int
    state: str


def _look(pid: int) -> _Seen | None:
    """Read proc_pid_stat(5): a name in parentheses, which may hold more of them, then state, ppid, pgrp,
    …, starttime.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    words = text[text.rindex(b")") + 2 :].split()
    return _Seen(ProcessIdentity(pid, int(words[19])), int(words[1]), int(words[2]), words[0].decode())


def _all_processes() -> Iterator[_Seen]:
    for name in os.listdir("/proc"):  # noqa: PTH208 - only names are wanted
        if name.isdigit() and (seen := _look(int(name))) is not None:
            yield seen


def processes_of(pid: int) -> set[ProcessIdentity]:
    """The process, the others of its group, and all their descendants."""
    seen = list(_all_processes())
    found = {one.member.pid: one.member for one in seen if pid in (one.member.pid, one.group)}
    while more := {one.member.pid: one.member for one in seen if one.parent in found and one.member.pid not in found}:
        found |= more
    return set(found.values())


@dataclass
class ProcessTree:
    """A child that leads a process group, and everything that it started.

    ``grace``: seconds that it gets to end by itself; 0 for a program that has nothing to tidy up.
    """

    process: subprocess.Popen[bytes]
    grace: float = GRACE
    members: set[ProcessIdentity] = field(default_factory=set)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all of them. Processes that appear later get the next one."""
        self.members |= processes_of(self.process.pid)
        refused = []
        for member in self.members:
            if member.lives():
                try:
                    os.kill(member.pid, number)
                except ProcessLookupError:
                    continue
                except PermissionError:
                    refused.append(member.pid)
        if refused:
            _by_sudo(self.process.args, number, refused)

    def gone(self) -> bool:
        """Whether no process is left."""
        self.members = {member for member in self.members if member.lives()}
        return not self.members


def _by_sudo(argv: object, number: signal.Signals, pids: Sequence[int]) -> None:
    """Signal processes that the child runs as root, by the same sudo, if it asks for no password."""
    words = [str(word) for word in argv] if isinstance(argv, list | tuple) else []
    names = [Path(word).name for word in words]
    if "sudo" not in names:
        return
    sudo = words[names.index("sudo")]
    kill = [sudo, "-n", "kill", "-s", number.name.removeprefix("SIG"), "--", *map(str, pids)]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            kill, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=1.0
        )


def end(trees: Sequence[ProcessTree]) -> None:
    """End all of them at once: SIGTERM, then SIGKILL after each one's grace. Children are reaped.

    This never blocks in the kernel waiting for a child, because a signal handler may call it while the program itself
    is about to wait.
    """
    living = [tree for tree in trees if tree.process.poll() is None]
    start = time.monotonic()
    killed = []
    for tree in living:
        tree.signal(signal.SIGTERM if tree.grace > 0 else signal.SIGKILL)
    while living:
        passed = time.monotonic() - start
        for tree in living:
            if passed >= tree.grace and tree not in killed:
                tree.signal(signal.SIGKILL)
                killed.append(tree)
        living = [tree for tree in living if not tree.gone() and passed < tree.grace + LAST]
        if living:
            time.sleep(LOOK)
    for tree in trees:
        tree.process.poll()
