"""A real HTTP server on loopback that serves files and misbehaves on request."""

from __future__ import annotations

import contextlib
import email.utils
import hashlib
import http.server
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.programs import call


@dataclass
class Site:
    """Files by path. ``moved`` are paths that redirect to others. ``faults`` are used up one a GET of the path.

    ``drop:N`` and ``short:N`` send N bytes of what was promised and hang up, ``status:N``, ``status:N:SECONDS``
    (Retry-After), ``redirect:URL``, ``ignore-range``, ``restart:N`` (ignore the range, send N bytes and hang up),
    ``shifted`` (a range that is not the one asked for), ``chunked:N`` (no length; after N bytes, if given, hang up),
    ``slow`` or ``slow:SECONDS`` (64 KiB every 5 ms, or that, until ``hurry`` is set), ``silent`` or ``silent:SECONDS``
    (no answer for a while).
    """

    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    etags: bool = True
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    url: str = ""
    modified: float = 1_700_000_000.0
    hurry: threading.Event = field(default_factory=threading.Event)

    def gets(self, path: str) -> list[dict[str, str]]:
        """The headers of every GET of ``path`` so far."""
        return [headers for method, name, headers in self.requests if method == "GET" and name == path]


def _handler(site: Site) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            path = urlsplit(self.path).path
            site.requests.append((self.command, path, dict(self.headers)))
            fault = site.faults.get(path, []).pop(0) if body and site.faults.get(path) else ""
            kind, _, value = fault.partition(":")
            data = site.files.get(path)
            if kind == "silent":
                time.sleep(float(value or 0.3))
            if kind == "status":
                code, _, after = value.partition(":")
                self._send(int(code), b"", {"Retry-After": after} if after else {})
            elif kind == "redirect":
                self._send(302, b"", {"Location": value})
            elif path in site.moved:
                self._send(302, b"", {"Location": site.moved[path]})
            elif data is None:
                self._send(404, b"not here")
            else:
                self._file(data, body=body, kind=kind, value=value)

        def _file(self, data: bytes, *, body: bool, kind: str, value: str) -> None:
            etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
            headers = {"Last-Modified": email.utils.formatdate(site.modified, usegmt=True), "Accept-Ranges": "bytes"}
            if site.etags:
                headers["ETag"] = etag
            asked = self.headers.get("Range")
            if self.headers.get("If-None-Match") == etag and site.etags:
                self._send(304, b"", headers)
                return
            valid = self.headers.get("If-Range", etag) in {etag, headers["Last-Modified"]}
            if asked and valid and kind not in {"ignore-range", "restart"}:
                start = int(asked.removeprefix("bytes=").rstrip("-"))
                if start >= len(data):
                    self._send(416, b"", {**headers, "Content-Range": f"bytes */{len(data)}"})
                    return
                start = 1 if kind == "shifted" else start
                headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
                self._send(206, data[start:], headers, body=body, cut=kind, at=value)
                return
            self._send(200, data, headers, body=body, cut=kind, at=value)

        def _send(
            self,
            code: int,
            data: bytes,
            headers: dict[str, str] | None = None,
            *,
            body: bool = True,
            cut: str = "",
            at: str = "",
        ) -> None:
            self.send_response(code)
            for name, text in (headers or {}).items():
                self.send_header(name, text)
            if cut == "chunked":
                self.send_header("Transfer-Encoding", "chunked")
            elif code != 304:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if not body or code == 304:
                return
            with contextlib.suppress(ConnectionError):
                if cut in {"drop", "short", "restart"}:
                    self.wfile.write(data[: int(at)])
                    self.wfile.flush()
                    self.close_connection = True
                elif cut == "chunked":
                    sent = data[: int(at)] if at else data
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(sent), sent) + (b"" if at else b"0\r\n\r\n"))
                    self.close_connection = True
                elif cut == "slow":
                    for start in range(0, len(data), 64 << 10):
                        self.wfile.write(data[start : start + (64 << 10)])
                        site.hurry.wait(float(at or 0.005))
                else:
                    self.wfile.write(data)

    return Handler


def self_signed(pem: Path) -> Path:
    """A certificate for 127.0.0.1 with its key; the certificate alone lies beside it as ``.crt``."""
    files = ["-keyout", str(pem), "-out", f"{pem}.crt"]
    new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *files]
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    call("openssl", *new, *subject)
    pem.write_bytes(pem.read_bytes() + Path(f"{pem}.crt").read_bytes())
    return pem


@contextlib.contextmanager
def serve(site: Site, *, certificate: Path | None = None) -> Iterator[Site]:
    """Serve ``site``; with a certificate (PEM with its key) by TLS."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(site))
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    site.url = f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
