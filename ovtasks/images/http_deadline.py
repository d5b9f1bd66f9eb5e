"""Deadlines that a socket's own timeout does not give: for a server that sends one byte now and then."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import requests


class Beat:
    """Tells the deadline that something arrived, so that its time starts again."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def __call__(self) -> None:
        self.last = time.monotonic()


@contextlib.contextmanager
def _deadline(sock: object, seconds: float) -> Iterator[Beat]:
    """Shut the socket down after ``seconds`` without a beat. Its reader then sees the end of the stream."""
    beat, done = Beat(), threading.Event()

    def look() -> None:
        while not done.wait(max(0.0, beat.last + seconds - time.monotonic())):
            if time.monotonic() - beat.last >= seconds:
                with contextlib.suppress(OSError):
                    getattr(sock, "shutdown")(socket.SHUT_RDWR)  # noqa: B009  # a socket, or TLS around one
                return

    if not hasattr(sock, "shutdown"):
        yield beat
        return
    thread = threading.Thread(target=look, name="deadline", daemon=True)
    thread.start()
    try:
        yield beat
    finally:
        done.set()
        thread.join()


@contextlib.contextmanager
def body_deadline(response: requests.Response, seconds: float) -> Iterator[Beat]:
    """Give each piece of a body a deadline of ``seconds``."""
    reader = getattr(getattr(response.raw, "_fp", None), "fp", None)
    with _deadline(getattr(getattr(reader, "raw", None), "_sock", None), seconds) as beat:
        yield beat


def limit_headers(session: requests.Session, seconds: Callable[[], float]) -> None:
    """Require all headers of an answer within so many seconds."""
    from requests.adapters import HTTPAdapter
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    class Plain(HTTPConnection):
        def getresponse(self) -> Any:
            with _deadline(self.sock, seconds()):
                return super().getresponse()

    class Tls(HTTPSConnection):
        def getresponse(self) -> Any:
            with _deadline(self.sock, seconds()):
                return super().getresponse()

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *arguments: Any, **settings: Any) -> None:
            super().init_poolmanager(*arguments, **settings)
            self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}

        def proxy_manager_for(self, *arguments: Any, **settings: Any) -> Any:
            manager = super().proxy_manager_for(*arguments, **settings)
            manager.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}
            return manager

    adapter = Adapter()
    session.mount("http://", adapter)
    session.mount("https://", adapter)
