"""A user's whole world in one folder: project, caches, VMs and settings as a real run left them, and back to that."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.processes import talk
from tests.support.server import Site
from tests.support.workbench import DODO

SECONDS = 60.0
"""A run that takes longer hangs."""
IMAGE = "disk.qcow2"
PORT = 18080 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Each worker has a world of its own, and a machine's ports are all the worlds'."""


@dataclass(frozen=True)
class Done:
    """One run of ``ov`` or ``doit``; ``code`` is None when it did not end in time."""

    words: tuple[str, ...]
    code: int | None
    out: str
    err: str

    def __str__(self) -> str:
        return f"{' '.join(self.words)}: {self.code}\n{self.out}{self.err}"


@dataclass(frozen=True)
class Kept:
    """One file, folder or link of the world as it was. ``same`` is the first path of all that are one file."""

    mode: int
    content: bytes
    mtime_ns: int
    same: str

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)


@dataclass
class World:
    """``root`` holds all of it; ``site`` serves the image."""

    root: Path
    site: Site
    kept: dict[str, Kept] = field(default_factory=dict)
    _seen: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        home = self.root / "home"
        drop = {"OV_VM_BACKEND", "OV_PROJECT_DIR", "PYTEST_CURRENT_TEST"}
        self.env = {key: value for key, value in os.environ.items() if key not in drop}
        self.env |= {"HOME": str(home), "OV_VM_ACCEL": "tcg", "TMPDIR": str(self.root / "tmp")}
        self.env |= {f"XDG_{kind.upper()}_HOME": str(self.root / kind) for kind in ("cache", "data", "config")}
        # root's right to read everything would hide what an ordinary user meets
        words = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
        words += [sys.executable, "-m", "tests.damage.zygote"]
        self._zygote = talk(*words, cwd=Path(__file__).parents[2])

    @property
    def project(self) -> Path:
        return self.root / "project"

    def close(self) -> None:
        """End the process that forks."""
        assert self._zygote.stdin is not None and self._zygote.stdout is not None
        self._zygote.stdin.close()
        self._zygote.wait(SECONDS)
        self._zygote.stdout.close()

    def run(self, *words: str, program: str = "ov", cwd: Path | None = None) -> Done:
        """Run ``ov WORDS`` (or ``doit``) in the project."""
        assert self._zygote.stdin is not None and self._zygote.stdout is not None
        out, err = self.root.parent / "out", self.root.parent / "err"
        job: dict[str, Any] = {"program": program, "words": words, "cwd": str(cwd or self.project), "env": self.env}
        job |= {"out": str(out), "err": str(err), "seconds": SECONDS}
        self._zygote.stdin.write(json.dumps(job) + "\n")
        self._zygote.stdin.flush()
        code = json.loads(self._zygote.stdout.readline())
        return Done((program, *words), code, out.read_text("utf-8", "replace"), err.read_text("utf-8", "replace"))

    def need(self, *words: str, program: str = "ov") -> Done:
        """A run that must succeed."""
        done = self.run(*words, program=program)
        assert done.code == 0, done
        return done

    def build(self) -> None:
        """Make everything once, twice where only a second run leaves something."""
        for folder in (self.project, self.root / "home", self.root / "tmp"):
            folder.mkdir(parents=True)
        source = {"kind": "cloud_image", "url": f"{self.site.url}/{IMAGE}"}
        forwards = [f"{PORT}:80"]
        machine = {"ssh": {"key_source": "generate"}, "disk_size": "32M", "network": {"port_forwards": forwards}}
        vm = {"source": source, "cloud_init": {"packages": ["nginx"]}, **machine}
        (self.project / "vms.yml").write_text(json.dumps({"vms": {"a": vm}}, indent=1))
        (self.project / "dodo.py").write_text(DODO)
        self.need("settings", "set", "vm.backend", "qemu")
        self.need("lock")
        self.need("vm", "build", "a")
        self.need("vm", "build", "a")
        self.need("build:a", program="doit")
        self.need("vm", "create", "a", "--no-start")
        self.need("vm", "create", "a", "--no-start")
        self.need("ssh-config", "--install")
        self.keep()

    def paths(self) -> Iterator[str]:
        """Everything in the world, relative to its root, folders before what is in them."""
        for folder, folders, files in os.walk(self.root):
            folders.sort()
            for name in sorted([*folders, *files]):
                yield str((Path(folder) / name).relative_to(self.root))

    def look(self) -> dict[str, Kept]:
        """Everything as it is now."""
        first: dict[int, str] = {}
        seen: dict[str, Kept] = {}
        for name in self.paths():
            found = (self.root / name).lstat()
            regular = stat.S_ISREG(found.st_mode)
            same = first.setdefault(found.st_ino, name) if regular else name
            content = (self.root / name).read_bytes() if regular else b""
            seen[name] = Kept(found.st_mode, content, found.st_mtime_ns, same)
        return seen

    def state(self, name: str) -> object:
        """What is at ``name``, to see whether it was changed."""
        try:
            found = (self.root / name).lstat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_mode, found.st_size

    def keep(self) -> None:
        """Remember everything as it is."""
        self.kept = self.look()
        self._seen = {name: _signature((self.root / name).lstat()) for name in self.kept}

    def restore(self) -> None:
        """Make everything as it was; only what differs is written."""
        now = {name: _signature((self.root / name).lstat()) for name in self.paths()}
        for name in sorted(now.keys() - self.kept.keys(), reverse=True):
            _remove(self.root / name)
        stale = {self.kept[name].same for name in self.kept if now.get(name) != self._seen[name]}
        touched = [name for name, kept in self.kept.items() if kept.same in stale]
        for name in touched:
            kept, path = self.kept[name], self.root / name
            if stat.S_ISDIR(kept.mode):
                if path.is_symlink() or not path.is_dir():
                    _remove(path)
                    path.mkdir()
            else:
                _remove(path)
                if kept.same != name:
                    os.link(self.root / kept.same, path)
                else:
                    path.write_bytes(kept.content)
        for name in reversed(touched):
            kept, path = self.kept[name], self.root / name
            path.chmod(stat.S_IMODE(kept.mode))
            os.utime(path, ns=(kept.mtime_ns, kept.mtime_ns))
        for name in self.kept:
            self._seen[name] = _signature((self.root / name).lstat())


def _signature(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_mode, found.st_size, found.st_mtime_ns, found.st_ino, found.st_nlink, found.st_uid)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.chmod(0o700)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
