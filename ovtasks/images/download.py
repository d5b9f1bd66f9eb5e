"""Downloads that resume: Range, If-Range, and what servers make of them (RFC 9110 §13, §14)."""

from __future__ import annotations

import email.utils
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, IncompleteRead
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.errors import OvError
from ovtasks.host.files import is_own, write_atomic
from ovtasks.host.progress import Progress
from ovtasks.host.state import try_load_state
from ovtasks.images import http, http_deadline
from ovtasks.images.diagnosis import innermost, printable
from ovtasks.images.http import Attempts, StatusError, ask
from ovtasks.images.intake import Intake
from ovtasks.images.request import public
from ovtasks.images.store import StoreFullError
from ovtasks.values.jsonvalue import fields_of, restore, state_text

if TYPE_CHECKING:
    import requests

_NUMBER = "[0-9]{1,18}"
_CONTENT_RANGE = re.compile(rf"bytes (?:({_NUMBER})-({_NUMBER})|\*)/({_NUMBER}|\*)")
_ETAG = re.compile(r'"[!#-~]{0,500}"')
_ENCODINGS = {"", "identity", "gzip", "x-gzip", "zstd"}  # those that are unpacked
_PROGRESS_INTERVAL = 0.1  # seconds


@dataclass(frozen=True, slots=True)
class Facts:
    """What the server said about the file. ``validator`` is a strong ETag or date for If-Range, if there is one.

    ``packed``: the body came in a Content-Encoding, though we asked for none.
    """

    url: str
    final_url: str
    etag: str | None = None
    last_modified: str | None = None
    total: int | None = None
    validator: str | None = None
    packed: bool = False


def download(
    session: requests.Session,
    url: str,
    intake: Intake,
    state: Path,
    progress: Progress,
    *,
    unless: Mapping[str, str] | None = None,
) -> Facts | None:
    """Feed all bytes of ``url`` to ``intake``, resuming where an earlier attempt (or process) stopped.

    ``state`` records what the partial file belongs to. ``unless`` holds headers of a conditional request; None is
    returned if the server answers 304.

    :raises OvError: the download failed, after retries. :raises OSError: the disk refuses.
    """
    attempts = Attempts()
    facts = None if unless else _open_resume(url, intake, state, progress)
    while True:
        headers = dict(unless or {})
        if facts is not None and intake.offset:
            headers = {"Range": f"bytes={intake.offset}-", "If-Range": facts.validator or ""}
        with ask(session, "GET", url, attempts, headers) as response:
            if response.status_code == 304 and unless:
                return None
            if response.status_code == 416 and facts is not None:
                if _is_complete(response, facts, intake.offset):
                    return facts
                _pause_before_restart(url, attempts)
                facts = None
                continue
            if response.status_code not in {200, 206}:
                raise StatusError(url, response.status_code, response.reason or "")
            if response.status_code == 206:
                if facts is None or not _continues(response, facts, intake.offset):
                    _pause_before_restart(url, attempts)
                    facts = None
                    continue
                intake.resumed = True
            else:
                facts = _begin(url, response, intake, state)
            with http_deadline.body_deadline(response, http.LIMITS.piece) as beat:
                error = _read_body(response, intake, facts, attempts, progress, beat)
            if error is None:
                return facts
        attempts.failed(error)
        if facts.validator is None:
            facts = None


def _begin(url: str, response: requests.Response, intake: Intake, state: Path) -> Facts:
    """A 200 answer: what follows is the whole file."""
    facts = _facts(url, response)
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in _ENCODINGS:
        raise OvError(
            f"{public(url)} is sent in the encoding {printable(encoding)}, which ov did not ask for",
            hint="the server, or a proxy before it, changes what it sends: use another mirror",
        )
    _check_room(intake.part, facts.total)
    _keep(state, Facts(url, facts.final_url))  # the old bytes belong to another answer
    intake.restart()
    _keep(state, facts)
    return facts


def _keep(state: Path, facts: Facts) -> None:
    """Write the resume state, for the owner alone: its URLs hold passwords and tokens."""
    write_atomic(state, state_text(fields_of(facts)), mode=0o600)


def _open_resume(url: str, intake: Intake, state: Path, progress: Progress) -> Facts | None:
    """The facts about an earlier run's partial file, if it can be resumed."""
    noted = try_load_state(state)
    try:
        facts = restore(Facts, noted) if noted else None
    except (TypeError, ValueError):
        return None
    if facts is None or facts.url != url or not facts.validator or not is_own(intake.part):
        return None
    size = intake.part.stat().st_size
    if not size or (facts.total is not None and size > facts.total):
        return None
    progress.note(f"resuming {public(url)} at {size} bytes")
    intake.resume(progress, facts.total)
    return facts


def _pause_before_restart(url: str, attempts: Attempts) -> None:
    """Pause before the next request, which asks for everything: the server has another file than our partial one."""
    attempts.failed(
        OvError(f"{public(url)}: the answers to a resumed download contradict each other", hint="try again")
    )


