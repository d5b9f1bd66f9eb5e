"""A real sshd of this host, on a port of 127.0.0.1, in the part of a guest's."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ovtasks.guest.ssh import ssh_argv
from ovtasks.guest.ssh_config import known_hosts_line
from ovtasks.guest.target import Target
from ovtasks.host.run import Result, require, run, stop
from ovtasks.instance.keys import generate_key_pair
from tests.support.processes import Server, serve
from tests.support.qemu import free_port

DEADLINE = 120.0
BATCH = ("-o", "BatchMode=yes")  # ssh asks nothing
CONNECTION_FAILED = 255  # ssh's own exit status; others are the remote command's


@dataclass
class Sshd:
    """``folder`` holds its keys; ``programs`` comes first in the PATH of who logs in."""

    folder: Path
    port: int
    process: Server | None = None

    @property
    def programs(self) -> Path:
        return self.folder / "bin"

    @property
    def target(self) -> Target:
        """As the guest's owner reaches it."""
        user = pwd.getpwuid(os.geteuid()).pw_name
        return Target("ov-web", self.port, user, self.folder / "known_hosts", identity=self.folder / "id", title="web")

    def program(self, name: str, script: str) -> None:
        """A program in the guest."""
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def bare(self, *, sh: bool = True) -> None:
        """A guest that has no programs but a shell (``sh``) and those given to it. Before :meth:`start`."""
        if sh:
            (self.programs / "sh").symlink_to("/bin/sh")
        config = self.folder / "sshd_config"
        config.write_text(config.read_text().replace(":/usr/bin:/bin", ""))

    def start(self) -> None:
        argv = [str(require("sshd")), "-D", "-e", "-f", str(self.folder / "sshd_config")]
        with (self.folder / "sshd.log").open("ab") as log:
            self.process = serve(*argv, log=log)
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.02)
        raise AssertionError((self.folder / "sshd.log").read_text(errors="replace"))

    def stop(self) -> None:
        if self.process is not None:
            stop(self.process)
            self.process = None

    def host_key(self) -> str:
        return (self.folder / "host.pub").read_text()

    def new_host_key(self) -> None:
        """Another machine, at the same place."""
        private, public = generate_key_pair("host")
        write(self.folder / "host", private)
        write(self.folder / "host.pub", public)


def write(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.touch(0o600)
    path.write_text(text, encoding="utf-8")


def make_empty_folder() -> None:
    """The one in which root's sshd locks up what talks to strangers; its service makes it."""
    if os.geteuid() == 0:
        run(["mkdir", "-p", "-m", "0755", "/run/sshd"])


@contextlib.contextmanager
def new_sshd(folder: Path) -> Iterator[Sshd]:
    """Configured, with known host key and one user's key; not started."""
    server = Sshd(folder, free_port())
    server.programs.mkdir(parents=True)
    make_empty_folder()
    server.new_host_key()
    private, public = generate_key_pair("me")
    write(folder / "id", private)
    write(folder / "authorized_keys", public)
    write(folder / "known_hosts", known_hosts_line("ov-web", server.host_key()))
    options = {
        "ListenAddress": f"127.0.0.1:{server.port}",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized_keys",
        "PidFile": "none",
        "PermitRootLogin": "yes",
        "StrictModes": "no",  # below /tmp
        "Subsystem": "sftp internal-sftp",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "SetEnv": f"PATH={server.programs}:/usr/bin:/bin",
    }
    (folder / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in options.items()))
    try:
        yield server
    finally:
        server.stop()


def run_ssh(target: Target, command: Sequence[str], timeout: float, stdin: bytes | None = None) -> Result:
    """A command in the guest by the system's ssh, which asks nothing. ``timeout`` is in seconds."""
    return run(ssh_argv(target, command, tty=False, extra=BATCH), check=False, stdin=stdin, timeout=timeout)
