"""The fast path: "nothing to do", answered from ``stat`` alone.

A run that found everything fresh leaves a manifest: every file that the answer depends on, with the result of
``stat``. As long as all of them are the same, so is the answer. Only modules are imported here that Python itself loads
at its start.
"""

import gc
import marshal
import os
import sys

from ovtasks import __version__

FOLDER = "output/.ov/manifest"
"""Below the project's root."""
ROOT_FILES = ("vms.yml", "vm.yml", "overthink.yml")
LESSER_FILES = ("images.yml", "image.yml", "deploy.yml")
"""As in :mod:`ovtasks.project.places`, which takes too long to import here."""
ENVIRONMENT = ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "OV_VM_BACKEND", "PYTHONPATH")
ABSENT = (-1, 0, 0, 0)
CHUNK = 1500
"""Files per process: looking at so many takes a little longer than a fork."""
launched: list[str] | None = None
"""The words given to ``doitw``, if doit runs for it. Only ``doitw`` reads the manifests of doit's goals."""
OV, DOIT, INSTANCE = "ov ", "doit ", "instance "
"""Stand before the words of a command line in the manifest's name: ``ov vm build`` and doit print different things.
With the last one, the words name an instance, and the lines are what a create would change of it."""
USELESS = (OSError, ValueError, EOFError, TypeError, OverflowError, MemoryError)
"""What reading a missing or damaged manifest raises."""

ManifestEntry = tuple[str, int, int, int, int]
"""Path, relative to the root if below it; size in bytes, mtime in ns, inode, ctime in ns.

ctime also reveals another mode or owner, and times that were set back after a change."""


class Asked:
    """``ov … vm build WORDS``: the words, where the project is looked for, and ``-q``."""

    def __init__(self, words: list[str], folder: str, quiet: bool) -> None:
        self.words = words
        self.folder = folder
        self.quiet = quiet
        self.warnings = ""


def asked(words: list[str]) -> Asked | None:
    """What the words after ``ov`` ask for; None if that is not a build, or in a form that is not for the fast path."""
    folder, quiet, at = os.environ.get("OV_PROJECT_DIR", "."), False, 0
    while words[at : at + 1] and words[at].startswith("-"):
        word = words[at]
        if word in {"-q", "--quiet"}:
            quiet = True
        elif word == "-C" and at + 1 < len(words) and not words[at + 1].startswith("-"):
            at += 1
            folder = words[at]
        elif word.startswith("-C") and word[2:3] not in {"", "="}:
            folder = word[2:]
        else:
            return None
        at += 1
    return Asked(words[at + 2 :], folder or ".", quiet) if words[at : at + 2] == ["vm", "build"] else None


def answer(wanted: Asked) -> str | None:
    """The paths that ``ov vm build`` prints if there is nothing to do; None if that is not certain.

    With mistakes elsewhere in the project, ``wanted.warnings`` are to be printed, too.
    """
    try:
        root = find_root(wanted.folder)
        found = _hold(root, OV, wanted.words) if root not in (None, "/") else None
        if root is None or found is None:
            return None
        wanted.warnings = "".join(f"{text}\n" for text in found[1])
        return shown(found[0], root, os.getcwd())
    except USELESS:  # the folder is gone
        return None


def built(folder: str, words: list[str]) -> tuple[str, list[str]] | None:
    """The root of the project around ``folder``, and the artifacts of ``ov vm build WORDS``, if there is nothing to do.

    Their paths are relative to the root, if they are below it. None: that is not certain.
    """
    try:
        root = find_root(folder)
        found = _hold(root, OV, words) if root not in (None, "/") else None
        return None if root is None or found is None else (root, found[0])
    except USELESS:  # nothing is there, or it is damaged
        return None


def pending(folder: str, words: list[str]) -> list[str] | None:
    """What a create would change of the instance that ``words`` name, in the project around ``folder``; None: that is
    not certain."""
    try:
        root = find_root(folder)
        found = _hold(root, INSTANCE, words) if root not in (None, "/") else None
        return None if found is None else found[0]
    except USELESS:
        return None


def doit_answer(words: list[str]) -> tuple[str, str] | None:
    """What ``doit WORDS`` prints in this folder if there is nothing to do, and its warnings; None: not certain."""
    try:
        found = _hold(os.getcwd(), DOIT, words)
        return None if found is None else ("".join(f"{x}\n" for x in found[0]), "".join(f"{x}\n" for x in found[1]))
    except USELESS:
        return None


def find_root(start: str) -> str | None:
    """The nearest folder from ``start`` upwards that holds a project; None if there is none.

    :raises OSError: a folder on the way cannot be read.
    """
    start = os.path.realpath(start)
    return _holding(start, ROOT_FILES) or _holding(start, LESSER_FILES)


def _holding(folder: str, names: tuple[str, ...]) -> str | None:
    while True:
        for name in names:
            try:
                mode = os.stat(f"{folder}/{name}").st_mode
            except (FileNotFoundError, NotADirectoryError):
                continue
            if mode & 0o170000 == 0o100000:  # a file
                return folder
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent


