"""A project in a room, driven through the real programs ``ov`` and ``doit``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bootc.install import STANDIN
from tests.bootc.room import Room
from tests.support.workbench import DODO, Workbench

VM: dict[str, Any] = {"source": {"kind": "bootc", "image": STANDIN}, "disk_size": "2G", "ssh": {"key_source": "none"}}


def bootc_vm(image: str = STANDIN, *, source: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A VM of that image, without keys."""
    return {**VM, "source": {"kind": "bootc", "image": image, **(source or {})}, **fields}


@dataclass
class Bench(Workbench):
    """Commands run in ``room``, as its root unless ``words`` stand before them; ``python`` runs ours."""

    room: Room = field(kw_only=True)
    words: tuple[str, ...] = ()
    python: str = sys.executable

    def argv(self, argv: list[str]) -> list[str]:
        words = [self.python if word == sys.executable else word for word in argv]
        return self.room.argv(*self.words, *words, cwd=self.root)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "LC_ALL": "C.UTF-8", **self.env}

    def write_image(self, name: str, *lines: str, base: str = STANDIN) -> Path:
        """Declare an image that is built; returns its containerfile."""
        context = self.root / name
        context.mkdir(exist_ok=True)
        (context / "Containerfile").write_text("\n".join([f"FROM {base}", *lines, ""]), encoding="utf-8")
        declared = {"images": {name: {"context": name, "bootc": True}}}
        (self.root / "image.yml").write_text(json.dumps(declared), encoding="utf-8")
        return context / "Containerfile"

    @property
    def disk(self) -> Path:
        """The qcow2 of the VM ``web``."""
        return self.root / "output/web/qcow2/disk.qcow2"


def make_bench(root: Path, room: Room) -> Bench:
    """An empty project."""
    root.mkdir(parents=True)
    (root / "dodo.py").write_text(DODO, encoding="utf-8")
    return Bench(root, room=room)
