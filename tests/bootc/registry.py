"""A registry on the loopback, by the program that most private ones are: plain HTTP, no accounts."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from ovtasks.host.run import require, stop
from tests.bootc.room import DEADLINE, Room
from tests.support.processes import Server, serve
from tests.support.qemu import free_port

CONFIG = """version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "{address}"}}
"""
PROGRAM = next((name for name in ("docker-registry", "registry") if Path("/usr/bin", name).exists()), "docker-registry")


@contextlib.contextmanager
def registry(room: Room, folder: Path) -> Iterator[str]:
    """A registry whose podman in ``room`` knows that it has no TLS; the value is its address."""
    folder.mkdir()
    address = f"127.0.0.1:{free_port()}"
    (folder / "config.yml").write_text(CONFIG.format(folder=folder / "data", address=address), encoding="utf-8")
    guard = [str(require("setpriv")), "--pdeathsig", "KILL", "--"]
    with (folder / "log").open("wb") as log:
        process = serve(*guard, require(PROGRAM), "serve", folder / "config.yml", log=log)
    try:
        _wait(address, process, folder / "log")
        trust(room, address)
        yield address
    finally:
        stop(process)


def trust(room: Room, address: str) -> None:
    """Let podman speak plain HTTP to the registry."""
    with (room.folder / "etc/registries.conf").open("a", encoding="utf-8") as file:
        file.write(f'[[registry]]\nlocation = "{address}"\ninsecure = true\n')


def _wait(address: str, process: Server, log: Path) -> None:
    import requests

    end = time.monotonic() + DEADLINE
    while True:
        with contextlib.suppress(requests.ConnectionError):
            assert requests.get(f"http://{address}/v2/", timeout=DEADLINE).ok
            return
        assert process.poll() is None and time.monotonic() < end, log.read_text(encoding="utf-8")
        time.sleep(0.05)
