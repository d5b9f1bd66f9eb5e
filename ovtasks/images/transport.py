"""HTTP as images need it: resumed downloads, patient retries, errors that name the cause (RFC 9110)."""

from __future__ import annotations

import contextlib
import email.utils
import os
import random
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import ovtasks
from ovtasks.errors import InputError, OvError
from ovtasks.host.files import write_atomic
from ovtasks.host.progress import Progress
from ovtasks.images.intake import CHUNK, Intake
from ovtasks.images.records import read_record, record_text
from ovtasks.images.request import public
from ovtasks.images.store import StoreFullError
from ovtasks.jsonvalue import Json

if TYPE_CHECKING:
    import requests

_RETRIED = {408, 425, 429, 500, 502, 503, 504}
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_PROGRESS_INTERVAL = 0.1  # seconds


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds to connect, seconds without a byte, retries in a row, first pause and longest pause (seconds)."""

    connect: float = 15.0
    idle: float = 60.0
    retries: int = 4
    pause: float = 0.5
    longest_pause: float = 60.0


LIMITS = Limits()


class StatusError(OvError):
    """The server answered with a status that ends the matter."""

    def __init__(self, url: str, status: int, reason: str) -> None:
        self.status = status
        hints = {
            401: "the server wants credentials: put them into ~/.netrc",
            403: "the server refuses this address; is the URL right?",
            404: "there is no such file on the server: check the URL, old builds are often removed",
            410: "the file was removed from the server: look for a newer one",
            429: "the server asks for fewer requests: try again later",
        }
        hint = hints.get(status, "the server has a problem: try again later" if status >= 500 else "check the URL")
        super().__init__(f"{public(url)}: the server answered {status} {reason}".rstrip(), hint=hint)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the server said about the file. ``validator`` is a strong ETag or date for If-Range, if there is one."""

    url: str
    final_url: str
    etag: str | None = None
    last_modified: str | None = None
    total: int | None = None
    validator: str | None = None

    def to_json(self) -> dict[str, Json]:
        return {name: getattr(self, name) for name in self.__slots__}


class Attempts:
    """Counts failures in a row, and pauses between them: exponential back-off with jitter, or what the server asks."""

    def __init__(self) -> None:
        self._failures = 0

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self, error: OvError, *, retry_after: float | None = None) -> None:
        """Pause before the next attempt.

        :raises OvError: ``error``, when it was the last attempt.
        """
        if self._failures >= LIMITS.retries or (retry_after or 0) > LIMITS.longest_pause:
            raise error
        pause = LIMITS.pause * 2**self._failures * random.uniform(0.75, 1.25)
        self._failures += 1
        time.sleep(min(max(pause, retry_after or 0), LIMITS.longest_pause))


def open_session() -> requests.Session:
    """A session that verifies TLS, follows up to 10 redirects and takes proxies and .netrc from the environment."""
    import requests

    session = requests.Session()
    session.max_redirects = 10
    session.headers["User-Agent"] = f"ovtasks/{getattr(ovtasks, '__version__', '0')}"
    session.headers["Accept-Encoding"] = "identity"  # the bytes of the file, not of a transfer encoding
    session.headers["Accept"] = "*/*"
    return session


def ask(
    session: requests.Session, method: str, url: str, attempts: Attempts, headers: Mapping[str, str] | None = None
) -> requests.Response:
    """One request, repeated while that may help; any status that is not worth a retry is returned.

    :raises InputError: the URL is malformed. :raises StatusError: the server kept failing.
    :raises OvError: no answer (name, connection, TLS, redirects), said in words.
    """
    import requests

    while True:
        try:
            response = session.request(
                method,
                url,
                headers=dict(headers or {}),
                stream=True,
                allow_redirects=True,
                timeout=(LIMITS.connect, LIMITS.idle),
            )
        except requests.RequestException as e:
            error, transient = _connection_error(url, e)
            if not transient:
                raise error from e
            attempts.failed(error)
            continue
        if response.status_code not in _RETRIED:
            return response
        error = StatusError(url, response.status_code, response.reason or "")
        response.close()
        attempts.failed(error, retry_after=_retry_after(response.headers.get("Retry-After")))


