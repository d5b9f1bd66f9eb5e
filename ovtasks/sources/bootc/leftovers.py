"""What killed installations and image builds left behind, for ``ov gc``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ovtasks.containers import builder, copy
from ovtasks.containers.engine import Engine, own
from ovtasks.containers.scratch import Scratch, labelled
from ovtasks.errors import OvError
from ovtasks.host.run import CommandError, which
from ovtasks.host.state import try_load_state
from ovtasks.images.gc import Item
from ovtasks.project.model import BootcSource, Project
from ovtasks.sources.bootc.install import same_disk, scratch_of, stamp_file
from ovtasks.sources.bootc.stamp import workplace

OF_A_BUILD = "rest of a killed pull or build of an image"


@dataclass(frozen=True)
class Leftovers:
    """``items`` are what to report. ``lost`` are missing folders that a container of that podman still names."""

    items: tuple[Item, ...]
    lost: Mapping[Path, Engine]

    def remove(self) -> list[Item]:
        """Remove the removable items with their containers and loop devices; returns those items.

        :raises OvError: a container or loop device cannot be ended.
        """
        gone = [item for item in self.items if item.removable]
        for item in gone:
            if item.what == OF_A_BUILD:
                copied = item.path.name.startswith(copy.PREFIX)
                copy.clear(item.path) if copied else builder.clear(item.path, item.path.parent.parent)
            else:
                if item.path in self.lost:
                    Scratch(item.path).prepare(self.lost[item.path])  # clear() needs the folder
                Scratch(item.path).clear()
        return gone


def survey(project: Project, busy: tuple[str, ...] = ()) -> Leftovers:
    """Find this project's scratch folders, and containers whose folder is gone. ``busy``: who may still use them."""
    found = {path.parent for path in project.output.glob("*/*/.install/engine.json")}
    wanted = {
        scratch_of(vm, project, "qcow2").folder: vm.name
        for vm in project.vms.values()
        if isinstance(vm.source, BootcSource)
        and same_disk(try_load_state(stamp_file(vm, project)) or {}, scratch_of(vm, project, "qcow2").disk)
    }
    items = []
    for folder in sorted(found):
        owner = (f"its next step, convert:{wanted[folder]}",) if folder in wanted else ()
        items.append(Item(folder, _allocated(folder), "rest of a killed installation", busy or owner))
    items += [
        Item(folder, _allocated(folder), OF_A_BUILD, busy)
        for folder in (sorted(workplace(project).iterdir()) if workplace(project).is_dir() else ())
    ]
    lost = dict(_lost(project, found))
    items += [Item(path, 0, "container of a killed installation", busy) for path in lost]
    return Leftovers(tuple(items), lost)


def _lost(project: Project, known: set[Path]) -> Iterator[tuple[Path, Engine]]:
    """Folders below this project that are gone, though one of our containers still names them."""
    if which("podman") is None:
        return
    for engine in _engines():
        try:
            containers = labelled(engine)
        except CommandError:
            continue
        for folder in {folder for _, folder in containers}:
            if folder not in known and folder.is_relative_to(project.output):
                yield folder, engine


def _engines() -> Iterator[Engine]:
    from ovtasks.containers.engine import rootful

    try:
        yield rootful()
    except OvError:
        yield own()


def _allocated(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total
