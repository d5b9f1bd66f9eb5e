"""HTTP for images: verified TLS, patient retries, errors that name the cause (RFC 9110)."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import random
import re
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import ovtasks
from ovtasks.errors import InputError, OvError
from ovtasks.host.patience import waiting_for
from ovtasks.images import http_deadline
from ovtasks.images.diagnosis import diagnose, innermost, printable
from ovtasks.images.request import public
from ovtasks.values.urls import check_url, is_https, is_web

if TYPE_CHECKING:
    import requests

_REAL_PROGRESS = 1 << 20  # bytes
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Limits in seconds: to connect, without a byte, for all headers of an answer or a whole small file, for one piece
    of a large file; then how many retries in a row, and the first and the longest pause between them (seconds).
    """

    connect: float = 15.0
    idle: float = 60.0
    answer: float = 120.0
    piece: float = 600.0
    retries: int = 4
    pause: float = 0.5
    longest_pause: float = 60.0


LIMITS = HttpLimits()


class StatusError(OvError):
    """The server answered with a status that no retry changes."""

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
        super().__init__(f"{public(url)}: the server answered {status} {printable(reason)}".rstrip(), hint=hint)


class HopError(OvError):
    """A redirect leads where we do not follow."""


class Attempts:
    """Counts failures in a row and pauses between them: exponential back-off with jitter, or as the server asks."""

    def __init__(self, retries: int | None = None) -> None:
        self._retries = retries
        self._failures = 0
        self._furthest = 0

    def reached(self, offset: int) -> None:
        """Bytes up to ``offset`` have arrived. If we never came so far before, earlier failures are forgotten.

        Otherwise a server that ignores Range and always breaks off at the same place would keep us for ever.
        """
        if offset >= self._furthest + _REAL_PROGRESS:
            self._furthest = offset
            self._failures = 0

    def failed(self, error: OvError, *, retry_after: float | None = None) -> None:
        """Pause before the next attempt.

        :raises OvError: ``error`` itself, if this was the last attempt.
        """
        retries = LIMITS.retries if self._retries is None else self._retries
        if self._failures >= retries or (retry_after or 0) > LIMITS.longest_pause:
            raise error
        pause = LIMITS.pause * 2**self._failures * random.uniform(0.75, 1.25)
        self._failures += 1
        with waiting_for(f"the next attempt ({error.message})"):
            time.sleep(min(max(pause, retry_after or 0), LIMITS.longest_pause))


def open_session() -> requests.Session:
    """A session that verifies TLS, follows up to 10 redirects, and takes proxies and .netrc from the environment."""
    import requests

    session = requests.Session()
    session.max_redirects = 10
    session.headers["User-Agent"] = f"ovtasks/{getattr(ovtasks, '__version__', '0')}"
    session.headers["Accept-Encoding"] = "identity"  # the bytes of the file, not of an encoding
    session.headers["Accept"] = "*/*"
    session.hooks["response"].append(_check_hop)
    http_deadline.limit_headers(session, lambda: LIMITS.answer)
    return session


def _check_hop(response: requests.Response, **_: object) -> None:
    """Check a redirect before it is followed: https stays https, and none leads to this machine's files.

    :raises HopError: the redirect must not be followed.
    """
    if not response.is_redirect:
        return
    url, shown = str(response.url), public(str(response.url))
    try:
        target = urljoin(url, response.headers.get("Location", "").encode("latin-1").decode("utf-8"))
        check_url(target if is_web(target) else "")
    except (UnicodeError, ValueError, InputError):
        place = printable(response.headers.get("Location", ""))[:200]
        raise HopError(f"{shown} redirects to an invalid web address: {place}", hint="check the URL") from None
    if is_https(url) and not is_https(target):
        raise HopError(
            f"{shown} is redirected from https to http: {public(target)}",
            hint="use another mirror, or the http:// URL itself with checksum: {type: sha256, value: …}",
        )


