"""Accounts that tests make."""

from __future__ import annotations

import pwd
import random
from pathlib import Path

from ovtasks.host.run import run
from tests.support import leftovers

UIDS = range(30_000, 60_000)


def add_account(name: str, home: Path) -> None:
    """Make an account; it is undone with what an interrupted run leaves.

    Its number is drawn: tests that run a machine of their own (another /etc, a chroot) make accounts meanwhile, and who
    ends all processes of an account would end theirs.
    """
    leftovers.note("user", name)
    taken = {account.pw_uid for account in pwd.getpwall()}
    uid = random.choice([uid for uid in UIDS if uid not in taken])
    run(["useradd", "--uid", str(uid), "--no-create-home", "--home-dir", home, "--shell", "/bin/sh", name])


def remove_account(name: str) -> None:
    """Undo :func:`add_account`. What still ends of the account's processes is ended first."""
    leftovers.end_user(name)
