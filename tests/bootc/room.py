"""A place of its own for podman: processes, mounts, ``/run``, settings and storage that are nobody else's.

What runs in a :class:`Room` sees this machine's files, network and devices, but podman's storage at
``/var/lib/containers`` is the room's, and so is ``/etc/containers``. Process 1 is the room's, too: that is what
``--pid=host`` means to a container in it, so an installer can enter "the host" there. When the room is closed, or who
opened it dies (also by SIGKILL), the kernel ends all its processes, mounts and containers. Only loop devices stay.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ovtasks.host.run import Result, require
from tests.support.containers import CONTAINERS_CONF
from tests.support.processes import Process, start, talk

DEADLINE = 120.0  # seconds for what takes milliseconds
COMMAND_DEADLINE = 600.0
STORAGE_CONF = '[storage]\ndriver = "overlay"\nrunroot = "/run/containers/storage"\ngraphroot = "{graphroot}"\n'
GRAPHROOT = "/var/lib/containers/storage"
POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}\n'
REGISTRIES_CONF = 'unqualified-search-registries = []\nshort-name-mode = "enforcing"\n'
# $1: the room's folder. Children that others leave to process 1 are reaped because it ignores SIGCHLD. It ends when the
# pipe that it reads is closed.
INIT = """set -eu
mkdir -p /var/lib/containers /etc/containers
mount --bind "$1/containers" /var/lib/containers
mount --bind "$1/etc" /etc/containers
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/netns
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
if [ -d /var/lib/cni ]; then mount -t tmpfs tmpfs /var/lib/cni; fi
echo ready
exec env --ignore-signal=CHLD cat
"""


@dataclass
class Room:
    """``folder`` holds ``containers`` (podman's storage) and ``etc`` (its settings); ``pid`` is process 1, seen from
    outside. ``seen`` are the IDs of containers that :meth:`processes` met."""

    folder: Path
    pid: int
    seen: set[str] = field(default_factory=set)

    @property
    def containers(self) -> Path:
        """``/var/lib/containers``, seen from outside."""
        return self.folder / "containers"

    @property
    def prefix(self) -> list[str]:
        """The words before a command that make it run in the room; it is in ``/`` then."""
        return [str(require("nsenter")), "--target", str(self.pid), "--mount", "--pid", "--"]

    def argv(self, *argv: str | Path, cwd: Path | None = None) -> list[str]:
        """The command line to run a command in the room, in the folder ``cwd``."""
        return [*self.prefix, str(require("env")), f"--chdir={cwd or '/'}", *map(str, argv)]

    def popen(
        self,
        *argv: str | Path,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
    ) -> Process:
        """Start a command in the room, in a session of its own; see :func:`inner_pid` for signals."""
        return start(*self.argv(*argv, cwd=cwd), env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})})

    def run(
        self,
        *argv: str | Path,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        code: int | None = 0,
        timeout: float = COMMAND_DEADLINE,
    ) -> Result:
        """Run a command in the room to its end and expect an exit code (None: any)."""
        process = self.popen(*argv, cwd=cwd, env=env)
        try:
            out, err = process.communicate(timeout=timeout)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # nsenter and what it started
        assert code is None or process.returncode == code, f"{argv}: status {process.returncode}\n{out}\n{err}"
        return Result(process.returncode, out, err)

    def podman(self, *words: str | Path, code: int | None = 0) -> str:
        """Run podman; returns stdout."""
        return self.run("podman", *words, code=code).stdout.strip()

    def bind(self, source: Path, target: str) -> None:
        """Show ``source`` at ``target``, in the room only."""
        self.run("mount", "--bind", source, target)

    def processes(self) -> dict[int, str]:
        """Command line by pid (seen from outside) of everything in the room but its process 1; no zombies."""
        mine = Path(f"/proc/{self.pid}/ns/pid").readlink()
        found = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and int(entry.name) != self.pid and (entry / "ns/pid").readlink() == mine:
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                    if line:
                        found[int(entry.name)] = line
                        self.seen.update(re.findall(r"conmon .* -c ([0-9a-f]{64}) ", line))
        return found

    def mounts(self) -> set[str]:
        """The mount points in the room."""
        lines = Path(f"/proc/{self.pid}/mounts").read_text(encoding="utf-8").splitlines()
        return {line.split()[1] for line in lines}


def inner_pid(process: Process) -> int:
    """The pid, seen from outside, of what :meth:`Room.popen` started: nsenter passes no signals on to it."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):  # one may end while we look
            for word in children.read_text(encoding="ascii").split():
                if Path(f"/proc/{word}/comm").read_text(encoding="utf-8").strip() not in {"nsenter", "env"}:
                    return int(word)
        time.sleep(0.01)
    raise AssertionError("the command has not started")


@contextlib.contextmanager
def open_room(folder: Path) -> Iterator[Room]:
    """A room over ``folder``, whose subfolder ``containers`` may hold a storage already."""
    (folder / "containers").mkdir(parents=True, exist_ok=True)
    _write_settings(folder / "etc")
    words = ["unshare", "--fork", "--pid", "--mount", "--mount-proc", "--propagation=slave", "--kill-child=KILL"]
    guard = (require("setpriv"), "--pdeathsig", "KILL", "--")
    with talk(*guard, *words, "sh", "-c", INIT, "sh", folder) as process:
        assert process.stdin is not None and process.stdout is not None
        seen: set[str] = set()
        try:
            assert process.stdout.readline() == "ready\n", "the room could not be made: are we root?"
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
            yield Room(folder, int(children.split()[0]), seen)
        finally:
            process.stdin.close()
            process.wait(DEADLINE)  # the kernel ends everything else in the room before its process 1 is gone
            _remove_cgroups(folder, seen)


def _write_settings(folder: Path) -> None:
    """What ``/etc/containers`` holds in the room; for an ordinary user and for sudo as for root."""
    folder.mkdir(exist_ok=True)
    for name, text in {
        "containers.conf": CONTAINERS_CONF,
        "policy.json": POLICY,
        "registries.conf": REGISTRIES_CONF,
        "storage.conf": STORAGE_CONF.format(graphroot=GRAPHROOT),
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    folder.chmod(0o755)


def _remove_cgroups(folder: Path, seen: set[str]) -> None:
    """Containers that ended with their room, or without their monitor, leave cgroups, which are empty now."""
    index = folder / "containers/storage/overlay-containers/containers.json"
    known = json.loads(index.read_bytes() or b"[]") if index.is_file() else []
    for container in seen | {str(one["id"]) for one in known}:
        for cgroup in Path("/sys/fs/cgroup").glob(f"**/libpod_parent/libpod-*{container}"):
            cgroup.rmdir()
