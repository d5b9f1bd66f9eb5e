"""Layers that tests write, and a stand-in for a guest: the same scripts, run by a shell of this machine.

What layers do must lie below the test's own folder; so does the record. ``sync`` does nothing there.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ovtasks.guest.connection import Finished
from ovtasks.guest.exchange import StdStream, Take
from ovtasks.layers.events import GuestEvent, What
from ovtasks.layers.facts import SystemFacts
from ovtasks.layers.guest import LayerRun, apply, undo
from ovtasks.layers.plan import LayerPlan, compile_layer
from ovtasks.project.layer_file import read_layer
from ovtasks.project.layer_model import LayerSpec
from ovtasks.project.schema import Checker
from tests.support.programs import attempt

SHELLS = {"dash": ("dash",), "bash": ("bash", "--posix"), "busybox": ("busybox", "ash")}
"""Shells that are ``sh`` in some distribution."""
ME = pwd.getpwuid(os.geteuid())
FACTS = SystemFacts(
    "debian", "13", codename="trixie", user=ME.pw_name, uid=ME.pw_uid, gid=ME.pw_gid, home=ME.pw_dir, booted=False
)


@dataclass
class LocalShell:
    """A "guest" whose root is ``folder`` by agreement. ``edit`` changes a script before it runs."""

    folder: Path
    shell: tuple[str, ...] = ("sh",)
    edit: Callable[[str], str] = lambda text: text
    scripts: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        programs = self.folder / "bin"
        programs.mkdir(exist_ok=True)
        (programs / "sync").write_text("#!/bin/sh\n")
        (programs / "sync").chmod(0o755)
        self.how = LayerRun(root=os.geteuid() == 0, base=str(self.folder / "record"))
        self.events: list[GuestEvent] = []

    def run(
        self,
        script: str | bytes,
        *,
        root: bool = False,
        on_output: Take | None = None,
        check: Callable[[], None] | None = None,
    ) -> Finished:
        data = script if isinstance(script, bytes) else script.encode()
        self.scripts.append(data)
        text = self.edit(data.decode(errors="surrogateescape")).encode(errors="surrogateescape")
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        words = (*self.shell, "-c", 's=$(cat); exec </dev/null; (eval "$s")')
        done = attempt(*words, stdin=text, env={"PATH": path, "HOME": ME.pw_dir, "LANG": "C.UTF-8"}, timeout=120)
        out, err = (one.encode(errors="surrogateescape") for one in (done.stdout, done.stderr))
        if on_output is not None:
            on_output(out, StdStream.OUT)
        return Finished(done.returncode, out, err)

    def upload(
        self,
        content: bytes | Path,
        path: str,
        *,
        mode: int = 0o644,
        root: bool = False,
        check: Callable[[], None] | None = None,
    ) -> None:
        Path(path).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
        Path(path).chmod(mode)

    def apply(self, *plans: LayerPlan, remove: tuple[str, ...] = ()) -> list[tuple[What, str]]:
        """Put the layers in; what happened, without output."""
        self.events.clear()
        apply(
            self, plans, self.events.append, receipts={plan.name: "{}" for plan in plans}, remove=remove, how=self.how
        )
        return self.told()

    def undo(self, *layers: str) -> list[tuple[What, str]]:
        """Take the layers out; all must be restored."""
        self.events.clear()
        assert not undo(self, layers, self.events.append, how=self.how), self.events
        return self.told()

    def told(self) -> list[tuple[What, str]]:
        quiet = {What.OUTPUT, What.LAYER, What.DOING, What.UNDOING, What.WHOLE, What.REMOVED}
        return [(event.what, event.operation) for event in self.events if event.what not in quiet]

    def output(self) -> list[str]:
        return [event.text for event in self.events if event.what is What.OUTPUT]


def spec(folder: Path, text: str, name: str = "a", **files: str) -> LayerSpec:
    """The layer with this ``layer.yml``; ``files`` lie beside it (``__`` in a name is a dot)."""
    home = folder / "layers" / name
    home.mkdir(parents=True, exist_ok=True)
    (home / "layer.yml").write_text(text)
    for file, content in files.items():
        (home / file.replace("__", ".")).write_text(content)
    layer, errors = read_layer(home / "layer.yml", Checker())
    assert layer is not None and not errors, errors
    return layer


def plan(folder: Path, text: str, name: str = "a", *, facts: SystemFacts = FACTS, **files: str) -> LayerPlan:
    return compile_layer(spec(folder, text, name, **files), facts)


def print_of(folder: Path, *, times: bool = True) -> dict[str, tuple[object, ...]]:
    """All that is below a folder: kind, mode, owner, content, and the times of what is not a folder."""
    return {str(path.relative_to(folder)): _print(path, times) for path in _below(folder)}


def _below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _below(path)


def _print(path: Path, times: bool) -> tuple[object, ...]:
    at = path.lstat()
    facts: tuple[object, ...] = (stat.filemode(at.st_mode), at.st_uid, at.st_gid)
    if path.is_symlink():
        return (*facts, str(path.readlink()), at.st_mtime_ns if times else 0)
    return (*facts, path.read_bytes(), at.st_mtime_ns if times else 0) if path.is_file() else facts
