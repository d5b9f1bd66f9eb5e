"""An ordinary user of this machine, made for one test."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ovtasks.host.run import require, run, stop, which
from tests.support import leftovers
from tests.support.accounts import add_account
from tests.support.demo import ROOT

SUBORDINATE = "2000000000-2000065535"  # far from what useradd gives, so that nobody else has them
PYTHON = "/usr/bin/python3"  # the environment's own may lie in a folder that only its owner can enter


@dataclass
class User:
    """``home`` holds a copy of the program; ``words`` before a command make it that user's."""

    name: str
    home: Path
    words: tuple[str, ...]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Run a Python module as the user; stdout and stderr are one pipe."""
        proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
        environment = {
            "HOME": str(self.home),
            "LC_ALL": "C.UTF-8",
            "PATH": "/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(self.home / "program"),
            "USER": self.name,
        }
        process = subprocess.Popen(
            [*self.words, PYTHON, "-m", module, *arguments],
            cwd=self.home,
            env={**proxies, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.processes.append(process)
        return process


@contextlib.contextmanager
def new_user(*, subordinate: bool) -> Iterator[User]:
    """A user with a home folder of its own, who is gone at the end; ``subordinate``: with an entry in subuid(5).

    Only root can make one; for an ordinary user it is that user, in a folder that is gone at the end. And where nobody
    but root can build, because the package uidmap is not there, who builds is root.
    """
    home = Path(tempfile.mkdtemp(prefix="ov-test-", dir="/var/tmp"))
    leftovers.note("folder", home)
    user = User(pwd.getpwuid(os.geteuid()).pw_name, home, ())
    if os.geteuid() == 0 and not (subordinate and which("newuidmap") is None):
        name = home.name.replace("_", "-").lower()
        add_account(name, home)
        run(["usermod", "--del-subuids", "0-4294967294", "--del-subgids", "0-4294967294", name])
        if subordinate:
            run(["usermod", "--add-subuids", SUBORDINATE, "--add-subgids", SUBORDINATE, name])
        # setpriv, not runuser: the process itself becomes the user, so that a signal hits the program
        ids = pwd.getpwnam(name)
        words = (str(require("setpriv")), f"--reuid={ids.pw_uid}", f"--regid={ids.pw_gid}", "--clear-groups", "--")
        user = User(name, home, words)
    try:
        _copy_program(home / "program")
        run(["chown", "-R", f"{user.name}:", home])
        yield user
    finally:
        for process in user.processes:
            stop(process)
        if user.words:
            run(["userdel", user.name])
        shutil.rmtree(home)


@contextlib.contextmanager
def may_sudo(user: User) -> Iterator[None]:
    """The user may become root without a password."""
    rule = Path("/etc/sudoers.d", user.name)
    leftovers.note("absent", rule)
    rule.write_text(f"{user.name} ALL=(ALL) NOPASSWD: ALL\n", encoding="ascii")
    try:
        yield
    finally:
        rule.unlink()


def _copy_program(target: Path) -> None:
    target.mkdir()
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("ovtasks", "tests"):
        shutil.copytree(ROOT / name, target / name, ignore=ignore)
