"""Builds by an ordinary user: what a killed one leaves is in a namespace of its own, and is cleared all the same."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from ovtasks.host.run import run
from tests.containers.test_steps import a_command, sleeping
from tests.support.user import User, new_user

PROGRAM = "tests.containers.rootless"


def bring(user: User, folder: Path, *words: str) -> str:
    out, _ = user.start(PROGRAM, str(folder), *words).communicate(timeout=120)
    return out.decode()


@pytest.mark.slow
def test_a_killed_build_is_cleared_by_the_next() -> None:
    seconds = f"87{os.getpid()}"
    with new_user(subordinate=True) as user:
        folder = user.home / "project"
        a_command(folder / "files" / "root", "sleep")
        containerfile = folder / "files" / "Containerfile"
        command = f'RUN ["{shutil.which("sleep")}", "{seconds}"]'
        containerfile.write_text(f"FROM scratch\nCOPY root /\n{command}\n")
        run(["chown", "-R", f"{user.name}:", folder])
        try:
            process = user.start(PROGRAM, str(folder))
            end = time.monotonic() + 60
            while not sleeping(seconds) and process.poll() is None and time.monotonic() < end:
                time.sleep(0.1)
            assert sleeping(seconds), process.communicate()[0].decode()
            process.kill()
            process.communicate()
            containerfile.write_text("FROM scratch\nCOPY root /\n")
            assert bring(user, folder).startswith("ran ")
            assert sleeping(seconds) == []
            storage = user.home / ".local/share/containers/storage"
            assert list(storage.glob("*-containers/*/userdata/buildah.json")) == []
            assert not any((folder / "output" / ".ov" / "podman").iterdir())
            assert bring(user, folder).startswith("fresh ")
        finally:
            left = bring(user, folder, "end")
            for pid in sleeping(seconds):
                os.kill(pid, signal.SIGKILL)
            shutil.rmtree(f"/tmp/podman-run-{folder.stat().st_uid}", ignore_errors=True)
        assert left == "left \n"
