"""An ordinary user of this machine, made for one test (or for a whole module of them)."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess  # both streams on one pipe, in our own session
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, TypeVar

import sh

from ovtasks.host.run import require, run, stop, which
from tests.support import leftovers
from tests.support.accounts import add_account, remove_account
from tests.support.demo import ROOT

SUBORDINATE = "2000000000-2000065535"  # far from what useradd gives, so that nobody else has them
NOT_COPIED = shutil.ignore_patterns("test_*", "*-pytest-*.pyc")
"""Of the program: users start the modules that tests share, not the tests."""


@dataclass
class User:
    """``home`` holds a copy of the program; ``words`` before a command make it that user's, none: it is who tests."""

    name: str
    home: Path
    words: tuple[str, ...] = ()
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    path: ClassVar[str] = "/usr/bin:/bin"
    copied: ClassVar[tuple[str, ...]] = ("ovtasks", "tests")

    @property
    def env(self) -> dict[str, str]:
        """All that the user's programs get; nothing of ours goes to them but proxies."""
        proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
        return {
            **proxies,
            "HOME": str(self.home),
            "LC_ALL": "C.UTF-8",
            "PATH": self.path,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(self.home / "program"),
            "USER": self.name,
        }

    @property
    def python(self) -> str:
        """The system's: the environment's own may lie in a folder that only its owner can enter."""
        return "/usr/bin/python3"

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

    def owned(self, *paths: Path) -> None:
        """Give files that the test wrote to the user. Never for hard links: all their names would change hands."""
        if self.words:
            run(["chown", "-R", f"{self.name}:", *paths])

    def end_all(self) -> None:
        """End the processes that were started here."""
        for process in self.processes:
            stop(process)


U = TypeVar("U", bound=User)


@contextlib.contextmanager
def made(kind: type[U], prefix: str, *, account: bool = True) -> Iterator[U]:
    """A user with a home folder of its own, who is gone at the end with all processes and files.

    Only root can make an ``account``; else it is who runs the tests.
    """
    home = Path(tempfile.mkdtemp(prefix=prefix, dir="/var/tmp"))
    leftovers.note("folder", home)
    user = kind(pwd.getpwuid(os.geteuid()).pw_name, home)
    if account and os.geteuid() == 0:
        name = home.name.replace("_", "-").lower()
        add_account(name, home)
        # setpriv, not runuser: the process itself becomes the user, so that a signal hits the program
        ids = pwd.getpwnam(name)
        words = (str(require("setpriv")), f"--reuid={ids.pw_uid}", f"--regid={ids.pw_gid}", "--clear-groups", "--")
        user = kind(name, home, words)
    try:
        (home / "program").mkdir()
        for name in kind.copied:
            shutil.copytree(ROOT / name, home / "program" / name, ignore=NOT_COPIED)
        # what the tests' own modules import; the user's Python is the system's
        shutil.copytree(Path(sh.__file__).parent, home / "program" / "sh")
        user.owned(home)
        yield user
    finally:
        user.end_all()
        if user.words:
            remove_account(user.name)
        shutil.rmtree(home)


@contextlib.contextmanager
def new_user(*, subordinate: bool) -> Iterator[User]:
    """An ordinary user; ``subordinate``: with an entry in subuid(5).

    Where nobody but root can build, because the package uidmap is not there, who builds is root.
    """
    with made(User, "ov-test-", account=not (subordinate and which("newuidmap") is None)) as user:
        if user.words:
            run(["usermod", "--del-subuids", "0-4294967294", "--del-subgids", "0-4294967294", user.name])
        if user.words and subordinate:
            run(["usermod", "--add-subuids", SUBORDINATE, "--add-subgids", SUBORDINATE, user.name])
        yield user


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
