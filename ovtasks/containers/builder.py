"""Brings images into podman's storage, by pull or build, and clears what a killed podman leaves.

When a signal ends ``podman build``, the command of a RUN goes on and the working containers stay. So we give it a
folder of its own for temporary files, where the commands it runs have their bundles, and a mark that it writes into its
working containers' records: a secret that no instruction uses.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovtasks.containers.context import Context
from ovtasks.containers.diagnosis import diagnose
from ovtasks.containers.engine import Engine, Mode, own
from ovtasks.containers.storage import Storage, storage
from ovtasks.containers.transports import Archive
from ovtasks.errors import OvError
from ovtasks.host.beneath import make_folder
from ovtasks.host.command_error import TAIL_LINES
from ovtasks.host.progress import Progress, SilentProgress
from ovtasks.host.run import CommandError, run
from ovtasks.host.state import read_text
from ovtasks.project.model import ImageSpec
from ovtasks.values.jsonvalue import digest

LABEL = "ovtasks.image"
"""The label of every image that we build; its value is the image's name."""
LABELS = ("containers.bootc", "ostree.bootable")
"""Labels of a bootc image: bootc's documentation, "bootc compatible images"."""
SECONDS = 120.0
_STEP = re.compile(r"(?:\[(\d+)/(\d+)\] )?STEP (\d+)/(\d+):")
_PODMANS = re.compile(r"^(?:Error|error|time=)")


@dataclass(frozen=True, slots=True)
class Found:
    """An image in the storage. ``id`` is 64 hexadecimal digits; ``created`` is ISO UTC; ``size`` in bytes, unpacked.

    ``onbuild``: it has instructions that run when another image is built from it.
    """

    id: str
    digest: str
    names: tuple[str, ...]
    created: str
    size: int
    architecture: str
    os: str
    labels: Mapping[str, str]
    onbuild: bool

    @property
    def bootc_label(self) -> str | None:
        """The label that says that bootc can install it, as ``name=value``; None if it has none."""
        return next((f"{name}={self.labels[name]}" for name in LABELS if self.labels.get(name) in {"1", "true"}), None)


def inspect(engine: Engine, image: str) -> Found | None:
    """What podman knows about ``image`` (a name or an ID); None if it is not in the storage.

    :raises OvError: podman cannot answer.
    """
    try:
        done = engine.run("image", "inspect", image, timeout=SECONDS)
    except CommandError as e:
        if re.search(r"image not known|no such image|does not resolve", e.stderr):
            return None
        raise diagnose(e) from e
    data: dict[str, Any] = json.loads(done.stdout)[0]
    history = " ".join(str(entry.get("created_by", "")) for entry in data.get("History") or ())
    return Found(
        id=str(data["Id"]).removeprefix("sha256:"),
        digest=str(data.get("Digest", "")),
        names=tuple(data.get("RepoTags") or ()) or tuple(data.get("RepoDigests") or ()),
        created=str(data.get("Created", "")),
        size=int(data.get("Size", 0)),
        architecture=str(data.get("Architecture", "")),
        os=str(data.get("Os", "")),
        labels=data.get("Labels") or {},
        onbuild=bool(re.search(r"\bONBUILD\b", history)),
    )


