"""Checks of the programs that run beside QEMU: each one is started and ended."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.host.doctor.verdict import TRY, Verdict, broken, missing, note, ok, said
from ovtasks.host.packages import package_hint
from ovtasks.host.run import CommandError, Result, require, run, which

VIRTIOFSD = ("virtiofsd", "/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd", "/usr/lib/virtiofsd")
PAUSE = ("catatonit", "podman")
"""What the process may be called that rootless podman leaves behind to hold its namespace."""


def passt(scratch: Path) -> Verdict:
    """Starts passt with a forwarded port, and connects to that: the connection must arrive on the guest's side."""
    program = require("passt")
    if os.geteuid() == 0:
        return note("passt refuses to run as root; QEMU's own user network forwards the ports")
    path = scratch / "socket"
    port = _free_port()
    daemon = Daemon([program, "--foreground", "--one-off", "--socket", path, "-t", f"127.0.0.1/{port}:22"])
    with socket.socket(socket.AF_UNIX) as guest:
        guest.settimeout(TRY / 2)
        if not daemon.connect(guest, path):
            return broken(f"ends at once: {daemon.last_words()}", "QEMU's own user network forwards the ports")
        frame = _knock(guest, port)
        alive = daemon.result is None
    daemon.wait()
    if not (frame and alive):
        return broken(
            f"a connection to a forwarded port does not arrive: {daemon.last_words()}",
            f"a newer passt ({package_hint('passt')}); until then QEMU's own user network forwards the ports",
        )
    return ok("started, a forwarded connection arrived")


def _knock(guest: socket.socket, port: int) -> bytes:
    """Connect to ``port``; returns what reaches the guest's side, b"" if nothing does."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), TRY / 2):
        return guest.recv(4096)
    return b""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Daemon:
    """A program that runs in a thread of ours; it is ended after :data:`TRY` seconds at the latest."""

    def __init__(self, argv: Sequence[str | os.PathLike[str]]) -> None:
        self.result: Result | CommandError | OvError | None = None
        self._thread = threading.Thread(target=self._run, args=(argv,), daemon=True)
        self._thread.start()

    def _run(self, argv: Sequence[str | os.PathLike[str]]) -> None:
        try:
            self.result = run(argv, check=False, timeout=TRY)
        except OvError as e:
            self.result = e

    def connect(self, client: socket.socket, path: Path) -> bool:
        """Connect to the Unix socket that the program makes; False if the program ended before that."""
        while self.result is None:
            try:
                client.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.01)
            else:
                return True
        return False

    def wait(self) -> None:
        """Wait until it has ended."""
        self._thread.join()

    def last_words(self) -> str:
        """The end of what the program said, in one line."""
        if isinstance(self.result, CommandError):
            return said(self.result)
        text = self.result.stderr if isinstance(self.result, Result) else str(self.result or "")
        # on hosts without a syslog it complains about that, too
        lines = [line.strip() for line in text.splitlines() if line.strip() and "to syslog" not in line]
        return lines[-1] if lines else "it said nothing"


def swtpm(scratch: Path) -> Verdict:
    """Asks swtpm what it can do. libvirt also needs swtpm_setup, which makes a TPM's state."""
    said = run(["swtpm", "socket", "--tpm2", "--print-capabilities"], timeout=TRY).stdout
    if which("swtpm_setup") is None:
        return note("swtpm_setup is not installed, and libvirt needs it", package_hint("swtpm_setup"))
    version = re.search(r'"version": *"([^"]*)"', said)
    return ok((version[1] if version else "unknown version") + (", TPM 2.0" if '"tpm-2.0"' in said else ""))


def virtiofsd(scratch: Path) -> Verdict:
    """Looks for virtiofsd, usually outside of PATH. QEMU's older one, written in C, works for root only."""
    program = next((found for name in VIRTIOFSD if (found := which(name))), None)
    if program is None:
        return missing("virtiofsd is not installed; mounts: take 9p, else sshfs", package_hint("virtiofsd"))
    said = run([program, "--version"], timeout=TRY)
    text = (said.stdout or said.stderr).strip()
    version = re.search(r"virtiofsd (?:version )?(\S+)", text)
    detail = f"{version[1] if version else 'unknown version'}, {program}"
    if "FUSE kernel interface" in text and os.geteuid() != 0:
        return note(f"{detail}: this one needs root; mounts: take 9p, else sshfs", package_hint("virtiofsd"))
    return ok(detail)


def podman(scratch: Path) -> Verdict:
    """Asks podman, with scratch folders as its storage, so that a first use leaves nothing in the user's."""
    require("podman")
    folders = {name: scratch / name for name in ("home", "run", "config", "data", "cache")}
    for folder in folders.values():
        folder.mkdir(mode=0o700)
    environment = {"HOME": str(folders["home"])}
    environment |= {f"XDG_{name.upper()}_HOME": str(folders[name]) for name in ("config", "data", "cache")}
    environment |= {"XDG_RUNTIME_DIR": str(folders["run"])} if os.geteuid() != 0 else {}
    settings = Path.home() / ".config/containers/containers.conf"
    if settings.is_file():
        environment["CONTAINERS_CONF"] = str(settings)
    roots = ["--root", str(scratch / "root"), "--runroot", str(scratch / "runroot"), "--tmpdir", str(scratch / "tmp")]
    try:
        text = run(["podman", *roots, "info", "--format", "json"], env=environment, timeout=TRY).stdout
    except CommandError as e:
        return broken(said(e), package_hint("newuidmap") if "newuidmap" in e.stderr else "podman info")
    finally:
        for name in ("run/libpod/tmp/pause.pid", "tmp/pause.pid"):
            _end_pause(scratch / name)
    info = json.loads(text)
    host = info["host"]
    rootless = host["security"]["rootless"]
    detail = (
        f"{info['version']['Version']}, {'rootless' if rootless else 'rootful'}, runtime {host['ociRuntime']['name']}"
    )
    return note(f"{detail}; bootc builds need a rootful one") if rootless else ok(detail)


def _end_pause(pidfile: Path) -> None:
    """End the process that holds rootless podman's namespace open."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(pidfile.read_text())
        handle = os.pidfd_open(pid)
        try:
            if Path(f"/proc/{pid}/comm").read_text().startswith(PAUSE):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)
