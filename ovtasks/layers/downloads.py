"""Files from the web for layers: downloaded on this machine, kept in a cache by URL and checksum, resumed."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from ovtasks.errors import InputError, OvError, Where
from ovtasks.host.files import flock
from ovtasks.host.oserrors import explaining
from ovtasks.host.paths import cache_home
from ovtasks.host.progress import Progress
from ovtasks.images.download import download
from ovtasks.images.http import open_session
from ovtasks.images.intake import Digests, Intake
from ovtasks.images.request import public
from ovtasks.values.urls import check_url, is_https, is_web

KEPT = 60 * 86400
"""Seconds after which a file that no layer has used is removed."""


class Downloads:
    """The cache in ``folder``. What has no checksum is downloaded once, and said to be not pinned."""

    def __init__(self, progress: Progress, folder: Path | None = None) -> None:
        self._progress = progress
        self._folder = folder or cache_home() / "downloads"

    def download(self, url: str, digest: str | None, where: Where) -> Path:
        """See :class:`ovtasks.layers.operation.Bringer`.

        :raises InputError: the URL is none, or plain http without a checksum. :raises OvError: as the protocol says.
        """
        _check(url, digest, where)
        key = hashlib.sha256(f"{url}\n{digest or ''}".encode()).hexdigest()
        whole = self._folder / key
        with explaining(f"keep {public(url)}", self._folder):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with flock(self._folder / f"{key}.lock", waiting=lambda who: self._progress.note(f"waiting for {who}")):
                if not _is_good(whole, digest):
                    self._bring(url, digest, whole, where)
                os.utime(whole)
                self._prune()
        return whole

    def say(self, line: str) -> None:
        """See :class:`ovtasks.layers.operation.Bringer`."""
        self._progress.note(line)

    def _bring(self, url: str, digest: str | None, whole: Path, where: Where) -> None:
        got, resumed = self._once(url, whole, where)
        if digest and got.sha256 != digest.removeprefix("sha256:") and resumed:
            got, _ = self._once(url, whole, where)  # the part from before may be another file's
        part = whole.with_suffix(".part")
        if not got.size:
            part.unlink()
            raise OvError(f"{public(url)} is empty", hint="the file is damaged on the server", where=where)
        if digest and got.sha256 != digest.removeprefix("sha256:"):
            part.unlink()
            raise OvError(
                f"{public(url)} is sha256:{got.sha256}, and not {digest}",
                hint="if the new file is the wanted one, write its checksum into the layer",
                where=where,
            )
        part.replace(whole)
        if not digest:
            self._progress.note(f"{where}: {public(url)} is not pinned; checksum: sha256:{got.sha256} would do that")

    def _once(self, url: str, whole: Path, where: Where) -> tuple[Digests, bool]:
        """Download into the part; what it is, and whether it was resumed."""
        state = whole.with_suffix(".state")
        intake = Intake(whole.with_suffix(".part"), whole.with_suffix(".raw"), sha512=False, unpack=False)
        self._progress.note(f"downloading {public(url)}")
        try:
            with open_session() as session:
                download(session, url, intake, state, self._progress)
            digests = intake.finish()
        except OvError as e:
            raise OvError(e.message, hint=e.hint, where=where) from e
        finally:
            intake.close()
        state.unlink(missing_ok=True)
        return digests, intake.resumed

    def _prune(self) -> None:
        """Remove what no layer has used for long, and the parts of downloads that nobody resumed."""
        for path in self._folder.iterdir():
            if path.lstat().st_mtime < time.time() - KEPT:
                path.unlink(missing_ok=True)


def _check(url: str, digest: str | None, where: Where) -> None:
    if not is_web(url):
        raise InputError(f"{url!r} is not a web address", hint="https://…; a file beside layer.yml: copy", where=where)
    try:
        check_url(url)
    except InputError as e:
        raise InputError(f"{public(url)}: {e.message}", hint=e.hint, where=where) from None
    if not is_https(url) and not digest:
        raise InputError(
            f"{public(url)} is not protected on its way", hint="use https, or write its checksum", where=where
        )


def _is_good(path: Path, digest: str | None) -> bool:
    if not path.is_file():
        return False
    if digest is None:
        return True
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" == digest
