"""The folder of one instance: the names of the files in it, its lock, and the place of its Unix sockets."""

from __future__ import annotations

import contextlib
import fcntl
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
    """An instance's folder. Only its owner may enter ``path``."""

    path: Path

    @property
    def record(self) -> Path:
        """The instance's record; see :mod:`ovtasks.instance.record`."""
        return self.path / "instance.json"

    @property
    def machine(self) -> Path:
        """The machine that was last defined; see :mod:`ovtasks.instance.saved_machine`."""
        return self.path / "machine.json"

    @property
    def disk(self) -> Path:
        """The instance's own disk, an overlay on :attr:`built`."""
        return self.path / "disk.qcow2"

    @property
    def built(self) -> Path:
        """The folder with hard links to the built artifact below the disk.

        The artifact's own backing file is linked beside this folder, as it lies in ``output/<vm>/``.
        """
        return self.path / "built"

    @property
    def seed(self) -> Path:
        """The cloud-init seed."""
        return self.path / "seed.iso"

    @property
    def tmpfiles(self) -> Path:
        """A systemd credential with the host key and the user's keys, for guests without a seed."""
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
        """The output of the guest's serial console."""
        return self.path / "serial.log"

    @property
    def standstill(self) -> Path:
        """The mark that the guest stands still; see :mod:`ovtasks.instance.standstill`."""
        return self.path / "stands-still"

    @property
    def keeper(self) -> Path:
        """The process id file of what serves mounts by sshfs; see :mod:`ovtasks.instance.sshfs`."""
        return self.path / "sshfs.pid"

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
        """Hold the lock for changes of this instance. It lies outside the folder, which a destroy removes.

        ``waiting`` is called with the present holder if the lock is taken.

        :raises OvError: the lock file cannot be made.
        """
        locks = data_home() / "locks"
        with contextlib.ExitStack() as held:
            with explaining(f"cannot lock {self.path.name}", locks):
                locks.mkdir(mode=0o700, parents=True, exist_ok=True)
                held.enter_context(flock(locks / self.path.name, waiting=waiting))
            yield

    def choose_sockets(self) -> Path:
        """A folder whose sockets have short enough paths: in here, else below ``$XDG_RUNTIME_DIR`` or ``/tmp``."""
        inside = self.path / "run"
        if len(os.fsencode(inside / LONGEST_SOCKET)) < SUN_PATH:
            return inside
        name = self.sockets_name
        runtime = os.environ.get("XDG_RUNTIME_DIR", "")
        if runtime.startswith("/") and len(os.fsencode(runtime)) < 60 and os.access(runtime, os.W_OK):
            return Path(runtime) / "ov" / name
        return Path("/tmp") / f"ov-{os.geteuid()}" / name

    def has_sockets(self, path: Path) -> bool:
        """Whether ``path`` is a folder for the sockets of this instance, and of no other."""
        outside = path.name == self.sockets_name and path.parent.name in {"ov", f"ov-{os.geteuid()}"}
        return path == self.path / "run" or outside

    @property
    def sockets_name(self) -> str:
        """The name of the folder for sockets if it lies outside."""
        import hashlib

        return hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]


def socket_places() -> list[Path]:
    """The places for folders of sockets outside the instances' folders."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    outside = [Path(runtime) / "ov"] if runtime.startswith("/") else []
    return [*outside, Path("/tmp") / f"ov-{os.geteuid()}"]


_BARE = {"owner.json", "instance.json", "ports.json", "built", "known_hosts", "ssh_config", "seed.iso", "tmpfiles.conf"}
_BARE |= {"ssh_host_ed25519_key", "ssh_host_ed25519_key.pub", "run", "serial.log", "qemu.lock"}
_KEY = "id_ed25519"
"""Names of a generated key pair and its receipts begin so. A build makes them before there is an instance."""


def is_instance(path: Path) -> bool:
    """Whether ``path`` holds more than create can make again: a disk, a definition, a file of the user.

    A create that was killed early leaves less than that.
    """
    return any(not name.removeprefix(".").startswith(_KEY) for name in _others(path))


def is_leftover(path: Path) -> bool:
    """Whether this folder holds nothing of value: it is what a failed create left."""
    return path.is_dir() and not path.is_symlink() and not _others(path)


def _others(path: Path) -> set[str]:
    try:
        names = {entry.name for entry in path.iterdir()}
    except (FileNotFoundError, NotADirectoryError):
        return set()
    half = {name for name in names if is_part(name) or (name.startswith(".") and name.endswith(".running"))}
    return names - _BARE - half - {name for name in names if name.startswith("base-")}


def removed(path: Path) -> Path:
    """The name of a folder during its removal."""
    return path.with_name(f".{path.name}.removed")


ASIDE = ".aside"


def aside(path: Path) -> Path:
    """The name of a folder while a new instance is made in its place; see :mod:`ovtasks.instance.aside`."""
    return path.with_name(f".{path.name}{ASIDE}")


@contextlib.contextmanager
def sockets_folder(path: Path) -> Iterator[None]:
    """Make the folder for sockets and keep it inside the block: while a VM starts, nobody listens there yet.

    ``ov gc`` removes only folders that are :func:`unkept`.

    A reboot may have emptied ``/run`` or ``/tmp``.

    :raises OvError: it cannot be made, or belongs to another user, who could put sockets of their own there.
    """
    held = -1
    while held < 0:
        _make_sockets(path)
        held = _keep(path, fcntl.LOCK_SH)
    try:
        yield
    finally:
        os.close(held)


@contextlib.contextmanager
def unkept(path: Path) -> Iterator[bool]:
    """Whether nobody keeps this folder for sockets; inside the block no VM begins to."""
    try:
        held = _keep(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        yield False
        return
    try:
        yield held >= 0
    finally:
        if held >= 0:
            os.close(held)


def _keep(path: Path, how: int) -> int:
    """A descriptor of the folder, locked; -1 if somebody removed it before we had the lock."""
    try:
        held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return -1
    try:
        fcntl.flock(held, how)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(held), path.lstat()):
                return held
    except BaseException:
        os.close(held)
        raise
    os.close(held)
    return -1


def _make_sockets(path: Path) -> None:
    for folder in (path.parent, path):
        with explaining(f"cannot make the folder {folder} for sockets", folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = folder.lstat()
        if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode):
            raise OvError(f"{folder} is not ours", hint="remove it: the sockets of a VM must lie in a folder of yours")
    path.chmod(0o700)
