"""The folder in which a container installs a disk, and how to clear it after anything was killed.

The order matters; every other order leaves something. First the container, which ends all processes in it. Then the
loop devices, which are found by their file as long as that exists. Then the files.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ovtasks.containers.diagnosis import diagnose
from ovtasks.containers.engine import Engine, Mode
from ovtasks.errors import OvError
from ovtasks.host.beneath import UnsafeError, make_folder
from ovtasks.host.files import write_atomic
from ovtasks.host.run import CommandError, run
from ovtasks.host.state import StateError, read_text, try_load_state
from ovtasks.values.jsonvalue import Json, state_text

LABEL = "ovtasks.install"
"""The label of every container that we start; its value is the scratch folder."""
SECONDS = 60.0
_DETACH_SECONDS = 10.0


@dataclass(frozen=True)
class Scratch:
    """A scratch folder. It holds one half-made disk, and a container sees it as ``/output``."""

    folder: Path

    @property
    def disk(self) -> Path:
        """The raw disk."""
        return self.folder / "disk.raw"

    @property
    def container_id(self) -> Path:
        """podman writes the container's ID here."""
        return self.folder / "container"

    @property
    def engine_file(self) -> Path:
        """Which engine runs the container, so that a later run can end it."""
        return self.folder / "engine.json"

    @property
    def label(self) -> str:
        """The label of the container that writes here."""
        return f"{LABEL}={self.folder}"

    @property
    def volume(self) -> str:
        """The value of ``podman --volume``. podman splits it at colons, so a path with one becomes ``.``, run in the
        folder.
        """
        return f"{'.' if ':' in str(self.folder) else self.folder}:/output"

    def prepare(self, engine: Engine, image: str = "") -> None:
        """Make the folder. The engine and ``image`` are recorded there before anything is started."""
        make_folder(self.folder)
        root = list(engine.root) if engine.root is not None else None
        known = {"mode": engine.mode, "words": engine.words, "root": root, "image": image}
        write_atomic(self.engine_file, state_text(known), mode=0o600)

    def engine(self) -> Engine | None:
        """The podman of the run that made the folder; None if nothing was started."""
        known = try_load_state(self.engine_file, private=True) or {}  # private: its words are run
        mode, words, root = known.get("mode"), _words(known.get("words")), _words(known.get("root"))
        if not isinstance(mode, str) or mode not in {*Mode} or not words:
            return None
        return Engine(Mode(mode), words, root)

    def image(self, engine: Engine) -> str | None:
        """An image with losetup in it: the one that made the loop devices; if that is gone, any other."""
        noted = str((try_load_state(self.engine_file, private=True) or {}).get("image", ""))
        if noted and engine.run("image", "exists", noted, check=False, timeout=SECONDS).returncode == 0:
            return noted
        return next(iter(engine.run("images", "--quiet", "--noheading", timeout=SECONDS).stdout.split()), None)

    def end_container(self) -> None:
        """Remove the container and all its processes, if there is one."""
        engine = self.engine()
        if engine is None:
            return
        for name in self._containers(engine):
            done = engine.run("rm", "--force", "--time", "0", name, check=False, timeout=SECONDS)
            if done.returncode != 0 and "no such container" not in done.stderr.lower():
                raise OvError(
                    f"the container {name[:12]} of a killed run cannot be removed: {done.stderr.strip()}",
                    hint=f"{engine.command} rm --force {name[:12]}",
                )

    def _containers(self, engine: Engine) -> list[str]:
        found = [name for name, folder in labelled(engine) if folder == self.folder]
        try:
            written = (read_text(self.container_id) or "").strip()
        except (StateError, UnsafeError):
            written = ""
        return found if not written or written in found else [*found, written]

    def detach_loops(self) -> None:
        """Detach every loop device of the disk. The kernel detaches a busy one when its last user ends."""
        engine = self.engine()
        if engine is None or not self.disk.exists():
            return
        deadline = time.monotonic() + _DETACH_SECONDS
        while devices := list(self._loops(engine)):
            for device in devices:
                _losetup(engine, self.folder, "--detach", device)
            if time.monotonic() > deadline:
                raise OvError(f"{', '.join(devices)} cannot be detached from {self.disk}", hint="losetup --list")
            time.sleep(0.05)

    def _loops(self, engine: Engine) -> Iterator[str]:
        where = "/output/disk.raw" if engine.root is None else str(self.disk)
        yield from _losetup(engine, self.folder, "--noheadings", "--output", "NAME", "--associated", where).split()

    def clear(self) -> None:
        """Remove everything, in the order that leaves nothing.

        :raises OvError: something cannot be ended.
        """
        if not self.folder.exists():
            return
        self.end_container()
        self.detach_loops()
        self.forget()

    def forget(self) -> None:
        """Remove the files, when nothing uses them any more."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.folder.exists():  # made by root, in a container under sudo
            engine = self.engine()
            run([*((engine and engine.root) or ()), "rm", "-rf", "--one-file-system", str(self.folder)])


def _words(value: Json) -> tuple[str, ...] | None:
    return tuple(map(str, value)) if isinstance(value, list) else None


def labelled(engine: Engine) -> list[tuple[str, Path]]:
    """ID and scratch folder of all our containers. (podman would split a filter for one folder at its commas.)

    :raises CommandError: podman cannot answer.
    """
    template = f'{{{{.ID}}}} {{{{index .Labels "{LABEL}"}}}}'
    words = ("ps", "--all", "--no-trunc", "--filter", f"label={LABEL}", "--format", template)
    lines = engine.run(*words, timeout=SECONDS).stdout.splitlines()
    return [(name, Path(folder)) for name, _, folder in (line.partition(" ") for line in lines)]


def _losetup(engine: Engine, folder: Path, *words: str) -> str:
    """Run losetup(8) where the engine runs: here as root, or inside its machine."""
    if engine.root is not None:
        return run([*engine.root, "losetup", *words], check=False, timeout=SECONDS).stdout
    scratch = Scratch(folder)
    image = scratch.image(engine)
    if image is None:
        return ""
    mounts = ["--volume", "/dev:/dev", "--volume", scratch.volume, "--label", scratch.label]
    try:
        return engine.run(
            "run",
            "--rm",
            "--privileged",
            "--network=none",
            "--pull=never",
            *mounts,
            "--entrypoint=losetup",
            image,
            *words,
            cwd=folder,
            timeout=SECONDS,
        ).stdout
    except CommandError as e:
        if "not found" in e.stderr:  # an image without losetup has made no loop device
            return ""
        raise diagnose(e, f"the loop devices of {scratch.disk} cannot be seen") from e
