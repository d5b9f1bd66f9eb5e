"""What a step leaves behind when all its targets are in place: from what, what came out, and when."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ovtasks import __version__
from ovtasks.host.files import write_atomic
from ovtasks.jsonvalue import Json, digest

FORMAT = 1
HASH_LIMIT = 64 << 20
"""Outputs up to this many bytes are hashed when the receipt is written: it takes milliseconds."""


@dataclass(frozen=True, slots=True)
class Output:
    """One file that a step made: what ``stat`` said, and its content's ``sha256:<hex>`` where it is known."""

    path: Path
    size: int
    mtime_ns: int
    inode: int
    content: str | None

    @classmethod
    def of(cls, path: Path, content: str | None = None) -> Output:
        """Look at ``path`` now. :raises OSError: it is not there."""
        stat = path.stat()
        if content is None and stat.st_size <= HASH_LIMIT:
            content = sha256_of(path)
        return cls(path, stat.st_size, stat.st_mtime_ns, stat.st_ino, content)

    def same_stat(self, stat: os.stat_result) -> bool:
        return (stat.st_size, stat.st_mtime_ns, stat.st_ino) == (self.size, self.mtime_ns, self.inode)


@dataclass(frozen=True, slots=True)
class Receipt:
    """``needs`` maps the verb of each needed step to its output digest; ``digest`` is this step's own.

    ``facts`` do not decide freshness. ``started`` is in seconds since the epoch, ``duration`` in seconds.
    """

    step: str
    inputs: Mapping[str, Json]
    needs: Mapping[str, str]
    outputs: tuple[Output, ...]
    digest: str
    facts: Mapping[str, Json] = field(default_factory=dict)
    started: float = 0.0
    duration: float = 0.0
    version: str = __version__

    def save(self, path: Path) -> None:
        """Write the receipt as a whole; output paths are kept relative to it, so that the folder can be moved."""
        outputs: list[Json] = [
            {
                "path": os.path.relpath(o.path, path.parent),
                "size": o.size,
                "mtime_ns": o.mtime_ns,
                "inode": o.inode,
                "content": o.content,
            }
            for o in self.outputs
        ]
        data: dict[str, Json] = {
            "format": FORMAT,
            "step": self.step,
            "inputs": self.inputs,
            "needs": self.needs,
            "outputs": outputs,
            "digest": self.digest,
            "facts": self.facts,
            "started": self.started,
            "duration": self.duration,
            "version": self.version,
        }
        write_atomic(path, json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> Receipt | None:
        """The receipt at ``path``; None when there is none, or none that this version can read."""
        try:
            data = json.loads(path.read_bytes())
            if data["format"] != FORMAT:
                return None
            outputs = tuple(
                Output(
                    Path(os.path.normpath(path.parent / o["path"])), o["size"], o["mtime_ns"], o["inode"], o["content"]
                )
                for o in data["outputs"]
            )
            return cls(
                data["step"],
                data["inputs"],
                data["needs"],
                outputs,
                data["digest"],
                data["facts"],
                data["started"],
                data["duration"],
                data["version"],
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None


def sha256_of(path: Path) -> str:
    """``sha256:<hex>`` of a file's content."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def output_digest(outputs: Iterable[Output], inputs: Mapping[str, Json], needs: Mapping[str, str]) -> str:
    """What later steps go by: the outputs' content where all of it is known, else what they were made from."""
    contents = [output.content for output in outputs]
    if all(contents):
        return contents[0] or "" if len(contents) == 1 else "outputs:" + digest(sorted(c for c in contents if c))
    return "inputs:" + digest({"inputs": inputs, "needs": needs})