def ask(
    session: requests.Session,
    method: str,
    url: str,
    attempts: Attempts,
    headers: Mapping[str, str] | None = None,
) -> requests.Response:
    """Send one request, and repeat it while that may help. A status that no retry changes is returned.

    :raises InputError: the URL is malformed. :raises StatusError: the server kept failing.
    :raises HopError: a redirect must not be followed. :raises OvError: no answer (name, connection, TLS, nonsense).
    """

    import urllib3

    while True:
        try:
            with waiting_for(f"an answer from {public(url)}"):
                response = session.request(
                    method,
                    url,
                    headers=dict(headers or {}),
                    stream=True,
                    allow_redirects=True,
                    timeout=(LIMITS.connect, LIMITS.idle),
                )
        except (OSError, ValueError, http.client.HTTPException, urllib3.exceptions.HTTPError) as e:
            error, transient = diagnose(url, e, f"{LIMITS.connect:g} s / {LIMITS.idle:g} s")
            if not transient:
                raise error from e
            attempts.failed(error)
            continue
        if response.status_code not in _RETRIED:
            return response
        error = StatusError(url, response.status_code, response.reason or "")
        response.close()
        attempts.failed(error, retry_after=_retry_after(response.headers.get("Retry-After")))


def _retry_after(value: str | None) -> float | None:
    """The seconds that a Retry-After header asks for; it holds seconds or a date."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return float(value)
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    return None


def locate(session: requests.Session, url: str) -> str:
    """The URL of the file that redirects lead to from ``url``.

    :raises StatusError: there is no file, or the server refuses it. :raises HopError, InputError, OvError: as
        :func:`ask`.
    """
    try:
        with ask(session, "HEAD", url, Attempts(retries=0)) as response:
            if response.status_code == 200:
                return str(response.url)
    except OvError:  # some servers do not know HEAD, or answer it with nonsense
        pass
    with ask(session, "GET", url, Attempts(), {"Range": "bytes=0-0"}) as response:
        if response.status_code in {200, 206, 416}:
            return str(response.url)
        raise StatusError(url, response.status_code, response.reason or "")


def get_small(session: requests.Session, url: str, limit: int) -> tuple[bytes, str] | str:
    """A small file's bytes and final URL; or, as text, why there are none (a status, too large, a redirect to http).

    :raises OvError: the server cannot be reached at all.
    """
    import requests
    import urllib3

    attempts = Attempts()
    while True:
        try:
            with ask(session, "GET", url, attempts) as response, http_deadline.body_deadline(response, LIMITS.answer):
                if response.status_code != 200:
                    return f"{response.status_code} {printable(response.reason or '')}".rstrip()
                data = response.raw.read(limit + 1, decode_content=False)
                encoding, length = response.headers.get("Content-Encoding", ""), response.headers.get("Content-Length")
                final_url = str(response.url)
            if length and re.fullmatch("[0-9]{1,9}", length) and len(data) < min(int(length), limit):
                raise EOFError(f"{len(data)} of {length} bytes arrived")
            data = _decoded(data, encoding.strip().lower(), limit + 1)
        except StatusError as e:
            return f"{e.status}"
        except HopError as e:
            return e.message.removeprefix(f"{public(url)} ")
        except (requests.RequestException, urllib3.exceptions.HTTPError, *_BROKEN) as e:
            attempts.failed(OvError(f"{public(url)}: the connection broke: {innermost(e)}", hint="try again"))
            continue
        return (data, final_url) if len(data) <= limit else f"larger than {limit >> 10} KiB"


_BROKEN = (http.client.HTTPException, OSError, EOFError, ValueError, zlib.error)


def _decoded(data: bytes, encoding: str, limit: int) -> bytes:
    """The content of a body that came packed although we asked for plain bytes; at most ``limit`` bytes."""
    if encoding in {"", "identity"}:
        return data
    if encoding not in {"gzip", "x-gzip"}:
        raise ValueError(f"it is sent in the encoding {printable(encoding)}")
    return zlib.decompressobj(wbits=31).decompress(data, limit)
