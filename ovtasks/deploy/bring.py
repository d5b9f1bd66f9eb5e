"""Brings what layers download: once, to this machine, where it is kept for all instances."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from ovtasks.errors import InputError, OvError, Where
from ovtasks.host.files import flock, move
from ovtasks.host.oserrors import explaining
from ovtasks.host.paths import cache_home
from ovtasks.host.progress import Progress
from ovtasks.values.urls import public

SHA256 = "sha256:"


class Downloads:
    """Files that were downloaded, below the cache. One whose checksum is known is found by it, another by its URL."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._folder = cache_home() / "downloads"

    def say(self, line: str) -> None:
        """Tell people something that they should know."""
        self._progress.note(line)

    def download(self, url: str, digest: str | None, where: Where) -> Path:
        """A file of this machine with the bytes of ``url``. A download that broke off goes on where it was.

        :raises InputError: its bytes are others than ``digest`` says, or it says nothing that we know.
        :raises OvError: they cannot be had.
        """
        if digest is not None and not digest.startswith(SHA256):
            raise InputError(
                f"{digest} is no checksum of sha256", hint="sha256: and 64 hexadecimal digits", where=where
            )
        name = hashlib.sha256(url.encode()).hexdigest() if digest is None else digest.removeprefix(SHA256)
        path = self._folder / name
        with explaining(f"cannot keep {public(url)}", self._folder):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with flock(self._folder / f".{name}.lock", waiting=lambda who: self.say(f"waiting for {who}")):
                if path.is_file() and (digest is None or _digest(path) == digest):
                    return path
                self._fetch(url, digest, where, path)
        return path

    def _fetch(self, url: str, digest: str | None, where: Where, path: Path) -> None:
        from ovtasks.images.download import download
        from ovtasks.images.http import open_session
        from ovtasks.images.intake import Intake

        part = path.with_name(f".{path.name}.part")
        intake = Intake(part, path.with_name(f".{path.name}.raw.part"), sha512=False, unpack=False)
        state = path.with_name(f".{path.name}.json")
        self.say(f"downloading {public(url)}")
        try:
            with open_session() as session:
                download(session, url, intake, state, self._progress)
                found = f"{SHA256}{intake.finish().sha256}"
        except OvError as e:
            raise OvError(e.message, hint=e.hint, where=where) from e
        finally:
            intake.close()
        if digest not in {None, found}:
            with contextlib.suppress(FileNotFoundError):
                part.unlink()
            message = f"{public(url)} has {found}, not {digest}"
            raise InputError(message, hint="another version? check the file, then correct the checksum", where=where)
        move(part, path)
        state.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return SHA256 + hashlib.file_digest(file, "sha256").hexdigest()
