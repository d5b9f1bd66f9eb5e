"""A cold build of a 1 GiB image from a loopback HTTP server, beside ``curl -o`` of the same file.

``python -m bench.cold [MiB]``
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench._measure import SCRIPTS, compile_package, in_turns, table, verdict
from tests.support.programs import qemu_img


class SendFile(http.server.SimpleHTTPRequestHandler):
    """Serves files by sendfile(2): the server must not be the slow part."""

    protocol_version = "HTTP/1.1"

    def copyfile(self, source: object, outputfile: object) -> None:
        with contextlib.suppress(ConnectionError):
            os.posix_fadvise(source.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)  # type: ignore[attr-defined]
            offset = 0
            self.wfile.flush()
            while sent := os.sendfile(self.connection.fileno(), source.fileno(), offset, 1 << 24):  # type: ignore[attr-defined]
                offset += sent

    def log_message(self, format: str, *args: object) -> None:
        pass


def _serve(folder: str, port: object) -> None:
    handler = partial(SendFile, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        port.value = server.server_address[1]  # type: ignore[attr-defined]
        server.serve_forever()


@contextlib.contextmanager
def server(folder: Path) -> Iterator[int]:
    """A file server in a process of its own; yields its port."""
    port = multiprocessing.Value("i", 0)
    process = multiprocessing.Process(target=_serve, args=(str(folder), port), daemon=True)
    process.start()
    try:
        while port.value == 0:
            process.join(0.01)
        yield port.value
    finally:
        process.terminate()
        process.join()


def main() -> int:
    """Measure in turns; each run starts with an empty cache and no output."""
    compile_package()
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    with tempfile.TemporaryDirectory(prefix="ov-bench-") as name:
        scratch = Path(name)
        raw, image = scratch / "random.raw", scratch / "image.qcow2"
        with raw.open("wb") as random:
            for _ in range(size):
                random.write(os.urandom(1 << 20))
        qemu_img("convert", "-f", "raw", "-O", "qcow2", raw, image)
        raw.unlink()
        with image.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        project = scratch / "project"
        project.mkdir()
        env = {"XDG_CACHE_HOME": str(scratch / "cache"), "XDG_DATA_HOME": str(scratch / "data")}
        with server(scratch) as port:
            url = f"http://127.0.0.1:{port}/image.qcow2"
            source = {"kind": "cloud_image", "url": url, "checksum": {"type": "sha256", "value": digest}}
            vm = {"source": source, "ssh": {"key_source": "none"}}
            (project / "vms.yml").write_text(json.dumps({"vms": {"x": vm}}), encoding="utf-8")

            def clear(_: str) -> None:
                for path in (scratch / "cache", project / "output"):
                    shutil.rmtree(path, ignore_errors=True)
                (scratch / "copy").unlink(missing_ok=True)
                os.sync()

            curl = shutil.which("curl") or "curl"
            figures = in_turns(
                {
                    "curl": [curl, "-sS", "-o", str(scratch / "copy"), url],
                    "ov vm build x": [str(SCRIPTS / "ov"), "vm", "build", "x"],
                },
                project,
                runs=5,
                env=env,
                before=clear,
            )
    table(f"cold build, {size} MiB over loopback HTTP", figures, "curl")
    return verdict({"cold build to curl": (figures["ov vm build x"].ratio(figures["curl"]), 1.15)})


if __name__ == "__main__":
    sys.exit(main())
