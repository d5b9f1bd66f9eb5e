"""podman with a storage of its own below a test's folder, on machines with and without crun's cgroups."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.containers import CONTAINERS_CONF
from tests.support.programs import attempt

OWN_PLACES = 'lock_type = "file"\ntmp_dir = "{run}/libpod"\n'


@dataclass(frozen=True)
class Podman:
    """``root`` holds configuration and storage; ``run`` what podman keeps while it runs, sockets among it, whose paths
    must be short."""

    root: Path
    run: Path

    @classmethod
    def make(cls, root: Path, run: Path | None = None) -> Podman:
        """Write the configuration."""
        root.mkdir(parents=True, exist_ok=True)
        run = run or Path(tempfile.mkdtemp(prefix="podman-"))
        (root / "containers.conf").write_text(CONTAINERS_CONF + OWN_PLACES.format(run=run))
        storage = f'[storage]\ndriver = "overlay"\ngraphroot = "{root / "graph"}"\nrunroot = "{run}"\n'
        (root / "storage.conf").write_text(storage)
        (root / "registries.conf").write_text("unqualified-search-registries = []\n")
        return cls(root, run)

    @property
    def env(self) -> dict[str, str]:
        """What makes any podman use this storage."""
        names = {"CONTAINERS_CONF": "containers", "CONTAINERS_STORAGE_CONF": "storage"}
        names["CONTAINERS_REGISTRIES_CONF"] = "registries"
        return {variable: str(self.root / f"{name}.conf") for variable, name in names.items()}

    def __call__(self, *words: str | Path, stdin: str = "", code: int | None = 0) -> str:
        """Run podman; its output, blanks at the ends taken off."""
        done = attempt("podman", *words, stdin=stdin, env={**os.environ, **self.env}, timeout=300)
        assert code is None or done.returncode == code, f"podman {' '.join(map(str, words))}: {done}"
        return done.stdout.strip()

    def files(self, image: str, scratch: Path) -> dict[str, str]:
        """Path and kind of everything in an image's layers."""
        archive = scratch / "image.tar"
        archive.unlink(missing_ok=True)
        self("save", "--quiet", "--format", "docker-archive", "--output", archive, image)
        found: dict[str, str] = {}
        with tarfile.open(archive) as outer:
            manifest = outer.extractfile("manifest.json")
            assert manifest is not None
            for layer in json.load(manifest)[0]["Layers"]:
                with tarfile.open(fileobj=outer.extractfile(layer)) as inner:
                    found.update(_members(inner))
        return found

    def clear(self) -> None:
        """Remove containers and images, and the mounts that keep the folder busy.

        ``podman system reset`` is not for us: it removes networks, which are the machine's.
        """
        for container in self("ps", "--all", "--external", "--quiet", code=None).split():
            self("rm", "--force", container, code=None)
        for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
            mount = line.split()[1]
            if mount.startswith((f"{self.root}/", f"{self.run}/")):
                attempt("umount", "--lazy", mount)
        for folder in (self.run, self.root / "graph"):
            shutil.rmtree(folder, ignore_errors=True)


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, str]]:
    for member in archive:
        kind = "folder" if member.isdir() else f"link to {member.linkname}" if member.issym() else "file"
        yield member.name.strip("/"), kind
