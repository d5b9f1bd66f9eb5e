"""A project's fetch and verify, run as a build runs them: by their receipts, inside this process."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ovtasks.graph import plugins
from ovtasks.graph.chains import Graph
from ovtasks.graph.execute import execute
from ovtasks.host.state import try_load_state
from ovtasks.images.provenance import Verified
from ovtasks.images.store import Store
from ovtasks.project.load import load_project
from tests.images.notes import Notes, leftovers


@dataclass
class Chain:
    """One project with one VM ``a`` and a store of its own."""

    root: Path
    cache: Path
    notes: Notes = field(default_factory=Notes)

    @property
    def store(self) -> Store:
        return Store(self.cache)

    def write(self, url: str, checksum: dict[str, str] | None = None) -> None:
        self.root.mkdir(exist_ok=True)
        source: dict[str, Any] = {"kind": "cloud_image", "url": url, "cache": str(self.cache)}
        source["checksum"] = {"type": "none"} if checksum is None else checksum
        vms = {"vms": {"a": {"source": source, "ssh": {"key_source": "none"}}}}
        (self.root / "vms.yml").write_text(yaml.safe_dump(vms, allow_unicode=True), encoding="utf-8")

    def build(self) -> list[str]:
        """The verbs of what ran. :raises OvError: as a build says it."""
        graph = Graph(load_project(self.root, kinds=plugins.schema, cache=False))
        verbs = []
        for step in graph.chain("a"):
            if step.verb not in {"fetch", "verify"} or graph.freshness(step, heal=True).fresh:
                continue
            needs = {name: receipt for name, receipt in graph.receipts(step).items() if receipt is not None}
            if execute(step, needs, graph.locks, self.notes):
                verbs.append(step.verb)
        return verbs

    def link(self) -> Path:
        """The project's own link to its base image."""
        (found,) = [path for path in (self.root / "output" / ".images").iterdir() if path.suffix in {".raw", ".qcow2"}]
        return found

    def verified(self) -> Verified:
        """The record of what was built last."""
        records = [path for path in (self.root / "output" / ".images").glob("*.json") if path.name.count(".") == 1]
        record = try_load_state(max(records, key=lambda path: path.stat().st_mtime_ns))
        assert record is not None
        return Verified.from_json(record)

    def is_right(self, data: bytes) -> None:
        """What was built from is ``data``, nothing lies about, and a further build does nothing."""
        assert self.link().read_bytes() == data
        assert self.store.path(self.verified().sha256).read_bytes() == data
        assert leftovers(self.store) == []
        assert self.build() == []


def project_of(folder: Path, source: object) -> Chain:
    """A project whose VM ``a`` has this source, as a user may write it."""
    folder.mkdir(exist_ok=True)
    vms = {"vms": {"a": {"source": source, "ssh": {"key_source": "none"}}}}
    (folder / "vms.yml").write_text(yaml.safe_dump(vms), encoding="utf-8")
    return Chain(folder, folder)
