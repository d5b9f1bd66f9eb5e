"""A folder that somebody else may use: nothing outside of it is reached, by no path, no link and no race."""

from __future__ import annotations

import errno
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ovtasks.host.confined import Confined

SECRET = b"not yours"
Use = Callable[[Confined, bytes], object]
USES: dict[str, Use] = {
    "read": lambda inside, path: inside.open(path, os.O_RDONLY),
    "write": lambda inside, path: inside.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    "list": lambda inside, path: inside.open_folder(path),
    "truncate": lambda inside, path: inside.truncate(path, 0),
    "mode": lambda inside, path: inside.set_mode(path, 0o777),
    "make": lambda inside, path: inside.make_folder(path + b"/new", 0o777),
    "remove": lambda inside, path: inside.remove(path + b"/secret"),
    "remove folder": lambda inside, path: inside.remove_folder(path + b"/folder"),
    "look": lambda inside, path: inside.look(path + b"/secret"),
    "read below": lambda inside, path: inside.open(path + b"/secret", os.O_RDONLY),
    "times": lambda inside, path: inside.set_times(path + b"/secret", 1, 1),
    "read link": lambda inside, path: inside.read_link(path + b"/link"),
    "symlink": lambda inside, path: inside.symlink(b"x", path + b"/new"),
    "take away": lambda inside, path: inside.rename(path + b"/secret", b"mine", replace=True),
    "put there": lambda inside, path: inside.rename(b"file", path + b"/secret", replace=True),
    "link from": lambda inside, path: inside.link(path + b"/secret", b"mine"),
    "link to": lambda inside, path: inside.link(b"file", path + b"/new"),
}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    (folder / "folder").mkdir(parents=True)
    (folder / "secret").write_bytes(SECRET)
    (folder / "secret").chmod(0o600)
    os.utime(folder / "secret", (5, 5))
    (folder / "link").symlink_to("secret")
    return folder


@pytest.fixture
def folder(tmp_path: Path, outside: Path) -> Path:
    """With ways out in it: links to a folder and a file, absolute and relative, and through one another."""
    folder = tmp_path / "shared"
    (folder / "sub").mkdir(parents=True)
    (folder / "file").write_bytes(b"ours")
    for name, target in (
        ("absolute", outside),
        ("relative", Path("../outside")),
        ("secret", outside / "secret"),
        ("up", Path("..")),
        ("sub/twice", Path("../absolute")),
        ("proc", Path("/proc/self/root")),
    ):
        (folder / name).symlink_to(target)
    return folder


@pytest.fixture
def inside(folder: Path) -> Iterator[Confined]:
    confined = Confined(folder)
    yield confined
    confined.close()


def everything(folder: Path) -> dict[str, tuple[int, float, bytes | None]]:
    """Mode, time and content of all that is there."""
    found = {}
    for path in sorted(folder.rglob("*")):
        now = path.lstat()
        found[path.name] = (now.st_mode, now.st_mtime, path.read_bytes() if path.is_file() else None)
    return found


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_no_path_leads_out(use: Use, inside: Confined, outside: Path, folder: Path) -> None:
    before = everything(outside)
    ways = [b"absolute", b"relative", b"sub/twice", b"up/outside", b"../outside", b"sub/../../outside", b"/../outside"]
    ways += [os.fsencode(f"proc{outside}"), b"absolute/", b"./absolute/.", b"secret", b".."]
    for way in ways:
        with pytest.raises(OSError):
            use(inside, way)
    with pytest.raises(OSError):
        use(inside, os.fsencode(outside))  # an absolute path means one in the folder
    assert everything(outside) == before
    assert not (folder / "mine").exists() and (folder / "file").read_bytes() == b"ours"


def test_links_are_things_of_their_own(inside: Confined, folder: Path, outside: Path) -> None:
    before = everything(outside)
    assert stat.S_ISLNK(inside.look(b"secret").st_mode)
    assert inside.read_link(b"/absolute") == os.fsencode(outside)
    inside.set_times(b"secret", 7, 8)
    assert (folder / "secret").lstat().st_mtime == 8
    inside.link(b"secret", b"sub/same")
    inside.rename(b"secret", b"sub/other", replace=False)
    inside.remove(b"sub/other")
    inside.symlink(os.fsencode(outside / "secret"), b"sub/made")
    with pytest.raises(OSError):
        inside.open(b"sub/made", os.O_RDONLY)
    assert sorted(path.name for path in (folder / "sub").iterdir()) == ["made", "same", "twice"]
    assert everything(outside) == before