def _connection_error(url: str, e: Exception) -> tuple[OvError, bool]:
    """The failure in words, and whether a retry may help."""
    import requests

    host, shown = urlsplit(url).hostname or "", public(url)
    text = str(e)
    if isinstance(e, requests.exceptions.SSLError):
        return OvError(
            f"{shown}: TLS failed: {_innermost(e)}",
            hint="check the clock and the URL; a company's own CA goes into REQUESTS_CA_BUNDLE",
        ), False
    if isinstance(e, requests.exceptions.ProxyError):
        return OvError(f"{shown}: the proxy does not answer: {_innermost(e)}", hint="check https_proxy, no_proxy"), True
    if isinstance(e, requests.exceptions.TooManyRedirects):
        return OvError(f"{shown}: more than 10 redirects", hint="check the URL in a browser"), False
    if "NameResolution" in text or "Name or service not known" in text:
        return OvError(f"{shown}: the name {host} cannot be resolved", hint="check the URL and the network"), True
    if isinstance(e, requests.exceptions.Timeout):
        return OvError(
            f"{shown}: no answer within {LIMITS.connect:g} s / {LIMITS.idle:g} s", hint="try again later"
        ), True
    if "Connection refused" in text:
        return OvError(f"{shown}: {host} refuses the connection", hint="check the URL and the port"), True
    if isinstance(e, requests.exceptions.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return OvError(f"{shown}: the connection failed: {_innermost(e)}", hint="check the network, try again"), True
    return InputError(f"{shown}: {_innermost(e)}", hint="check the URL"), False


def _innermost(e: BaseException) -> str:
    while True:
        reason = getattr(e, "reason", None) or (e.args[0] if e.args else None)
        if not isinstance(reason, BaseException):
            return str(e.args[-1] if e.args else e)
        e = reason


def _retry_after(value: str | None) -> float | None:
    """Seconds; the header holds seconds or a date."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    return None


def get_small(session: requests.Session, url: str, limit: int) -> tuple[bytes, str] | str:
    """A small file's bytes and final URL, or in words why there are none (a status, too large).

    :raises OvError: the server cannot be reached at all.
    """
    import requests
    import urllib3

    attempts = Attempts()
    while True:
        try:
            with ask(session, "GET", url, attempts) as response:
                if response.status_code != 200:
                    return f"{response.status_code} {response.reason or ''}".rstrip()
                data = response.raw.read(limit + 1, decode_content=True)
                final_url = str(response.url)
        except StatusError as e:
            return f"{e.status}"
        except (requests.RequestException, urllib3.exceptions.HTTPError) as e:
            attempts.failed(OvError(f"{public(url)}: the connection broke: {_innermost(e)}", hint="try again"))
            continue
        if len(data) > limit:
            return f"larger than {limit >> 10} KiB"
        if url.startswith("https:") and final_url.startswith("http:"):
            return "redirected from https to http"
        return data, final_url


def download(
    session: requests.Session,
    url: str,
    intake: Intake,
    state: Path,
    progress: Progress,
    *,
    unless: Mapping[str, str] | None = None,
) -> Facts | None:
    """Feed all bytes of ``url`` to ``intake``, going on where an earlier attempt (or process) stopped.

    ``state`` remembers what the partial file belongs to. ``unless`` are headers of a conditional request: None is
    returned when the server says 304.

    :raises OvError: it did not work, after retries. :raises OSError: the disk refuses.
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
            else:
                facts = _facts(url, response)
                _check_room(intake.part, facts.total)
                write_atomic(state, record_text(Facts(url, facts.final_url).to_json()))  # the old bytes are not these
                intake.restart()
                write_atomic(state, record_text(facts.to_json()))
            if (error := _read_body(response, intake, facts, attempts, progress)) is None:
                return facts
        attempts.failed(error)
        if facts.validator is None:
            facts = None


def _open_resume(url: str, intake: Intake, state: Path, progress: Progress) -> Facts | None:
    """What the partial file of an earlier run is, if it can be continued."""
    record = read_record(state)
    try:
        facts = Facts(**record) if record else None  # type: ignore[arg-type]  # checked by its own URL below
    except TypeError:
        return None
    if facts is None or facts.url != url or not facts.validator or not intake.part.is_file():
        return None
    size = intake.part.stat().st_size
    if not size or (facts.total is not None and size > facts.total):
        return None
    progress.note(f"resuming {public(url)} at {size} bytes")
    intake.resume(progress, facts.total)
    return facts


def _pause_before_restart(url: str, attempts: Attempts) -> None:
    """The partial file is not what the server has now: the next request asks for everything."""
    attempts.failed(OvError(f"{public(url)}: the answers to a resumed download make no sense", hint="try again"))


def _is_complete(response: requests.Response, facts: Facts, offset: int) -> bool:
    """A 416 answer: is it because nothing is left to send?"""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    total = int(match[3]) if match and match[3] != "*" else facts.total
    etag = response.headers.get("ETag")
    return total == offset and facts.total in {None, total} and (etag is None or etag == facts.etag)


def _continues(response: requests.Response, facts: Facts, offset: int) -> bool:
    """A 206 answer: do its bytes start where ours end, in a file of the same length?"""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is None or match[1] is None or int(match[1]) != offset:
        return False
    etag = response.headers.get("ETag")
    same_total = match[3] == "*" or facts.total is None or int(match[3]) == facts.total
    return same_total and (etag is None or facts.etag is None or etag == facts.etag)


def _facts(url: str, response: requests.Response) -> Facts:
    headers = response.headers
    etag, modified, length = headers.get("ETag"), headers.get("Last-Modified"), headers.get("Content-Length")
    validator = etag if etag and not etag.startswith("W/") else None
    if validator is None and modified and _is_strong_date(modified, headers.get("Date")):
        validator = modified
    if headers.get("Accept-Ranges", "").strip().lower() == "none":
        validator = None
    return Facts(
        url=url,
        final_url=str(response.url),
        etag=etag,
        last_modified=modified,
        total=int(length) if length and length.isdigit() else None,
        validator=validator,
    )


def _is_strong_date(modified: str, date: str | None) -> bool:
    """RFC 9110 §8.8.2.2: a date identifies the bytes only when it is older than the answer by a second or more."""
    try:
        return (
            date is not None
            and (email.utils.parsedate_to_datetime(date) - email.utils.parsedate_to_datetime(modified)).total_seconds()
            >= 1
        )
    except (ValueError, TypeError):
        return False


def _check_room(part: Path, total: int | None) -> None:
    if total is None:
        return
    stat = os.statvfs(part.parent)
    free = stat.f_bavail * stat.f_frsize
    if total > free:
        raise StoreFullError(
            f"not enough room for the image: {total} bytes needed, {free} free in {part.parent}",
            hint="ov gc frees what nobody uses; XDG_CACHE_HOME or source.cache moves the store",
        )


def _read_body(
    response: requests.Response, intake: Intake, facts: Facts, attempts: Attempts, progress: Progress
) -> OvError | None:
    """Feed one response's body; None when it was whole, else what broke it."""
    shown, fed, last = public(facts.url), 0, 0.0
    try:
        for chunk in _chunks(response):
            intake.feed(chunk)
            fed += len(chunk)
            now = time.monotonic()
            if now - last >= _PROGRESS_INTERVAL:
                progress.update(intake.offset, facts.total)
                last = now
            if fed >= CHUNK and facts.validator:
                attempts.succeeded()
    except _BodyError as e:
        return OvError(
            f"{shown}: the connection broke after {intake.offset} of {facts.total or 'unknown'} bytes: {e}",
            hint="what arrived is kept; run the same command again to go on",
        )
    if facts.total is not None and intake.offset != facts.total:
        return OvError(f"{shown}: {intake.offset} of {facts.total} bytes arrived", hint="run the same command again")
    progress.update(intake.offset, facts.total)
    return None


class _BodyError(Exception):
    """Reading the body failed (and not writing it)."""


def _chunks(response: requests.Response) -> Iterator[bytes]:
    import urllib3

    while True:
        try:
            chunk = response.raw.read(CHUNK, decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError) as e:
            raise _BodyError(_innermost(e)) from e
        if not chunk:
            return
        yield chunk
