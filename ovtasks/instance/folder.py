"""The directory of one instance: the names of what lies in it, its lock, and where its Unix sockets go."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ovtasks.backends.contract import LONGEST_SOCKET
from ovtasks.errors import OvError
from ovtasks.host.files import flock, is_part
from ovtasks.host.oserrors import explaining
from ovtasks.host.paths import SUN_PATH, data_home


@dataclass(frozen=True)
class Folder:
    """Only its owner may enter ``path``."""

    path: Path

    @property
    def record(self) -> Path:
        """What is known about the instance; see :mod:`ovtasks.instance.record`."""
        return self.path / "instance.json"

    @property
    def machine(self) -> Path:
        """What was last defined, as the renderers' input."""
        return self.path / "machine.json"

    @property
    def disk(self) -> Path:
        """The instance's own disk, an overlay on :attr:`built`."""
        return self.path / "disk.qcow2"

    @property
    def built(self) -> Path:
        """The artifact that the disk stands on: a hard link. Its own backing file lies beside this folder's files,
        as it does in ``output/<vm>/``."""
        return self.path / "built"

    @property
    def seed(self) -> Path:
        """The cloud-init seed."""
        return self.path / "seed.iso"

    @property
    def tmpfiles(self) -> Path:
        """A systemd credential, for guests without a seed: the host key, and the user's keys."""
        return self.path / "tmpfiles.conf"

    @property
    def host_key(self) -> Path:
        """The guest's SSH host key, made here."""
        return self.path / "ssh_host_ed25519_key"

    @property
    def known_hosts(self) -> Path:
        """The host keys that SSH accepts for this instance."""
        return self.path / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        """OpenSSH's configuration for this instance."""
        return self.path / "ssh_config"

    @property
    def serial_log(self) -> Path:
        """What the guest says on its serial console."""
        return self.path / "serial.log"

    def make(self) -> None:
        """Create the folder.

        :raises OvError: it cannot be created.
        """
        with explaining(f"cannot make {self.path}", self.path):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.path.stat().st_mode & 0o077:
                self.path.chmod(0o700)

    @contextlib.contextmanager
    def lock(self, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
        """Be the only one who changes this instance. The lock lies outside: destroying removes the folder."""
        locks = data_home() / "locks"
        with contextlib.ExitStack() as held:
            with explaining(f"cannot lock {self.path.name}", locks):
                locks.mkdir(mode=0o700, parents=True, exist_ok=True)
                held.enter_context(flock(locks / self.path.name, waiting=waiting))
            yield

    def choose_sockets(self) -> Path:
        """A folder whose sockets have short enough paths: inside, else below ``$XDG_RUNTIME_DIR`` or ``/tmp``."""
        inside = self.path / "run"
        if len(os.fsencode(inside / LONGEST_SOCKET)) < SUN_PATH:
            return inside
        name = self.sockets_name
        runtime = os.environ.get("XDG_RUNTIME_DIR", "")
        if runtime.startswith("/") and len(os.fsencode(runtime)) < 60 and os.access(runtime, os.W_OK):
            return Path(runtime) / "ov" / name
        return Path("/tmp") / f"ov-{os.geteuid()}" / name

    def has_sockets(self, path: Path) -> bool:
        """Whether ``path`` is a folder of sockets as this instance's would be, and nobody else's."""
        outside = path.name == self.sockets_name and path.parent.name in {"ov", f"ov-{os.geteuid()}"}
        return path == self.path / "run" or outside

    @property
    def sockets_name(self) -> str:
        """Of a folder for sockets that lies outside."""
        import hashlib

        return hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]


def socket_places() -> list[Path]:
    """Where folders for sockets lie that are not inside of their instance's."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    outside = [Path(runtime) / "ov"] if runtime.startswith("/") else []
    return [*outside, Path("/tmp") / f"ov-{os.geteuid()}"]


_BARE = {"owner.json", "instance.json", "ports.json", "built", "known_hosts", "ssh_config", "seed.iso", "tmpfiles.conf"}
_BARE |= {"ssh_host_ed25519_key", "ssh_host_ed25519_key.pub", "run", "serial.log", "qemu.lock"}
_KEY = "id_ed25519"
"""How names of a generated pair's files begin, and of its receipts: a build makes it before there is any instance."""


def is_instance(path: Path) -> bool:
    """Whether something is here that a VM has, or had, beyond what a create can make anew at any time: a disk, a
    definition, a file of the user's. A create that was killed early leaves less."""
    return any(not name.removeprefix(".").startswith(_KEY) for name in _others(path))


def is_leftover(path: Path) -> bool:
    """Whether all of this folder is worth nothing to anybody: what a create left that came to nothing."""
    return path.is_dir() and not path.is_symlink() and not _others(path)


def _others(path: Path) -> set[str]:
    try:
        names = {entry.name for entry in path.iterdir()}
    except (FileNotFoundError, NotADirectoryError):
        return set()
    half = {name for name in names if is_part(name) or (name.startswith(".") and name.endswith(".running"))}
    return names - _BARE - half - {name for name in names if name.startswith("base-")}


def removed(path: Path) -> Path:
    """The name that a folder has while it is removed."""
    return path.with_name(f".{path.name}.removed")


def make_sockets(path: Path) -> None:
    """Create the folder for sockets, also after a reboot emptied ``/run`` or ``/tmp``.

    :raises OvError: someone else has it: whoever owns that folder could take the sockets' place.
    """
    for folder in (path.parent, path):
        with explaining(f"cannot make the folder {folder} for sockets", folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = folder.lstat()
        if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode):
            raise OvError(f"{folder} is not ours", hint="remove it: the sockets of a VM must lie in a folder of yours")
    path.chmod(0o700)
