"""What a run of the tests makes outside its own folders, written down before it is made, and undone when the run ends.

Each run has a journal, whose lock it holds. Tests undo what they made; when a signal comes, pytest's teardown does that
(tests/support/ending.py). What is left all the same is undone from the journal: at the end of the run, or, after a
SIGKILL, by the next run, which finds a journal that nobody holds.

A process belongs to a run when its environment, its command line or a mount of its own names the journal or a folder
that is written down there.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support.programs import FailedError, attempt, call

VARIABLE = "OV_TEST_RUN"
"""Environment variable: the run's folder. Programs that tests start inherit it."""
JOURNALS = Path(tempfile.gettempdir()) / f"ov-tests-{os.geteuid()}"
SECONDS = 10.0


class Run:
    """The journal of one run of pytest, with its lock."""

    def __init__(self) -> None:
        JOURNALS.mkdir(mode=0o711, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="", dir=JOURNALS))
        self.folder.chmod(0o711)
        self.lock = os.open(self.folder / "journal", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        scratch = self.folder / "t"
        scratch.mkdir()
        scratch.chmod(0o1777)
        os.environ[VARIABLE] = str(self.folder)
        os.environ["TMPDIR"] = str(scratch)
        tempfile.tempdir = None  # look again

    def noted(self, kind: str) -> list[str]:
        """The names of that kind."""
        return [entry["name"] for entry in _entries(self.folder / "journal") if entry["kind"] == kind]

    def end(self) -> list[str]:
        """Undo what is left, and close the journal; says what it was."""
        done = undo(self.folder)
        os.close(self.lock)
        return done


def note(kind: str, name: str | Path, **more: object) -> None:
    """Write down what is about to be made, or a file's state before it is changed."""
    folder = os.environ.get(VARIABLE)
    if folder is None:  # a program of the tests, run without pytest
        return
    with (Path(folder) / "journal").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"kind": kind, "name": str(name), **more}) + "\n")


def done(*names: str | Path) -> None:
    """What was noted under these names is as it was before; from now on it may be another run's."""
    for name in names:
        note("done", name)


def note_file(path: Path) -> None:
    """Write down a file's content and mode, or that there is no such file or folder."""
    if path.is_file():
        content = base64.b64encode(path.read_bytes()).decode()
        note("file", path, content=content, mode=path.stat().st_mode & 0o7777)
    elif not path.exists():
        note("absent", path)


def note_mode(path: Path) -> None:
    """Write down a file's mode alone."""
    note("mode", path, mode=path.stat().st_mode & 0o7777)


@contextlib.contextmanager
def folder(prefix: str, parent: str | Path) -> Iterator[Path]:
    """A temporary folder at a certain place, gone at the end."""
    made = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    note("folder", made)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def sweep() -> list[str]:
    """Undo what runs left that were killed; says what it was."""
    done = []
    for journal in sorted(JOURNALS.glob("*/journal")):
        with contextlib.suppress(OSError), journal.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # a run that is under way
                continue
            done += undo(journal.parent)
    return done


def undo(run: Path) -> list[str]:
    """Undo all that the journal of ``run`` has, the newest first, and remove it; says what there was to undo."""
    entries = _entries(run / "journal")
    places = [str(run), *(entry["name"] for entry in entries if entry["kind"] in {"folder", "place"})]
    done = [*_end_processes(places), *_unmount(places), *_detach(places)]
    for entry in reversed(entries):
        with contextlib.suppress(OSError, FailedError):
            if _undo_one(entry):
                done.append(f"{entry['kind']} {entry['name']}")
    done += [f"file {path}" for path in (run / "t").glob("*")] if (run / "t").is_dir() else []
    shutil.rmtree(run, ignore_errors=True)
    return done


def _entries(journal: Path) -> list[dict[str, str]]:
    """What was noted and is not done."""
    entries: list[dict[str, str]] = []
    for line in journal.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):  # cut by a SIGKILL
            entry = json.loads(line)
            if entry["kind"] == "done":
                entries = [one for one in entries if one["name"] != entry["name"]]
            else:
                entries.append(entry)
    return entries


