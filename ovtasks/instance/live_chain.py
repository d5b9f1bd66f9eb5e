"""The files of a running VM's disk as QEMU has them open, and their merging while the VM goes on.

QEMU copies what a file has into the one above it by a block-stream job, and lets go of it last, in that one's header
(QEMU: "Live Block Device Operations"). It goes on with the job when we are killed, and whoever comes next waits for it.
"""

from __future__ import annotations

import os
import re
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ovtasks.backends.contract import Monitor, backend
from ovtasks.errors import OvError
from ovtasks.host.patience import waiting_for
from ovtasks.instance.folder import Folder
from ovtasks.instance.record import Record
from ovtasks.values.jsonvalue import Json

JOB = "ov-merge-"
"""Names of our jobs begin so; the name of the file that is merged comes behind it."""
LIVE_NAME = re.compile(r"live\.([0-9]+)\.qcow2")
"""Names by which a running QEMU knows the overlays that it has changed to."""
_FILTERS = frozenset({"copy-on-read", "throttle"})


@dataclass(frozen=True)
class LiveChain:
    """The open files of a VM's disk, the one that it writes to first, each with QEMU's node.

    ``reopens`` has the files of whose names QEMU knows one that is still theirs.
    """

    nodes: Mapping[Path, str]
    reopens: frozenset[Path]

    def can_merge(self, path: Path, above: Path) -> bool:
        """Whether ``path`` can be merged into ``above`` now. QEMU opens a file below the first one again for it."""
        return path not in self.nodes or above in self.reopens


def backing_name(disk: Path) -> str | None:
    """The name of the file on which this image stands, as its qcow2 header has it; None if it stands alone."""
    with disk.open("rb") as file:
        magic, offset, size = struct.unpack(">4s4xQI", file.read(20).ljust(20, b"\0"))
        if magic != b"QFI\xfb" or not offset:
            return None
        file.seek(offset)
        return os.fsdecode(file.read(size))


def live_chain(record: Record) -> LiveChain | None:
    """What QEMU has open; None if that is not what is on disk, or if the backend cannot tell.

    :raises OvError: QEMU does not answer.
    """
    files, nodes = list(_files(record.folder.disk)), _nodes(record)
    if len(files) != len(nodes):
        return None
    pairs = list(zip(files, nodes, strict=True))
    named = {file for file, (_, name) in pairs if _same(file, name)}
    return LiveChain({file: node for file, (node, _) in pairs}, frozenset({files[0], *named}))


def writes_to(record: Record, file: Path) -> bool:
    """Whether the running VM writes to ``file``. No, if the backend cannot tell.

    :raises OvError: QEMU does not answer.
    """
    return any(_same(file, name) for _, name in _nodes(record)[:1])


def merge_live(record: Record, chain: LiveChain, path: Path, above: Path) -> None:
    """Merge ``path``, on which ``above`` alone stands, into it. Both are open. QEMU lets go of ``path`` afterwards.

    :raises OvError: the job fails: the disk is full, or QEMU ended. Nothing is lost.
    """
    driver = backend(record.backend)
    assert isinstance(driver, Monitor)
    arguments: dict[str, Json] = {"job-id": JOB + path.name, "device": chain.nodes[above], "auto-dismiss": False}
    if (below := backing_name(path)) is not None:
        place = Path(os.path.normpath(path.parent / below))
        arguments |= {"base-node": chain.nodes[place], "backing-file": below}
    driver.monitor(record.handle, "block-stream", arguments)
    finish_jobs(record)


def finish_jobs(record: Record) -> None:
    """Wait for our jobs, also for those that an earlier process has begun.

    :raises OvError: one failed, or QEMU ended.
    """
    driver = backend(record.backend)
    if not isinstance(driver, Monitor):
        return
    with waiting_for(f"QEMU, which merges disks of {record.words}"):
        _finish(record, driver)


def _finish(record: Record, driver: Monitor) -> None:
    pause = 0.02
    while jobs := [one for one in _objects(driver.monitor(record.handle, "query-jobs", {})) if _ours(one)]:
        for job in jobs:
            if job.get("status") == "concluded":
                driver.monitor(record.handle, "job-dismiss", {"id": job.get("id")})
                if (error := job.get("error")) is not None:
                    raise OvError(f"QEMU cannot merge {str(job.get('id')).removeprefix(JOB)}: {error}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)


def _ours(job: Mapping[str, Json]) -> bool:
    return str(job.get("id")).startswith(JOB)


def _files(disk: Path) -> Iterator[Path]:
    """The disk and all files below it."""
    path: Path | None = disk
    while path is not None:
        yield path
        below = backing_name(path)
        path = Path(os.path.normpath(path.parent / below)) if below is not None else None


def _nodes(record: Record) -> list[tuple[str, str]]:
    """The disk's nodes, the top one first: the name of each, and of the file by which QEMU opened it."""
    driver = backend(record.backend)
    if not isinstance(driver, Monitor):
        return []
    known = {
        str(one.get("node-name")): one
        for one in _objects(driver.monitor(record.handle, "query-named-block-nodes", {"flat": True}))
    }
    for device in _objects(driver.monitor(record.handle, "query-blockstats", {})):
        chain = [one for one in _downwards(device) if known.get(_name(one), {}).get("drv") not in _FILTERS]
        found = [(_name(one), str(known.get(_name(one.get("parent")), {}).get("file"))) for one in chain]
        if found and _is_disk(Path(found[0][1]), record.folder):
            return found
    return []


def _is_disk(path: Path, folder: Folder) -> bool:
    ours = path.name == folder.disk.name or LIVE_NAME.fullmatch(path.name) is not None
    return ours and os.path.realpath(path.parent) == os.path.realpath(folder.path)


def _same(file: Path, name: str) -> bool:
    try:
        return file.samefile(name)
    except OSError:
        return False


def _downwards(stats: Json) -> Iterator[Mapping[str, Json]]:
    while isinstance(stats, Mapping):
        yield stats
        stats = stats.get("backing")


def _name(stats: Json) -> str:
    return str(stats.get("node-name")) if isinstance(stats, Mapping) else ""


def _objects(answer: Json) -> list[Mapping[str, Json]]:
    return [one for one in answer if isinstance(one, Mapping)] if isinstance(answer, list) else []
