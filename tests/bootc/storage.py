"""Container images that are made once and kept for later sessions, and a copy of them for each room.

Kept in the user's cache, named by what they are made of: ``root-…`` (a storage with ``localhost/root``, the tree of
:mod:`tests.bootc.root`, up to a minute of work) and ``standin-…`` (that, and ``localhost/standin`` on top). A room gets
a storage of its own: layers by hard link, because podman never writes to them, and everything else as a copy.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from ovtasks.host.run import run
from tests.bootc import root
from tests.bootc.room import Room, open_room

STANDIN = Path(__file__).parent / "standin"
# Looked up when this module is imported, before a test's own directories are in the environment.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ovtasks-tests"


@contextlib.contextmanager
def standin_room() -> Iterator[Room]:
    """A room with the images ``localhost/root`` and ``localhost/standin``; gone at the end."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with _locked(CACHE / "lock"):
        _sweep()
        source = _standin()
        folder = Path(tempfile.mkdtemp(prefix="room-", dir=CACHE))
        owner = _lock(folder / "owner")
        copy_storage(source, folder)
    try:
        with open_room(folder) as room:
            yield room
    finally:
        run(["rm", "-rf", "--one-file-system", folder])
        os.close(owner)


def copy_storage(source: Path, target: Path) -> None:
    """Copy the storage of the room folder ``source`` to the room folder ``target``: half a second."""
    old, new = source / "containers/storage", target / "containers/storage"
    new.mkdir(parents=True)
    run(["cp", "-al", old / "overlay", new])
    run(["cp", "-a", *(path for path in old.iterdir() if path.name != "overlay"), new])


def _standin() -> Path:
    """The folder of the storage that rooms start with."""
    arguments = root.arguments(Path("root"), Path("overlay"), Path("finish"))
    root_key = _digest(*arguments, root.FINISH, *(word for item in root.FILES.items() for word in item))
    key = _digest(root_key, *(path.read_text(encoding="utf-8") for path in sorted(STANDIN.iterdir())))

    def make_root(folder: Path) -> None:
        scratch = folder / "scratch"
        scratch.mkdir()
        root.make_root(scratch / "root.tar")
        with open_room(folder) as room:
            room.podman("import", "--quiet", scratch / "root.tar", "localhost/root")
        shutil.rmtree(scratch)

    def make_standin(folder: Path) -> None:
        copy_storage(_kept("root", root_key, make_root), folder)
        with open_room(folder) as room:
            room.podman("build", "--quiet", "--tag", "localhost/standin", STANDIN)

    return _kept("standin", key, make_standin)


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def _kept(kind: str, key: str, fill: Callable[[Path], None]) -> Path:
    """The folder ``kind-key`` of the cache, filled when it is not there; then others of that kind go."""
    target = CACHE / f"{kind}-{key}"
    if not target.is_dir():
        building = CACHE / f"building-{kind}"
        if building.exists():
            shutil.rmtree(building)
        building.mkdir()
        fill(building)
        building.rename(target)
        for other in CACHE.glob(f"{kind}-*"):
            if other != target:
                shutil.rmtree(other)
    return target


def _sweep() -> None:
    """Remove the folders of rooms whose session was killed."""
    for folder in CACHE.glob("room-*"):
        with contextlib.suppress(BlockingIOError):
            owner = _lock(folder / "owner", wait=False)
            shutil.rmtree(folder)
            os.close(owner)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    fd = _lock(path)
    try:
        yield
    finally:
        os.close(fd)


def _lock(path: Path, *, wait: bool = True) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BaseException:
        os.close(fd)
        raise
    return fd
