"""A registry that serves images from folders, speaks plain HTTP on 127.0.0.1, and notes what it was asked for.

Format: the pull half of the OCI distribution specification, over OCI image layouts.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.containers.podman import Podman


class Registry:
    """``asked`` are the paths of all requests so far; ``pace`` is how long a fifth of an answer takes, in seconds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tags: dict[str, str] = {}
        self.asked: list[str] = []
        self.pace = 0.0
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                registry.asked.append(self.path)
                data, kind = registry.answer(self.path)
                self.send_response(404 if data is None else 200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data or b"")))
                self.send_header("Docker-Content-Digest", f"sha256:{hashlib.sha256(data or b'').hexdigest()}")
                self.end_headers()
                if self.command == "GET" and data:
                    part = len(data) // 5 + 1
                    for start in range(0, len(data), part):
                        time.sleep(registry.pace)
                        self.wfile.write(data[start : start + part])

            do_HEAD = do_GET

            def log_message(self, format: str, *args: object) -> None:
                """Tests look at ``asked``."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"

    def answer(self, path: str) -> tuple[bytes | None, str]:
        """Body and type; no body: there is no such thing."""
        if path == "/v2/":
            return b"{}", "application/json"
        kind, _, name = path.rpartition("/")
        if kind.endswith("/manifests"):
            name = self.tags.get(f"{kind.removeprefix('/v2/').removesuffix('/manifests')}:{name}", name)
        file = self.folder / "blobs" / name.replace(":", "/", 1)
        if not file.is_file():
            return b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}', "application/json"
        return file.read_bytes(), "application/vnd.oci.image.manifest.v1+json" if "manifests" in kind else "binary"

    def push(self, podman: Podman, image: str, name: str) -> str:
        """Serve ``image`` of podman's storage as ``name`` (with its tag); returns the manifest's digest."""
        layout = self.folder / "layout"
        self.folder.mkdir(exist_ok=True)
        podman("push", "--quiet", image, f"oci:{layout}:x")
        index = json.loads((layout / "index.json").read_text())
        digest: str = index["manifests"][-1]["digest"]
        for blob in (layout / "blobs" / "sha256").iterdir():
            target = self.folder / "blobs" / "sha256" / blob.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(blob.read_bytes())
        self.tags[name] = digest
        return digest

    def close(self) -> None:
        """Stop answering."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
