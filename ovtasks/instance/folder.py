"""The directory of one instance: the names of what lies in it, its lock, and where its Unix sockets go."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ovtasks.errors import OvError
from ovtasks.host.files import flock
from ovtasks.host.paths import data_home

SUN_PATH = 108
"""unix(7): a socket's path with its ending zero byte."""
LONGEST_SOCKET = "channel-com.example.some-agent.0.sock"


@dataclass(frozen=True)
class Folder:
    """Only its owner may enter ``path``."""

    path: Path

    @property
    def record(self) -> Path:
        return self.path / "instance.json"

    @property
    def machine(self) -> Path:
        """What was last defined, as the renderers' input."""
        return self.path / "machine.json"

    @property
    def disk(self) -> Path:
        return self.path / "disk.qcow2"

    @property
    def built(self) -> Path:
        """The artifact that the disk stands on: a hard link. Its own backing file lies beside this folder's files,
        as it does in ``output/<vm>/``."""
        return self.path / "built"

    @property
    def seed(self) -> Path:
        return self.path / "seed.iso"

    @property
    def tmpfiles(self) -> Path:
        """A systemd credential, for guests without a seed: the host key, and the user's keys."""
        return self.path / "tmpfiles.conf"

    @property
    def host_key(self) -> Path:
        return self.path / "ssh_host_ed25519_key"

    @property
    def known_hosts(self) -> Path:
        return self.path / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        return self.path / "ssh_config"

    @property
    def serial_log(self) -> Path:
        return self.path / "serial.log"

    def make(self) -> None:
        """Create the folder.

        :raises OvError: it cannot be created.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.path.stat().st_mode & 0o077:
                self.path.chmod(0o700)
        except OSError as e:
            hint = "instances live in $XDG_DATA_HOME/ov (~/.local/share/ov): it must be writable"
            raise OvError(f"cannot write to {self.path}: {os.strerror(e.errno or 0).lower()}", hint=hint) from None

    @contextlib.contextmanager
    def lock(self, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
        """Be the only one who changes this instance. The lock lies outside: destroying removes the folder."""
        locks = data_home() / "locks"
        try:
            locks.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as e:
            hint = "instances live in $XDG_DATA_HOME/ov (~/.local/share/ov): it must be writable"
            raise OvError(f"cannot write to {locks}: {os.strerror(e.errno or 0).lower()}", hint=hint) from None
        with flock(locks / self.path.name, waiting=waiting):
            yield

    def choose_sockets(self) -> Path:
        """A folder whose sockets have short enough paths: inside, else below ``$XDG_RUNTIME_DIR`` or ``/tmp``."""
        inside = self.path / "run"
        if len(os.fsencode(inside / LONGEST_SOCKET)) < SUN_PATH:
            return inside
        name = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        runtime = os.environ.get("XDG_RUNTIME_DIR", "")
        if runtime.startswith("/") and len(os.fsencode(runtime)) < 60 and os.access(runtime, os.W_OK):
            return Path(runtime) / "ov" / name
        return Path("/tmp") / f"ov-{os.geteuid()}" / name


def make_sockets(path: Path) -> None:
    """Create the folder for sockets, also after a reboot emptied ``/run`` or ``/tmp``.

    :raises OvError: someone else has it: whoever owns that folder could take the sockets' place.
    """
    for folder in (path.parent, path):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
        if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode):
            raise OvError(f"{folder} is not ours", hint="remove it: the sockets of a VM must lie in a folder of yours")
    path.chmod(0o700)


def make_private(folders: Iterable[Path]) -> None:
    """Create those that are not there, for their owner alone; others stay as they are.

    :raises OvError: one cannot be made.
    """
    for folder in folders:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as e:
            raise OvError(f"cannot make the folder {folder}: {e.strerror}", hint="choose another path") from e