def _is_complete(response: requests.Response, facts: Facts, offset: int) -> bool:
    """Whether a 416 answer means that nothing is left to send."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    total = int(match[3]) if match and match[3] != "*" else facts.total
    etag = response.headers.get("ETag")
    return total == offset and facts.total in {None, total} and (etag is None or etag == facts.etag)


def _continues(response: requests.Response, facts: Facts, offset: int) -> bool:
    """Whether the bytes of a 206 answer start where ours end, in a file of the same length."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is None or match[1] is None or int(match[1]) != offset:
        return False
    etag = response.headers.get("ETag")
    same_total = match[3] == "*" or facts.total is None or int(match[3]) == facts.total
    return same_total and (etag is None or facts.etag is None or etag == facts.etag)


def _facts(url: str, response: requests.Response) -> Facts:
    headers = response.headers
    etag, modified, length = headers.get("ETag"), headers.get("Last-Modified"), headers.get("Content-Length")
    etag = etag if etag and _ETAG.fullmatch(etag.removeprefix("W/")) else None  # it will be sent back
    modified = modified if modified and re.fullmatch("[ -~]{1,60}", modified) else None
    validator = etag if etag and not etag.startswith("W/") else None
    if validator is None and modified and _is_strong_date(modified, headers.get("Date")):
        validator = modified
    chunked = "Transfer-Encoding" in headers  # then Content-Length does not count (RFC 9112 §6.3)
    packed = headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}
    if packed or headers.get("Accept-Ranges", "").strip().lower() == "none":
        validator = None
    return Facts(
        url=url,
        final_url=str(response.url),
        etag=etag,
        last_modified=modified,
        total=int(length) if length and re.fullmatch(_NUMBER, length) and not chunked else None,
        validator=validator,
        packed=packed,
    )


def _is_strong_date(modified: str, date: str | None) -> bool:
    """Whether a date identifies the bytes: it must be at least a second older than the answer (RFC 9110 §8.8.2.2)."""
    try:
        return (
            date is not None
            and (email.utils.parsedate_to_datetime(date) - email.utils.parsedate_to_datetime(modified)).total_seconds()
            >= 1
        )
    except (ValueError, TypeError, OverflowError):
        return False


def _check_room(part: Path, total: int | None) -> None:
    if total is None:
        return
    stat = os.statvfs(part.parent)
    free = stat.f_bavail * stat.f_frsize
    if total > free:
        raise StoreFullError(
            f"not enough room for the image: {total} bytes needed, {free} free in {part.parent}",
            hint="ov gc frees unused images; XDG_CACHE_HOME or source.cache moves the store",
        )


def _read_body(
    response: requests.Response,
    intake: Intake,
    facts: Facts,
    attempts: Attempts,
    progress: Progress,
    beat: Callable[[], None],
) -> OvError | None:
    """Feed one response's body; returns None if it was whole, else the error that broke it."""
    shown, last = public(facts.url), 0.0
    try:
        while count := _read_into(response, buffer := intake.buffer()):
            intake.feed(buffer[:count])
            beat()
            now = time.monotonic()
            if now - last >= _PROGRESS_INTERVAL:
                progress.update(intake.offset, facts.total)
                last = now
            if facts.validator:
                attempts.reached(intake.offset)
    except _BodyError as e:
        arrived = f"{intake.offset} of {facts.total} bytes" if facts.total else f"{intake.offset} bytes"
        return OvError(
            f"{shown}: the connection broke after {arrived}: {e}",
            hint="what arrived is kept; run the same command again to go on",
        )
    if facts.total is None and intake.offset == 0:  # an answer that is cut off in its headers looks like this
        return OvError(f"{shown}: the connection broke before a byte came", hint="run the same command again")
    if facts.total is not None and intake.offset != facts.total:
        return OvError(f"{shown}: {intake.offset} of {facts.total} bytes arrived", hint="run the same command again")
    progress.update(intake.offset, facts.total)
    return None


class _BodyError(Exception):
    """Reading the body failed, as opposed to writing it."""


def _read_into(response: requests.Response, buffer: memoryview) -> int:
    """Read into ``buffer``; returns the number of bytes, 0 at the end.

    urllib3 cannot read into our memory, and without that takes twice the system time of curl. http.client, which lies
    below it, can.
    """
    import urllib3

    source = getattr(response.raw, "_fp", None)
    try:
        if isinstance(source, HTTPResponse):
            return source.readinto(buffer)
        data = response.raw.read(len(buffer), decode_content=False)
    except IncompleteRead as e:  # its own words are the bytes that came
        raise _BodyError("a chunk is cut off or has no valid size") from e
    except (urllib3.exceptions.HTTPError, HTTPException, OSError, ValueError, AttributeError) as e:
        raise _BodyError(innermost(e)) from e
    buffer[: len(data)] = data
    return len(data)
