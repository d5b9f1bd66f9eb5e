"""A throw-away root: this machine's programs, and an /etc and /var of its own, so that a package manager finds nothing
installed but what a test puts there. What test packages bring lies in /opt."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ovtasks.errors import Where
from ovtasks.layers.events import EventReader, GuestEvent, What
from ovtasks.layers.facts import SystemFacts
from ovtasks.layers.plan import LayerPlan, compile_layer, complete
from ovtasks.layers.script import apply_script, look_script, undo_script
from ovtasks.project.layer_model import LayerPart, LayerSpec
from ovtasks.values.jsonvalue import Json
from tests.support.processes import Process, start
from tests.support.programs import attempt

HERE = Where("layers/a/layer.yml", 1, 1)
TOKEN = "0123456789abcdef"
_COPIED = (
    "alternatives",
    "group",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "nsswitch.conf",
    "passwd",
    "os-release",
)
_ENTER = """
mount --rbind /usr "$1/usr" && mount -o remount,ro,bind "$1/usr"
mount -t proc proc "$1/proc" || mount --rbind /proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmp "$1/run"
root=$1
shift
exec chroot "$root" env -i PATH=/opt/bin:/usr/sbin:/usr/bin HOME=/root TERM=dumb "$@"
"""


def layer(name: str, tag: str = "", **section: Json) -> LayerSpec:
    """A layer with one section: the list at the top, or that of a distribution."""
    return LayerSpec(name, Path("layers") / name, HERE, sections={tag: LayerPart(section, HERE)})


@dataclass
class Shelf:
    """Downloads are files of this folder, by the last part of their URL."""

    folder: Path
    said: list[str] = field(default_factory=list)

    def download(self, url: str, digest: str | None, where: Where) -> Path:
        return self.folder / url.rpartition("/")[2]

    def say(self, line: str) -> None:
        self.said.append(line)


@dataclass
class Told:
    """What a script said: its events but for the output, the output, and its status."""

    events: list[GuestEvent]
    output: str
    status: int

    @property
    def whats(self) -> list[What]:
        return [one.what for one in self.events]


@dataclass
class Root:
    """The root at ``path``, as a system with these ``facts``."""

    path: Path
    facts: SystemFacts
    shelf: Shelf

    def words(self, *argv: str) -> list[str]:
        """The command line that runs a command in the root. Its processes die with it."""
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL"]
        return [*namespaces, "sh", "-euc", _ENTER, "sh", str(self.path), *argv]

    def sh(self, script: str | bytes, status: int | None = 0) -> str:
        """Run a script; what it says, stderr included, must end with this status (None: any)."""
        done = attempt(*self.words("sh", "-c", "exec sh -s 2>&1"), stdin=script)
        assert status is None or done.returncode == status, f"{done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def answers(self, *scripts: str) -> tuple[str, ...]:
        """What each of the scripts says."""
        return tuple(self.sh(script) for script in scripts)

    def start(self, script: str) -> Process:
        """Start a script that does not end by itself."""
        return start(*self.words("sh", "-c", script))

    def plan(self, one: LayerSpec) -> LayerPlan:
        return complete(compile_layer(one, self.facts), self.shelf)

    def apply(self, *layers: LayerSpec, remove: Sequence[str] = (), good: bool = True) -> Told:
        """Apply layers; ``good``: all must go well."""
        return self.tell(apply_script([self.plan(one) for one in layers], TOKEN, remove=remove), good)

    def undo(self, *names: str) -> Told:
        """Undo layers; all must go well."""
        return self.tell(undo_script(names, TOKEN), True)

    def look(self, *names: str) -> Told:
        return self.tell(look_script(names, TOKEN), True)

    def tell(self, script: bytes, good: bool) -> Told:
        done = attempt(*self.words("sh", "-s"), stdin=script)
        events: list[GuestEvent] = []
        reader = EventReader(TOKEN, events.append)
        reader.feed(done.stdout.encode(errors="surrogateescape"))
        reader.close()
        output = "\n".join(one.text for one in events if one.what is What.OUTPUT) + done.stderr
        assert not good or done.returncode == 0, output
        return Told([one for one in events if one.what is not What.OUTPUT], output, done.returncode)


def make_root(folder: Path, facts: SystemFacts) -> Root:
    """A new root in ``folder``; downloads come from its folder ``shelf``."""
    path = folder / "root"
    for name in ("usr", "etc", "var/log", "var/lib", "var/cache", "proc", "dev", "run", "opt", "srv", "root"):
        (path / name).mkdir(parents=True)
    (path / "tmp").mkdir(mode=0o1777)
    for name in ("bin", "sbin", "lib", "lib64"):
        (path / name).symlink_to(f"usr/{name}")
    for name in _COPIED:
        source = Path("/etc") / name
        if source.is_dir():
            shutil.copytree(source, path / "etc" / name, symlinks=True)
        elif source.exists():
            shutil.copy(source, path / "etc" / name)
    shelf = folder / "shelf"
    shelf.mkdir()
    return Root(path, facts, Shelf(shelf))


@contextmanager
def killed_at(root: Root, script: bytes, here: Callable[[], bool]) -> Iterator[None]:
    """Start a script, and kill all of its processes as soon as ``here`` is true."""
    path = root.path / "root/script"
    path.write_bytes(script)
    process = root.start("exec sh /root/script")
    try:
        while not here():
            assert process.poll() is None, "it ended before that"
    finally:
        process.kill()
        process.communicate()
    yield
