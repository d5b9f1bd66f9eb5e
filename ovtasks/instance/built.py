"""Finds the disk that the last build made, from which instances are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.errors import OvError
from ovtasks.graph.receipt import Receipt

if TYPE_CHECKING:
    from ovtasks.graph.chains import Graph
    from ovtasks.images.boot import Bootable


@dataclass(frozen=True)
class Built:
    """What the build made.

    ``digest`` is the receipt's. ``boot`` tells which firmware starts the disk, None if that is unknown. ``baked`` are
    the fingerprints of the keys in it.
    """

    disk: Path
    digest: str
    boot: Bootable | None = None
    baked: tuple[str, ...] = ()


def built_disk(graph: Graph, vm: str) -> Built:
    """The disk that the last build made.

    :raises OvError: the disk is not built, or the source makes none.
    """
    disk, receipt = last_build(graph, vm)
    baked = receipt.facts.get("baked_keys")
    keys = tuple(str(key) for key in baked) if isinstance(baked, list) else ()
    return Built(disk, receipt.digest, _boot(receipt), keys)


def last_build(graph: Graph, vm: str) -> tuple[Path, Receipt]:
    """The disk and the receipt of its build.

    :raises OvError: the disk is not built, or the source makes none.
    """
    chain = graph.chain(vm, "qcow2")
    for step in chain:
        target = step.targets[0]
        if target in chain.artifacts and target.name.startswith("disk."):
            receipt = Receipt.load(step.receipt)
            if receipt is None or not target.exists():
                raise OvError(f"the disk of {vm} is not built", hint=f"ov vm build {vm}")
            return target, receipt
    raise OvError(f"the source of {vm} makes no disk", hint="a source's chain ends in output/<vm>/qcow2/disk.qcow2")


def _boot(receipt: Receipt) -> Bootable | None:
    from ovtasks.images.boot import Bootable

    boot = receipt.facts.get("boot")
    return Bootable.from_json(boot) if isinstance(boot, Mapping) else None
