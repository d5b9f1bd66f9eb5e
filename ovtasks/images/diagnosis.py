"""What requests and TLS say when a server cannot be asked → what is wrong, and the next step."""

from __future__ import annotations

from urllib.parse import urlsplit

from ovtasks.errors import InputError, OvError
from ovtasks.images.request import public


def diagnose(url: str, e: Exception, patience: str) -> tuple[OvError, bool]:
    """The error, and whether another attempt may help. ``patience`` is how long an answer was waited for, in words."""
    import requests

    host, shown = urlsplit(url).hostname or "", public(url)
    text = str(e)
    if isinstance(e, requests.exceptions.SSLError):
        return OvError(
            f"{shown}: TLS failed: {innermost(e)}",
            hint="check the clock and the URL; a company's own CA goes into REQUESTS_CA_BUNDLE",
        ), False
    if isinstance(e, requests.exceptions.ProxyError):
        return OvError(f"{shown}: the proxy does not answer: {innermost(e)}", hint="check https_proxy, no_proxy"), True
    if isinstance(e, requests.exceptions.TooManyRedirects):
        return OvError(f"{shown}: more than 10 redirects", hint="check the URL in a browser"), False
    if "NameResolution" in text or "Name or service not known" in text:
        return OvError(f"{shown}: the name {host} cannot be resolved", hint="check the URL and the network"), True
    if isinstance(e, requests.exceptions.Timeout):
        return OvError(f"{shown}: no answer within {patience}", hint="try again later"), True
    if "Connection refused" in text:
        return OvError(f"{shown}: {host} refuses the connection", hint="check the URL and the port"), True
    if isinstance(e, requests.exceptions.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return OvError(f"{shown}: the connection failed: {innermost(e)}", hint="check the network, try again"), True
    if isinstance(e, OSError) and not isinstance(e, requests.RequestException):
        return OvError(f"{shown}: {innermost(e)}", hint="check REQUESTS_CA_BUNDLE and the network"), False
    if isinstance(e, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return InputError(f"{shown}: {innermost(e)}", hint="check the URL"), False
    return OvError(f"{shown}: the server's answer is invalid: {innermost(e)}", hint="try again later"), True


def innermost(e: BaseException) -> str:
    """The message of the exception at the bottom of a chain: libraries wrap the real cause."""
    while True:
        reason = getattr(e, "reason", None) or (e.args[0] if e.args else None)
        if not isinstance(reason, BaseException):
            return printable(str(e.args[-1] if e.args else e))
        e = reason


def printable(text: str) -> str:
    """What a server said, fit for a terminal: shortened, without control characters."""
    return "".join(c if c.isprintable() else "?" for c in text[:500])
