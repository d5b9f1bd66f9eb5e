"""``addr``, ``dns`` and ``http``: what answers. From this machine, or inside of the guest when nothing leads there."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from ovtasks.images.diagnosis import innermost
from ovtasks.layers.checks.model import CheckVerb, Mismatch, Probe, ProbeFacts, differs, unmet
from ovtasks.layers.checks.script import LIMIT
from ovtasks.values.durations import parse_duration

PATIENCE = 3
"""Seconds that one look waits for an answer, unless the check's ``timeout`` is shorter."""
HTTP_PATIENCE = 10
"""The same for a whole HTTP request."""


def _limit(check: Probe, longest: int) -> float:
    written = check.text("timeout")
    seconds = min(parse_duration(written), longest) if written else longest
    return seconds * max(check.context.factor, 1.0)


def host_and_port(address: str) -> tuple[str, int]:
    """``host:port`` or ``[host]:port`` in two.

    :raises ValueError: there is no port.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or not host:
        raise ValueError(f"{address!r} is not a HOST:PORT")
    return host.strip("[]"), int(port)


def problem_of_addr(check: Probe) -> tuple[str, str] | None:
    """Both parts are needed."""
    try:
        known = 0 < host_and_port(check.subject)[1] < 65536
    except ValueError:
        known = False
    return None if known else ("addr", "write HOST:PORT or [HOST]:PORT, as in 127.0.0.1:8080")


def look_addr(check: Probe) -> str:
    """bash can connect by itself; else nc."""
    host, port = host_and_port(check.subject)
    seconds = f"{_limit(check, PATIENCE):.0f}"
    return f"""\
H={quote(host)}
if command -v bash >/dev/null; then
    timeout {seconds} bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$H" {port} && tell reachable yes
elif command -v nc >/dev/null; then
    nc -w {seconds} "$H" {port} </dev/null >/dev/null && tell reachable yes
else
    tell cannot 'the guest has neither bash nor nc'
fi
"""


def outside_addr(check: Probe, seconds: float) -> ProbeFacts:
    """Connect from here."""
    try:
        with socket.create_connection(host_and_port(check.subject), timeout=min(seconds, _limit(check, PATIENCE))):
            return {"reachable": b"yes"}
    except OSError as e:
        return {"error": (e.strerror or str(e)).encode()}
    except UnicodeError:
        return {"error": b"no host can have this name"}


def judge_addr(check: Probe, facts: ProbeFacts) -> Iterator[Mismatch]:
    """Whether a connection came about."""
    reachable = facts.get("reachable") == b"yes"
    if reachable != check.wants("reachable"):
        found = "yes" if reachable else facts.get("error", b"").decode() or "no"
        yield Mismatch("reachable", "yes" if check.wants("reachable") else "no", found)


def look_dns(check: Probe) -> str:
    """The guest's own resolver."""
    return f"getent ahosts {quote(check.subject)} | sed 's/ .*//' | sort -u | fact addresses"


def outside_dns(check: Probe, seconds: float) -> ProbeFacts:
    """Ask this machine's resolver; its own limits of time hold."""
    with contextlib.suppress(OSError, UnicodeError):  # UnicodeError: no host can have this name
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(check.subject, None)}
        return {"addresses": "\n".join(sorted(found)).encode()}
    return {}


def judge_dns(check: Probe, facts: ProbeFacts) -> Iterator[Mismatch]:
    """One of ``addrs`` is enough."""
    found = facts.get("addresses", b"").decode("ascii", "replace").split()
    yield from differs("resolvable", check.wants("resolvable"), bool(found))
    wanted = check.words("addrs")
    if found and wanted and not set(wanted) & set(found):
        yield Mismatch("addrs", " or ".join(wanted), ", ".join(found))


def look_http(check: Probe) -> str:
    """curl inside of the guest."""
    words = ["--silent", "--show-error", "--globoff", "--max-time", f"{_limit(check, HTTP_PATIENCE):.0f}"]
    words += ["--request", check.text("method") or "GET"]
    words += [] if check.wants("no_follow_redirects", False) else ["--location"]
    words += ["--insecure"] if check.wants("allow_insecure", False) else []
    body = check.text("request_body")
    words += ["--data-binary", "@-"] if body is not None else []
    if ca_file := check.text("ca_file"):
        words += ["--cacert", ca_file]
    return f"""\
if ! command -v curl >/dev/null; then tell cannot 'the guest has no curl'; exit; fi
D=$(mktemp -d) || exit
trap 'rm -rf "$D"' EXIT
trap 'exit 143' HUP INT TERM
printf %s {quote(body or "")} | curl {" ".join(map(quote, words))} \
    -D "$D/headers" -o "$D/body" -w '%{{http_code}}' -- {quote(check.subject)} >"$D/status" 2>"$D/error"
fact status <"$D/status"
fact error <"$D/error"
fact headers <"$D/headers"
fact body <"$D/body"
"""


def outside_http(check: Probe, seconds: float) -> ProbeFacts:
    """The request from here, past any proxy, because it goes to a port of this machine's."""
    import requests

    verify: bool | str = not check.wants("allow_insecure", False)
    if verify and (ca_file := check.text("ca_file")):
        verify = str(Path(check.part.where.file).parent / ca_file)
    limit = max(0.1, min(seconds, _limit(check, HTTP_PATIENCE)))
    with requests.Session() as session:
        session.trust_env = False
        try:
            answer = session.request(
                check.text("method") or "GET",
                check.subject,
                data=check.text("request_body"),
                timeout=limit,
                allow_redirects=not check.wants("no_follow_redirects", False),
                verify=verify,
                stream=True,
            )
            with answer:
                body = next(answer.iter_content(LIMIT), b"")
        except (requests.RequestException, OSError) as e:
            return {"error": innermost(e).encode()}
        headers = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
        return {"status": str(answer.status_code).encode(), "headers": headers.encode(), "body": body}


def judge_http(check: Probe, facts: ProbeFacts) -> Iterator[Mismatch]:
    """Without ``status`` every answer that is no error (below 400) is right."""
    status = facts.get("status", b"").decode("ascii", "replace").strip("0 \n")
    if not status:
        yield Mismatch("http", "an answer", facts.get("error", b"").decode("utf-8", "replace").strip() or "none")
        return
    status = facts["status"].decode().strip()
    wanted = check.text("status")
    if wanted is not None:
        yield from differs("status", wanted, status)
    elif int(status) >= 400:
        yield Mismatch("status", "one below 400", status)
    body, headers = (facts.get(name, b"").decode("utf-8", "replace") for name in ("body", "headers"))
    yield from unmet("body", check.expectations("body"), body)
    yield from unmet("headers", check.expectations("headers", "contains"), headers)


ADDR = CheckVerb(
    "addr",
    ("reachable",),
    look_addr,
    judge_addr,
    outside_addr,
    waits=lambda check: check.wants("reachable"),
    problem=problem_of_addr,
)
DNS = CheckVerb("dns", ("resolvable", "addrs"), look_dns, judge_dns, outside_dns)
HTTP = CheckVerb(
    "http",
    (*("status", "body", "headers", "method", "request_body"), *("allow_insecure", "no_follow_redirects", "ca_file")),
    look_http,
    judge_http,
    outside_http,
    waits=lambda check: True,
    captures="body",
)
