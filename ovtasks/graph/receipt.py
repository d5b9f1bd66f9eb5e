"""Receipts: what a step was made from, what came out, and when. Written when all targets are in place."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import NoneType

from ovtasks import __version__
from ovtasks.graph import receipt_tag
from ovtasks.graph.content import digest_of, sha256_of
from ovtasks.host.beneath import guarded_folder
from ovtasks.host.files import write_atomic
from ovtasks.host.progress import Progress
from ovtasks.host.state import try_load_state
from ovtasks.values.hidden import Input, hides, seal_all
from ovtasks.values.jsonvalue import Json, digest, need, state_text

__all__ = ["Output", "Receipt", "output_digest", "sha256_of"]

FORMAT = 2
MAX_BYTES = 256 << 20
READABLE = (1, 2)
"""Formats that we can read. Format 1 lacks digests of large outputs and modes, and shows its inputs; it is completed
when its step is found fresh."""


@dataclass(frozen=True, slots=True)
class Output:
    """A file that a step made: the result of ``stat``, and its content's digest (:mod:`ovtasks.graph.content`).

    ``mode`` is the most permissions it may have. In a receipt of format 1 it is None, and ``content`` may be None.
    """

    path: Path
    size: int
    mtime_ns: int
    inode: int
    content: str | None
    mode: int | None = None

    @classmethod
    def of(cls, path: Path, content: str | None = None, progress: Progress | None = None) -> Output:
        """Look at ``path`` now.

        :raises OSError: it does not exist.
        """
        now = path.stat()
        content = content or digest_of(path, progress)
        return cls(path, now.st_size, now.st_mtime_ns, now.st_ino, content, stat.S_IMODE(now.st_mode))

    def same_stat(self, now: os.stat_result) -> bool:
        """Whether size, mtime and inode are equal. ctime does not count: every new or removed hard link changes it."""
        return (now.st_size, now.st_mtime_ns, now.st_ino) == (self.size, self.mtime_ns, self.inode)


@dataclass(frozen=True, slots=True)
class Receipt:
    """A step's receipt. ``needs`` maps the verb of each needed step to its output digest; ``digest`` is this step's
    own.

    Secrets in ``inputs`` are digests with ``salt``. In a receipt of format 1 ``salt`` is None: there they stand in
    plain text and must not be shown. ``tag`` is that of :mod:`ovtasks.graph.receipt_tag`. ``facts`` do not decide
    freshness. ``started`` is in seconds since the epoch, ``duration`` in seconds.
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
    salt: str | None = ""
    tag: str = ""

    def sealed(self, inputs: Mapping[str, Input]) -> Receipt:
        """A copy with ``inputs``, in which secrets are replaced by digests."""
        if not hides(inputs):
            return replace(self, inputs=seal_all(inputs, ""), salt="", tag="")
        salt = self.salt or own_salt()
        return replace(
            self, inputs=seal_all(inputs, salt), salt=salt, tag=receipt_tag.tag(self.step, inputs, make_key=True)
        )

    def save(self, path: Path) -> None:
        """Write the receipt as a whole. Paths of outputs are relative to it, so that the folder can be moved.

        A receipt that concerns secrets is readable by its owner alone.
        """
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
            "salt": self.salt,
            "tag": self.tag,
        }
        private = self.salt or any(o.mode is not None and not o.mode & 0o077 for o in self.outputs)
        write_atomic(path, state_text(data, lines=True), mode=0o600 if private else 0o644)

    @classmethod
    def load(cls, path: Path) -> Receipt | None:
        """The receipt at ``path``; None if there is none that this version can read."""
        data = try_load_state(path, limit=MAX_BYTES)
        if data is None or data.get("format") not in READABLE:
            return None
        ours = guarded_folder(path.parent) + os.sep
        try:
            return cls(
                need(data["step"], str),
                need(data["inputs"], dict),
                {need(verb, str): need(value, str) for verb, value in need(data["needs"], dict).items()},
                tuple(_output(need(item, dict), path, ours) for item in need(data["outputs"], list)),
                need(data["digest"], str),
                need(data["facts"], dict),
                float(need(data["started"], int, float)),
                float(need(data["duration"], int, float)),
                need(data["version"], str),
                need(data["salt"], str) if data["format"] != 1 else None,
                need(data.get("tag", ""), str),
            )
        except (ValueError, KeyError, TypeError, OverflowError):
            return None


def _output(data: Mapping[str, Json], receipt: Path, ours: str) -> Output:
    """Read an output of a receipt.

    :raises ValueError, KeyError, TypeError: it is not one, or lies where no step's file may be: the receipt of a cloned
        repository could name a file of the user's to have it removed.
    """
    path = os.path.normpath(receipt.parent / need(data["path"], str))
    if "\0" in path or not path.startswith(ours):
        raise ValueError("not a file of ours")
    size, mtime_ns, inode = (need(data[key], int) for key in ("size", "mtime_ns", "inode"))
    content, mode = need(data["content"], str, NoneType), need(data.get("mode"), int, NoneType)
    return Output(Path(path), size, mtime_ns, inode, content, mode)


@cache
def own_salt() -> str:
    """The salt of all new receipts of this process, so that a secret of many VMs is digested once."""
    return os.urandom(16).hex()


def output_digest(outputs: Iterable[Output]) -> str:
    """The digest of the outputs' content, by which later steps decide."""
    contents = [output.content or "" for output in outputs]
    return contents[0] if len(contents) == 1 else "outputs:" + digest(sorted(contents))