def _undo_one(entry: dict[str, str]) -> bool:
    """Whether there was something to undo."""
    path = Path(entry["name"])
    match entry["kind"]:
        case "folder" if path.exists():
            shutil.rmtree(path, ignore_errors=True)
        case "absent" if path.exists():
            path.rmdir() if path.is_dir() else path.unlink()
        case "file" if not path.exists() or path.read_bytes() != base64.b64decode(entry["content"]):
            path.write_bytes(base64.b64decode(entry["content"]))
            path.chmod(int(entry["mode"]))
        case "mode" if path.exists() and path.stat().st_mode & 0o7777 != int(entry["mode"]):
            path.chmod(int(entry["mode"]))
        case "link" if Path("/sys/class/net", entry["name"]).exists():
            call("ip", "link", "del", entry["name"])
        case "user" if _has_user(entry["name"]):
            end_user(entry["name"])
        case _:
            return False
    return True


def _has_user(name: str) -> bool:
    return any(line.split(":")[0] == name for line in Path("/etc/passwd").read_text(encoding="utf-8").splitlines())


def end_user(name: str) -> None:
    """Processes first: userdel refuses a user who has some."""
    import pwd

    uid = pwd.getpwnam(name).pw_uid
    _until_none(lambda: [pid for pid in _pids() if _uid(pid) == uid])
    call("userdel", name)


def _uid(pid: int) -> int | None:
    try:
        return Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return None


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _ancestors() -> set[int]:
    """We ourselves, and who started us."""
    found, pid = set(), os.getpid()
    while pid > 0:
        found.add(pid)
        try:
            pid = int(
                Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1]
            )
        except OSError:
            break
    return found


def _belongs(pid: int, place: re.Pattern[bytes], mounts: Path) -> bool:
    proc = Path(f"/proc/{pid}")
    try:
        texts = [(proc / "environ").read_bytes(), (proc / "cmdline").read_bytes()]
        if (proc / "ns/mnt").readlink() != mounts:
            texts.append((proc / "mountinfo").read_bytes())
    except OSError:
        return False
    return any(map(place.search, texts))


def _pattern(places: list[str]) -> re.Pattern[bytes]:
    """Any of the places as whole names: ``pytest-1`` is not ``pytest-12``, which is a run under way beside this one."""
    return re.compile(b"(?:" + b"|".join(re.escape(os.fsencode(place)) for place in places) + rb")(?![\w.-])")


def _end_processes(places: list[str]) -> list[str]:
    mounts, place, spared = Path("/proc/self/ns/mnt").readlink(), _pattern(places), _ancestors()
    return _until_none(lambda: [pid for pid in _pids() if pid not in spared and _belongs(pid, place, mounts)])


def _until_none(find: Callable[[], list[int]]) -> list[str]:
    """Kill what ``find`` finds until it finds nothing more; says what that was."""
    done: dict[int, str] = {}
    end = time.monotonic() + SECONDS
    while (pids := find()) and time.monotonic() < end:
        for pid in pids:
            with contextlib.suppress(OSError):
                done.setdefault(pid, Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip())
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    return [f"process {pid} {name}" for pid, name in done.items()]


def _unmount(places: list[str]) -> list[str]:
    done = []
    for line in reversed(Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()):
        mount = line.split()[4].encode().decode("unicode_escape")
        if any(mount.startswith(f"{place}/") for place in places) and _does("umount", "--lazy", mount):
            done.append(f"mount {mount}")
    return done


def _does(*argv: str) -> bool:
    return attempt(*argv).returncode == 0


def _detach(places: list[str]) -> list[str]:
    """Loop devices of files below the places; a file that is gone is still named, with a note after it."""
    done = []
    for device in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            backing = device.read_text(encoding="utf-8").strip()
            name = f"/dev/{device.parts[3]}"
            if any(backing.startswith(f"{place}/") for place in places) and _does("losetup", "--detach", name):
                done.append(f"loop device {name} of {backing}")
    return done