@dataclass(frozen=True)
class Workshop:
    """Runs podman for one step. ``folder`` holds its temporary files."""

    engine: Engine
    storage: Storage
    folder: Path
    progress: Progress
    console: bool = False

    @property
    def scratch(self) -> Path:
        """podman's temporary files."""
        return self.folder / "tmp"

    @property
    def mark(self) -> str:
        """The mark by which the working containers of a killed build are found."""
        return f"ovtasks-{digest(str(self.folder))[:16]}"

    def pull(self, reference: str, *, tls_verify: bool) -> None:
        """Pull ``reference``, as its registry has it now.

        :raises OvError: the pull failed.
        """
        try:
            self._work(["pull", *_tls(tls_verify), reference], self._show_bytes)
        except CommandError as e:
            raise diagnose(e, f"{reference} cannot be pulled") from e

    def load(self, archive: Archive) -> str:
        """Load an image from files; returns its ID.

        :raises OvError: the files cannot be read.
        """
        said: list[str] = []
        link = self.folder / self.mark  # podman cuts a path at a colon, and names an image of a folder after the path

        def prepare() -> None:
            link.symlink_to(archive.path)

        try:
            words = ["pull", "--quiet", archive.at(link.name)]
            # relative: podman cannot unpack below a path with a colon
            self._work(words, self._show_bytes, hear=said.append, prepare=prepare, temporary=self.scratch.name)
        except CommandError as e:
            raise diagnose(e, f"{archive.path} cannot be loaded") from e
        ids = [line.strip() for line in said if re.fullmatch(r"\s*[0-9a-f]{64}\s*", line)]
        if not ids:
            raise OvError(f"podman loaded {archive.path} and does not say what it is called")
        self.engine.run("untag", ids[-1], f"localhost/{link.name}", check=False, timeout=SECONDS)
        return ids[-1]

    def build(
        self,
        image: ImageSpec,
        context: Context,
        name: str,
        *,
        pull: bool,
        cache: bool = True,
        fill: Callable[[Path], None] = lambda folder: None,
    ) -> str:
        """Build ``image`` and call it ``name``; returns its ID.

        ``pull``: base images that are missing may be pulled. ``cache``: layers of earlier builds may be used. ``fill``
        is given the workshop's fresh folder, and may make the context there.

        :raises OvError: the build failed; the message ends in what podman said last.
        """
        id_file = self.folder / "id"
        words = ["build", "--file", _one(str(context.containerfile)), "--tag", name, "--iidfile", str(id_file)]
        words += ["--label", f"{LABEL}={image.name}", "--secret", f"id={self.mark},src=/dev/null"]
        words += [*_tls(image.tls_verify), *([] if pull else ["--pull=never"]), *([] if cache else ["--no-cache"])]
        for key, value in image.build_args.items():
            words += ["--build-arg", f"{key}={value}"]
        words += ["--target", image.target] if image.target else []
        text = context.ignore_text()
        ignore_file = self.folder / "ignore"
        words += ["--ignorefile", str(ignore_file)] if text is not None else []
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        done = 0

        def hear(line: str) -> None:
            nonlocal done
            tail.append(line)
            done = max(done, percent(line) or 0)

        def show() -> None:
            self.progress.update(done, 100, "%")

        def prepare() -> None:
            fill(self.folder)
            if text is not None:
                ignore_file.write_text(text, encoding="utf-8", errors="surrogateescape")

        try:
            self._work([*words, str(context.folder)], show, hear=hear, prepare=prepare)
        except CommandError as e:
            raise self._failure(e, image, tail) from e
        return (read_text(id_file) or "").strip().removeprefix("sha256:")

    def _failure(self, error: CommandError, image: ImageSpec, tail: deque[str]) -> OvError:
        own = "\n".join(line for line in error.stderr.splitlines() if _PODMANS.match(line))
        known = CommandError(error.argv, error.returncode, own)
        explained = diagnose(known, f"image '{image.name}' cannot be built")
        if explained is not known:
            return explained
        said = "".join(f"\n  | {line}" for line in tail if line.strip())
        return OvError(f"image '{image.name}' cannot be built:{said}", hint="the log has the full output")

    def _work(
        self,
        words: list[str],
        watch: Callable[[], None],
        *,
        hear: Callable[[str], object] | None = None,
        prepare: Callable[[], None] | None = None,
        temporary: str | None = None,
    ) -> None:
        """Run podman in a fresh folder that ``prepare`` fills. Afterwards the folder and all that podman started are
        gone.
        """
        self.clear()
        make_folder(self.scratch)
        if prepare is not None:
            prepare()

        def on_line(line: str) -> None:
            if hear is not None:
                hear(line)
            if self.console:
                self.progress.note(line)

        try:
            run(
                self.engine.argv(*words),
                env=self.engine.environment(temporary or str(self.scratch)),
                cwd=self.folder,
                on_line=on_line,
                watch=watch,
                end=self._end_commands,
            )
        except BaseException:
            self.clear()
            raise

    def _show_bytes(self) -> None:
        """Show how much has arrived, by the size of podman's temporary files: without a terminal it
        shows no progress.
        """
        total = 0
        for path in self.scratch.rglob("*"):
            try:
                total += path.stat().st_size if path.is_file() else 0
            except FileNotFoundError:
                continue
        self.progress.update(total, None)

    def done(self) -> None:
        """Remove the folder, after success."""
        self._remove()

    def clear(self) -> None:
        """End and remove everything that a killed podman left in this folder and in the storage.

        :raises OvError: a working container cannot be removed.
        """
        if not self.folder.exists():
            return
        self._end_commands()
        for container in self._containers():
            done = self.engine.run("rm", "--force", container, check=False, timeout=SECONDS)
            if done.returncode != 0 and "no such container" not in done.stderr.lower():
                raise OvError(
                    f"container {container[:12]} of a killed build cannot be removed: {done.stderr.strip()}",
                    hint=f"{self.engine.command} rm --force {container[:12]}",
                )
        self._remove()

    def _end_commands(self) -> None:
        """End what RUN started. The container runtime knows it by the name of its bundle's folder."""
        bundles = [path.name for path in self.scratch.glob("buildah*") if (path / "config.json").exists()]
        if not bundles:
            return
        said = self.engine.run("info", "--format", "{{.Host.OCIRuntime.Path}}", check=False, timeout=SECONDS)
        for bundle in bundles if said.returncode == 0 else ():
            words = [said.stdout.strip(), "delete", "--force", f"buildah-{bundle}"]
            run([*self._as_owner(), *words], check=False, timeout=SECONDS)

    def _as_owner(self) -> list[str]:
        """Words before a program so that it owns the files that rootless containers made."""
        return self.engine.argv("unshare") if self.engine.mode is Mode.ROOTLESS else []

    def _containers(self) -> Iterator[str]:
        for record in self.storage.container_records():
            try:
                found = self.mark.encode() in record.read_bytes()
            except OSError:
                continue
            if found:
                yield record.parent.parent.name

    def _remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.folder.exists():
            run([*self._as_owner(), "rm", "-rf", "--one-file-system", str(self.folder)])


def _one(path: str) -> str:
    """``path`` quoted for an option that takes comma-separated values."""
    return '"' + path.replace('"', '""') + '"' if {",", '"'} & {*path} else path


def _tls(verify: bool) -> list[str]:
    """The TLS option, only if it is switched off: ``true`` would overrule what registries.conf permits."""
    return [] if verify else ["--tls-verify=false"]


def percent(line: str) -> int | None:
    """A build's progress, from a line such as ``STEP 2/5: RUN x`` or ``[1/2] STEP 2/5: RUN x``; else None."""
    found = _STEP.match(line)
    if found is None:
        return None
    stage, stages, step, steps = (int(number or 1) for number in found.groups())
    return 100 * ((stage - 1) * steps + step - 1) // (stages * steps)


def clear(folder: Path, state: Path) -> None:
    """End and remove what a killed pull or build left in ``folder``. ``state`` is the folder that remembers the
    storage.

    :raises OvError: as :meth:`Workshop.clear`.
    """
    engine = own()
    Workshop(engine, storage(engine, state), folder, SilentProgress()).clear()