def shown(names: list[str], root: str, here: str) -> str:
    """Lines with paths as a person in the folder ``here`` writes them: relative if below it, else absolute."""
    if here.startswith(f"{root}/output"):
        paths = [os.path.relpath(f"{root}/{name}", here) for name in names]
        return "".join(f"{root}/{n}\n" if p.startswith("..") else f"{p}\n" for n, p in zip(names, paths, strict=True))
    prefix = f"{root}/"
    if f"{root}/".startswith(f"{here.rstrip('/')}/") and not root[len(here) :].lstrip("/").startswith(".."):
        prefix = prefix[len(here.rstrip("/")) + 1 :]
    return "".join(f"{prefix}{name}\n" for name in names)


def file_name(kind: str, words: list[str]) -> str | None:
    """The manifest's file for a command line; None if the words make no sensible file name."""
    name = kind + "+".join(word.replace("%", "%25").replace("/", "%2F").replace("+", "%2B") for word in words)
    return name if len(os.fsencode(name)) < 200 and "\0" not in name else None


def _hold(root: str, kind: str, words: list[str]) -> tuple[list[str], list[str]] | None:
    """The lines and warnings noted for a command line, if nothing changed that they depend on; else None."""
    name = file_name(kind, words)
    if name is None:
        return None
    gc.disable()  # thousands of small tuples without a cycle: collecting takes as long as loading
    try:
        identity, variables, chunks, lines, warnings = _content(f"{root}/{FOLDER}/{name}")
        if identity == _identity(root) and variables == _values(variables) and _unchanged(root, chunks):
            return [str(line) for line in lines], [str(text) for text in warnings]
    finally:
        gc.enable()
    return None


def _content(path: str) -> tuple[tuple[object, ...], dict[str, str | None], list[bytes], list[str], list[str]]:
    identity, variables, chunks, lines, warnings = marshal.loads(private(path))
    return identity, variables, chunks, lines, warnings


def private(path: str) -> bytes:
    """The bytes of our own file that nobody else can write: they are for marshal, which is unsafe for others' data.

    :raises OSError, ValueError: it is not such a file; see :data:`USELESS`.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        now = os.fstat(fd)
        if now.st_uid != os.geteuid() or now.st_mode != 0o100600 or now.st_nlink != 1:
            raise ValueError
        return file.read()


def noted(path: str) -> list[ManifestEntry] | None:
    """The files that a manifest depends on; None if it is of another version or user, or damaged.

    :raises FileNotFoundError: it has just been removed.
    """
    try:
        return [entry for chunk in _content(path)[2] for entry in marshal.loads(chunk)]
    except FileNotFoundError:
        raise
    except USELESS:
        return None


def _unchanged(root: str, chunks: list[bytes]) -> bool:
    """Whether all files are unchanged.

    Many files are compared in child processes, if there is more than one processor.
    """
    folder = None if root == os.getcwd() else os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    workers = max(1, min(len(os.sched_getaffinity(0)), len(chunks)))
    children = []
    for number in range(1, workers):
        child = os.fork()  # no other thread runs yet
        if child == 0:
            code = 1
            try:
                code = 0 if all(_same(chunk, folder) for chunk in chunks[number::workers]) else 1
            finally:
                os._exit(code)
        children.append(child)
    same = all(_same(chunk, folder) for chunk in chunks[::workers])
    for child in children:
        same &= os.waitpid(child, 0)[1] == 0
    if folder is not None:
        os.close(folder)
    return same


def _same(chunk: bytes, folder: int | None) -> bool:
    stat = os.stat
    for path, size, mtime_ns, inode, ctime_ns in marshal.loads(chunk):
        try:
            now = stat(path, dir_fd=folder)
        except OSError:
            if size != -1:
                return False
        else:
            if now.st_ctime_ns != ctime_ns or now.st_mtime_ns != mtime_ns or now.st_size != size or now.st_ino != inode:
                return False
    return True


def _identity(root: str) -> tuple[object, ...]:
    environ = os.environ
    who = (os.getuid(), os.geteuid())
    return (__version__, __file__, sys.version, who, root, *[environ.get(name) for name in ENVIRONMENT])


def _values(names: tuple[str, ...] | dict[str, str | None]) -> dict[str, str | None]:
    return {name: os.environ.get(name) for name in names}


def entry_of(path: str) -> ManifestEntry:
    """``path`` as it is now. A manifest holds only as long as missing files stay missing."""
    try:
        now = os.stat(path)
    except OSError:
        return (path, *ABSENT)
    return (path, now.st_size, now.st_mtime_ns, now.st_ino, now.st_ctime_ns)


def dump(
    root: str,
    entries: list[ManifestEntry],
    lines: list[str],
    variables: tuple[str, ...] = (),
    warnings: tuple[str, ...] = (),
) -> bytes:
    """A manifest's content. ``variables`` are environment variables that the project's files or a source use.

    ``warnings`` are about mistakes in the project that the goal does not depend on.
    """
    chunks = [marshal.dumps(entries[start : start + CHUNK]) for start in range(0, len(entries), CHUNK)]
    content: tuple[object, ...] = (_identity(root), _values(variables), chunks, lines, [*warnings])
    return marshal.dumps(content)  # type: ignore[arg-type]
