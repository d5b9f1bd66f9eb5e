"""An ordinary user with a libvirt session of its own, made for one test (or for a whole module of them).

The user's daemon is started by the first connection. At the end all processes of that user are ended, by pid: nobody
else has this user number.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ovtasks.host.files import link_or_copy
from ovtasks.host.run import Result, require, run, stop
from tests.support import leftovers
from tests.support.accounts import add_account

ROOT = Path(__file__).parents[2]
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
SITE = Path(sysconfig.get_path("purelib"))
DEADLINE = 30.0


@dataclass
class SessionUser:
    """``words`` before a command make it that user's. ``home`` is short, because sockets' paths must be."""

    name: str
    home: Path
    words: tuple[str, ...]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        """All that the user's programs get; nothing of ours goes to them but proxies."""
        proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
        return {
            **proxies,
            "HOME": str(self.home),
            "LC_ALL": "C.UTF-8",
            "PATH": PATH,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join([str(self.home / "program"), str(self.home / "site")]),
            "TERM": "dumb",
            "USER": self.name,
            "XDG_RUNTIME_DIR": str(self.home / "run"),
        }

    @property
    def python(self) -> str:
        """The interpreter under our environment's; the system's where only its owner can enter that one's folder."""
        ours = Path(sys.executable).resolve()
        return str(ours) if all(folder.stat().st_mode & 0o001 for folder in ours.parents) else "/usr/bin/python3"

    def popen(self, *argv: str | Path, cwd: Path | None = None, **env: str) -> subprocess.Popen[bytes]:
        """Start any program as the user; stdout and stderr are one pipe."""
        process = subprocess.Popen(
            [*self.words, *map(str, argv)],
            cwd=cwd or self.home,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.processes.append(process)
        return process

    def start(self, module: str, *arguments: str, cwd: Path | None = None, **env: str) -> subprocess.Popen[bytes]:
        """Run a Python module as the user, in the background."""
        return self.popen(self.python, "-m", module, *arguments, cwd=cwd, **env)

    def run(self, *argv: str | Path, cwd: Path | None = None, timeout: float = 600.0, **env: str) -> Result:
        """Run any program as the user to its end."""
        done = subprocess.run(
            [*self.words, *map(str, argv)],
            cwd=cwd or self.home,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def ov(self, *words: str | Path, cwd: Path | None = None, timeout: float = 600.0, **env: str) -> Result:
        """The command ``ov``."""
        code = "import sys; from ovtasks.cli import main; sys.exit(main())"
        return self.run(self.python, "-c", code, *words, cwd=cwd, timeout=timeout, **env)

    def owned(self, *paths: Path) -> None:
        """Give files that the test wrote to the user. Never for hard links: all their names would change hands."""
        if self.words:
            run(["chown", "-R", f"{self.name}:", *paths])

    def pids(self, program: str = "") -> list[int]:
        """The user's processes whose program is called ``program`` (the whole name); all without it."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and self._is_mine(entry):
                    name = Path(os.fsdecode((entry / "cmdline").read_bytes().split(b"\0")[0])).name
                    if name and program in {"", name}:
                        found.append(int(entry.name))
        return found

    def _is_mine(self, process: Path) -> bool:
        if self.words:
            return process.stat().st_uid == pwd.getpwnam(self.name).pw_uid
        folder = os.fsencode(self.home)  # we are that user ourselves: what was started for this session names it
        return folder in (process / "environ").read_bytes() or folder in (process / "cmdline").read_bytes()

    def kill(self, program: str) -> None:
        """kill -9, and wait until it is gone."""
        for pid in self.pids(program):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._wait_without(program)

    def _wait_without(self, program: str, seconds: float = DEADLINE) -> bool:
        end = time.monotonic() + seconds
        while self.pids(program):
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    def end_all(self) -> None:
        """End what is left of the user's processes: VMs, daemons."""
        for process in self.processes:
            stop(process)
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            if self._wait_without("", 5.0):
                return


@contextlib.contextmanager
def session_user() -> Iterator[SessionUser]:
    """A new user, with a copy of the program and of what it imports; gone at the end with all that is theirs.

    Only root can make one; an ordinary user is themselves, with folders and a session of their own.
    """
    home = Path(tempfile.mkdtemp(prefix="ov-s-", dir="/var/tmp"))
    leftovers.note("folder", home)
    user = SessionUser(pwd.getpwuid(os.geteuid()).pw_name, home, ())
    made = os.geteuid() == 0
    if made:
        name = home.name.replace("_", "-").lower()
        add_account(name, home)
        ids = pwd.getpwnam(name)
        # setpriv, not runuser: the process itself becomes the user, so that a signal hits the program
        words = (str(require("setpriv")), f"--reuid={ids.pw_uid}", f"--regid={ids.pw_gid}", "--clear-groups", "--")
        user = SessionUser(name, home, words)
    try:
        (home / "run").mkdir(mode=0o700)
        (home / "program").mkdir()
        ignore = shutil.ignore_patterns("__pycache__")
        for name in ("ovtasks", "tests", "schemas"):
            shutil.copytree(ROOT / name, home / "program" / name, ignore=ignore)
        user.owned(home)
        if SITE.stat().st_mode & 0o005 == 0o005:
            shutil.copytree(SITE, home / "site", copy_function=_link, ignore=ignore)
        else:  # installed under umask 077
            shutil.copytree(SITE, home / "site", ignore=ignore)
            user.owned(home / "site")
        yield user
    finally:
        user.end_all()
        if made:
            run(["userdel", user.name])
        shutil.rmtree(home)


def _link(source: str, target: str) -> None:
    """The environment is 100 MB; hard links of it keep their owner, and anybody can read them."""
    link_or_copy(Path(source), Path(target))
