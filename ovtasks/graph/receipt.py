"""What a step leaves behind when all its targets are in place: from what, what came out, and when."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ovtasks import __version__
from ovtasks.graph.content import digest_of, sha256_of
from ovtasks.host.files import write_atomic
from ovtasks.host.progress import Progress
from ovtasks.jsonvalue import Json, digest

__all__ = ["Output", "Receipt", "output_digest", "sha256_of"]

FORMAT = 2
READABLE = (1, 2)
"""Format 1 had no digest of large outputs and no modes: they are noted when such a receipt is found fresh."""


@dataclass(frozen=True, slots=True)
class Output:
    """One file that a step made: what ``stat`` said, and its content's digest (:mod:`ovtasks.graph.content`).

    ``mode`` holds the permissions it may have at most. Of a receipt in format 1 it is None, and ``content`` may be.
    """

    path: Path
    size: int
    mtime_ns: int
    inode: int
    content: str | None
    mode: int | None = None

    @classmethod
    def of(cls, path: Path, content: str | None = None, progress: Progress | None = None) -> Output:
        """Look at ``path`` now. :raises OSError: it is not there."""
        now = path.stat()
        content = content or digest_of(path, progress)
        return cls(path, now.st_size, now.st_mtime_ns, now.st_ino, content, stat.S_IMODE(now.st_mode))

    def same_stat(self, now: os.stat_result) -> bool:
        """Size, time and inode; not the time of change, which each hard link that comes or goes sets anew."""
        return (now.st_size, now.st_mtime_ns, now.st_ino) == (self.size, self.mtime_ns, self.inode)


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
                "mode": o.mode,
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
            if data["format"] not in READABLE:
                return None
            outputs = tuple(
                Output(
                    Path(os.path.normpath(path.parent / o["path"])),
                    o["size"],
                    o["mtime_ns"],
                    o["inode"],
                    o["content"],
                    o.get("mode"),
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


def output_digest(outputs: Iterable[Output], inputs: Mapping[str, Json], needs: Mapping[str, str]) -> str:
    """What later steps go by: the outputs' content where all of it is known, else what they were made from."""
    contents = [output.content for output in outputs]
    if all(contents):
        return contents[0] or "" if len(contents) == 1 else "outputs:" + digest(sorted(c for c in contents if c))
    return "inputs:" + digest({"inputs": inputs, "needs": needs})
