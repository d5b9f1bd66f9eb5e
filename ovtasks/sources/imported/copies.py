"""The folder of a project with what imports copied. What a killed import leaves there, the next one takes up."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ovtasks.errors import InputError
from ovtasks.host.files import discard, fsync_directory, part_name, write_atomic
from ovtasks.host.oserrors import explaining
from ovtasks.host.progress import Progress
from ovtasks.sources.disk import convert
from ovtasks.sources.imported.definition import DomainDisk

FOLDER = "imported"


@dataclass(frozen=True)
class Copies:
    """What the VM ``vm`` of the project in ``root`` has there."""

    root: Path
    vm: str

    @property
    def disk(self) -> Path:
        """The whole disk, in one file."""
        return self.root / FOLDER / f"{self.vm}.qcow2"

    @property
    def nvram(self) -> Path:
        """The firmware's variables."""
        return self.root / FOLDER / f"{self.vm}.nvram"

    @property
    def marker(self) -> Path:
        """The file that is there while copies without an entry are ours."""
        return self.root / FOLDER / f".{self.vm}.importing"

    def free(self, path: Path) -> Path:
        """``path``, if nothing else has it.

        :raises InputError: something has.
        """
        if os.path.lexists(path) and not self.marker.exists():
            hint = "move it away, or choose another --name"
            raise InputError(f"there is a file {path} already, which belongs to no VM of the project", hint=hint)
        return path

    def prepare(self) -> None:
        """Make the folder, and say that its files are being made."""
        folder = self.root / FOLDER
        with explaining(f"cannot write {folder}", self.root):
            folder.mkdir(mode=0o700, exist_ok=True)
            if not (folder / ".gitignore").exists():
                write_atomic(folder / ".gitignore", "*\n")
            write_atomic(self.marker, "")

    def write_nvram(self, content: bytes) -> None:
        """Keep the variables, read-only: each instance begins with a copy of its own."""
        with explaining(f"cannot write {self.nvram}", self.nvram.parent):
            discard(self.nvram)
            write_atomic(self.nvram, content, mode=0o400)

    def write_disk(self, disk: DomainDisk, progress: Progress) -> None:
        """Copy the whole disk, without backing files, and make the copy read-only."""
        with explaining(f"cannot copy {disk.path} to {self.disk}", self.disk.parent):
            part = self.disk.with_name(part_name(self.disk.name))
            discard(part)
            discard(self.disk)
            convert(disk.path, disk.format, part, "qcow2", progress)
            part.chmod(0o400)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(self.disk)
            fsync_directory(self.disk.parent)

    def done(self) -> None:
        """The entry is written: the copies are its."""
        self.marker.unlink(missing_ok=True)
