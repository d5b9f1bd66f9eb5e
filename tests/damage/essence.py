"""What of a world must be the same again after damage has healed."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

from tests.damage.world import Kept, World

VOLATILE = {"mtime_ns", "inode", "started", "duration", "fetched_at", "fetched_epoch", "created", "version"}
"""Keys that say when or where something was made, not what it is."""
DERIVED = {"content", "digest", "needs", "built"}
"""Keys that hold digests of what a new key pair changes."""
REMADE = re.compile(
    r"/last-run\.jsonl$|/log/[^/]+\.log$|/locks(/|$)|\.lock$|/manifest(/|$)|/spec\.cache$|/doit\.db|\.seen$|\.holders$"
)
"""Only remembered or held: whether it is there again depends on who ran."""
LEFT = re.compile(
    r"\.old(/|$)|/instance\.json\.damaged(/|$)|/doit\.db-(wal|shm)$|/manifest(/|$)|/locks(/|$)|(^|/)tmp(/|$)"
)
"""Names that may be new: what a command moved away, and what each command line may leave."""
DISK = "data/ov/vm/ov-a/disk.qcow2"


def differences(world: World, damaged: str) -> list[str]:
    """What is not as it was; ``damaged`` is the file that was."""
    now = {name: kept for name, kept in world.look().items() if not LEFT.search(name)}
    wrong = [f"{name} is new" for name in now.keys() - world.kept.keys()]
    keys = ("data/ov/vm/ov-a/id_ed25519", "data/ov/vm/ov-a/ssh_host_ed25519_key")
    new_keys = any(now[key].content != world.kept[key].content for key in keys if key in now)
    before, after = _Mask(world.kept, new_keys), _Mask(now, new_keys)
    for name, kept in world.kept.items():
        if name not in now:
            if not REMADE.search(name) and not LEFT.search(name):
                wrong.append(f"{name} is gone")
        elif kept.is_file != now[name].is_file:
            wrong.append(f"{name} is not a file")
        elif kept.mode != now[name].mode:
            wrong.append(f"{name} has mode {now[name].mode:o}, not {kept.mode:o}")
        elif kept.is_file and not REMADE.search(name) and before.of(name, kept) != after.of(name, now[name]):
            wrong.append(f"{name} differs: {_first(before.of(name, kept), after.of(name, now[name]))}")
    return wrong


def _first(before: bytes, after: bytes) -> str:
    """Where two contents begin to differ."""
    at = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after)))
    return f"{before[max(at - 60, 0) : at + 80]!r} is now {after[max(at - 60, 0) : at + 80]!r}"


class _Mask:
    """Contents without what may differ: keys made anew, and the identity of a machine with a new disk."""

    def __init__(self, files: dict[str, Kept], new_keys: bool) -> None:
        self.new_keys = new_keys
        self.words: list[bytes] = []
        folder = "data/ov/vm/ov-a/"
        for key in ("id_ed25519", "ssh_host_ed25519_key"):
            for name in (f"{folder}{key}", f"{folder}{key}.pub"):
                self.words += [word for word in files[name].content.split() if len(word) > 30] if name in files else []
        found = re.search(rb'"instance_id": "(ov-[^"]+)"', files.get(f"{folder}instance.json", _NOTHING).content)
        self.words += [found.group(1)] if found else []

    def of(self, name: str, kept: Kept) -> bytes:
        data = kept.content
        for word in self.words:
            data = data.replace(word, b"#" * len(word))
        if name.endswith(".json"):
            drop = VOLATILE | DERIVED if self.new_keys or ".fetched.json." in name else VOLATILE
            with contextlib.suppress(ValueError, RecursionError):
                return json.dumps(_without(json.loads(data), drop), sort_keys=True).encode()
        return data


_NOTHING = Kept(0, b"", 0, "")


def _without(value: Any, keys: set[str]) -> Any:
    if isinstance(value, dict):
        return {key: _without(item, keys) for key, item in value.items() if key not in keys}
    return [_without(item, keys) for item in value] if isinstance(value, list) else value