def test_what_it_is_for(inside: Confined, folder: Path) -> None:
    fd = inside.open(b"/sub/new", os.O_RDWR | os.O_CREAT, 0o6755)
    os.write(fd, b"hello")
    os.close(fd)
    assert stat.S_IMODE((folder / "sub/new").stat().st_mode) & 0o7000 == 0
    for flags in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):
        fd = inside.open(b"sub/new", flags)
        assert os.read(fd, 10) == b"hello"
        os.close(fd)
    with pytest.raises(FileExistsError):
        inside.open(b"sub/new", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    inside.truncate(b"sub/new", 2)
    inside.set_mode(b"sub/new", 0o6711)
    assert stat.S_IMODE(inside.look(b"sub/new").st_mode) == 0o711, "a file gets no set-ID bits"
    (folder / "sub").chmod(0o2755)
    inside.set_mode(b"sub", 0o4700)
    assert stat.S_IMODE(inside.look(b"sub").st_mode) == 0o2700, "a folder keeps its own"
    inside.link(b"sub/new", b"twin")
    inside.make_folder(b"a", 0o777)
    with pytest.raises(FileExistsError):
        inside.rename(b"twin", b"file", replace=False)
    inside.rename(b"twin", b"file", replace=True)
    assert (folder / "file").read_bytes() == b"he"
    inside.remove_folder(b"a")
    assert inside.room().f_bsize > 0


@pytest.mark.parametrize("way", [b"", b"/", b"."])
def test_the_folder_itself_stays(way: bytes, inside: Confined) -> None:
    assert stat.S_ISDIR(inside.look(way).st_mode)
    os.close(inside.open_folder(way))
    for use in (inside.remove_folder, inside.remove):
        with pytest.raises(PermissionError):
            use(way)
    with pytest.raises(PermissionError):
        inside.rename(way, b"a", replace=True)


def test_only_files_are_opened(inside: Confined, folder: Path) -> None:
    """A pipe would hold us up, and a device is the host's own."""
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(folder / "socket"))
        for name in (b"pipe", b"socket"):
            for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_CREAT):
                with pytest.raises(PermissionError):
                    inside.open(name, flags)
    with pytest.raises(IsADirectoryError):
        inside.open(b"sub", os.O_RDONLY)


@pytest.mark.root
def test_no_device_is_opened(inside: Confined, folder: Path) -> None:
    os.mknod(folder / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with pytest.raises(PermissionError):
        inside.open(b"null", os.O_RDWR)


@pytest.mark.parametrize(
    "use", [name for name in USES if name not in {"read", "list", "look", "read below", "read link"}]
)
def test_for_reading(use: str, folder: Path) -> None:
    (folder / "sub/folder").mkdir()
    (folder / "sub/secret").write_bytes(b"in")
    before = everything(folder)
    confined = Confined(folder, read_only=True)
    path = b"file" if use in {"write", "truncate", "mode"} else b"sub"
    with pytest.raises(PermissionError):
        USES[use](confined, path)
    fd = confined.open(b"file", os.O_RDONLY)
    with pytest.raises(OSError) as caught:
        os.write(fd, b"x")
    assert caught.value.errno == errno.EBADF
    os.close(fd)
    confined.close()
    assert everything(folder) == before


def test_a_race_is_lost(inside: Confined, folder: Path, outside: Path) -> None:
    """Somebody swaps a folder and a link all the time; a file and a link, too."""
    (folder / "real").mkdir()
    (folder / "real/secret").write_bytes(b"ours")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (folder / "real").rename(folder / "way")
            (folder / "way").rename(folder / "real")
            (folder / "way").symlink_to(outside)
            (folder / "way").unlink()

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen: set[bytes | int | None] = set()
    try:
        for _ in range(20_000):
            try:
                fd = inside.open(b"way/secret", os.O_RDWR | os.O_CREAT)
            except OSError as e:
                seen.add(e.errno)
                continue
            seen.add(os.read(fd, 20))
            os.close(fd)
    finally:
        stop.set()
        swapper.join()
    assert SECRET not in seen and seen <= {b"ours", b"", errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
    assert (outside / "secret").read_bytes() == SECRET


def test_a_folder_that_moves(inside: Confined, folder: Path) -> None:
    """It was opened once; what takes its place is another."""
    folder.rename(folder.with_name("moved"))
    folder.mkdir()
    (folder / "file").write_bytes(b"other")
    fd = inside.open(b"file", os.O_RDONLY)
    assert os.read(fd, 10) == b"ours"
    os.close(fd)
