"""Tells doit whether a user's ``file_dep`` changed: by digest, from a receipt if there is one."""

from __future__ import annotations

import os
from pathlib import Path

from doit.dependency import FileChangedChecker

from ovtasks.graph.content import digest_of
from ovtasks.graph.receipt import Receipt


class ReceiptChecker(FileChangedChecker):  # type: ignore[misc]
    """Remembers modification time, size and digest. What a step of ours made is never read for that."""

    def check_modified(self, file_path: str, file_stat: os.stat_result, state: tuple[int, int, str]) -> bool:
        """Whether the file differs from ``state``. doit asks only if the file exists."""
        mtime_ns, size, digest = state
        if file_stat.st_mtime_ns == mtime_ns and file_stat.st_size == size:
            return False
        return bool(digest != file_digest(Path(file_path), file_stat))

    def get_state(self, dep: str, current_state: tuple[int, int, str] | None) -> tuple[int, int, str] | None:
        """The state of ``dep`` to remember; None if ``current_state`` still holds."""
        stat = Path(dep).stat()
        if current_state and current_state[0] == stat.st_mtime_ns and current_state[1] == stat.st_size:
            return None
        return stat.st_mtime_ns, stat.st_size, file_digest(Path(dep), stat)


def file_digest(path: Path, stat: os.stat_result) -> str:
    """The digest of ``path``: from the step's receipt if it is an unchanged target, else of its content."""
    receipt = Receipt.load(path.with_name(path.name + ".receipt.json"))
    if receipt and receipt.outputs and receipt.outputs[0].same_stat(stat):
        return receipt.digest
    return digest_of(path)
