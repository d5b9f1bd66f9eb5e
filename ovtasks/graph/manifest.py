"""The fast path: "nothing to do", answered from ``stat`` alone.

A run that found everything fresh leaves a manifest: every file that the answer depended on, with what ``stat`` said.
While all of them are the same, the answer is the same. Nothing is imported here but what Python itself starts with.
"""

import gc
import marshal
import os
import sys

from ovtasks import __version__

FOLDER = "output/.ov/manifest"
"""Below the project's root. The fast path serves the root only: elsewhere the printed paths would differ."""
ENVIRONMENT = (
    *("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "OV_PROJECT_DIR", "OV_VM_BACKEND"),
    *("CONTAINERS_STORAGE_CONF", "CONTAINERS_CONF", "STORAGE_DRIVER", "STORAGE_OPTS"),  # where podman keeps images
)
ABSENT = (-1, 0, 0)
CHUNK = 1500
"""So many files are worth another process: looking at them takes as long as a fork and a bit."""

Entry = tuple[str, int, int, int]


def file_name(words: list[str]) -> str | None:
    """The manifest's file for one command line; None when the words make no sensible file name."""
    name = "m" + "+".join(words).replace("%", "%25").replace("/", "%2F")
    return name if len(name) < 200 and "\0" not in name else None


def answer(words: list[str]) -> str | None:
    """What ``ov vm build WORDS`` would print when it had nothing to do; None: it has to be looked into."""
    name = file_name(words)
    if name is None:
        return None
    gc.disable()  # thousands of small tuples and no cycle: collecting costs as much as loading
    try:
        identity, variables, chunks, text = marshal.loads(_read(f"{FOLDER}/{name}"))
        if identity == _identity() and variables == _values(variables) and _unchanged(chunks):
            return str(text)
    except (OSError, ValueError, EOFError, TypeError):  # none, or a damaged one
        pass
    gc.enable()
    return None


def _read(path: str) -> bytes:
    """The content of a file that only we can have written: marshal trusts it. (A checkout's files are not 0600.)"""
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(file)
        if found.st_mode != 0o100600 or found.st_uid != os.geteuid() or found.st_nlink != 1:
            return b""
        return os.read(file, found.st_size)
    finally:
        os.close(file)


def _unchanged(chunks: list[bytes]) -> bool:
    """Compare, with the help of child processes when there is much to compare and more than one processor."""
    workers = max(1, min(len(os.sched_getaffinity(0)), len(chunks)))
    children = []
    for number in range(1, workers):
        child = os.fork()  # nothing but this thread runs yet
        if child == 0:
            code = 1
            try:
                code = 0 if all(map(_same, chunks[number::workers])) else 1
            finally:
                os._exit(code)
        children.append(child)
    same = all(map(_same, chunks[::workers]))
    for child in children:
        same &= os.waitpid(child, 0)[1] == 0
    return same


def _same(chunk: bytes) -> bool:
    stat = os.stat
    for path, size, mtime_ns, inode in marshal.loads(chunk):
        try:
            now = stat(path)
        except OSError:
            if size != -1:
                return False
        else:
            if now.st_mtime_ns != mtime_ns or now.st_size != size or now.st_ino != inode:
                return False
    return True


def _identity() -> tuple[object, ...]:
    environ = os.environ
    return (__version__, sys.version, os.getuid(), os.getcwd(), *[environ.get(name) for name in ENVIRONMENT])


def _values(names: tuple[str, ...] | dict[str, str | None]) -> dict[str, str | None]:
    return {name: os.environ.get(name) for name in names}


def look(path: str) -> Entry:
    """``path`` as it is now; a file that is not there must stay away for the manifest to hold."""
    try:
        now = os.stat(path)
    except OSError:
        return (path, *ABSENT)
    return (path, now.st_size, now.st_mtime_ns, now.st_ino)


def dump(entries: list[Entry], text: str, variables: tuple[str, ...] = ()) -> bytes:
    """A manifest's content; ``variables`` are those of the environment that the project's files name."""
    chunks = [marshal.dumps(entries[start : start + CHUNK]) for start in range(0, len(entries), CHUNK)]
    content: tuple[object, ...] = (_identity(), _values(variables), chunks, text)
    return marshal.dumps(content)  # type: ignore[arg-type]
