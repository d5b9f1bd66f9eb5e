"""What a guest refuses to write or read comes with what to do about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.errors import OvError
from ovtasks.guest.connection import Connection
from ovtasks.guest.connection_errors import hint_of
from ovtasks.guest.target import Target


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("cat: write error: No space left on device", "df -h"),
        ("sh: 3: cannot create /x/.y.part: Directory nonexistent", "make the folder first"),
        ("cat: /etc/shadow: Permission denied", "as root it may work"),
        ("chown: invalid user: 'nobody2'", "getent passwd"),
        ("mv: /x: Read-only file system", "mounted read-only"),
        ("/x is a directory", "name a file in that folder"),
        ("status 1", "try it by hand: `ov vm ssh web`"),
    ],
)
def test_hints(said: str, hint: str) -> None:
    assert hint in hint_of(said, Target("web", 22, "me", Path("known_hosts")), root=False)


def test_an_upload_says_what_to_do(guest: Connection) -> None:
    for work in (lambda: guest.upload(b"x", "/absent/x"), lambda: guest.download("/absent/x")):
        with pytest.raises(OvError) as failed:
            work()
        assert failed.value.hint is not None and "make the folder first" in failed.value.hint
