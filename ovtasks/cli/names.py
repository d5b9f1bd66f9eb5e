"""The names in a project, for the shells: from the cache of its last load and from its files' text; nothing is checked.

Only modules are imported that cost next to nothing.
"""

from __future__ import annotations

import marshal
import os
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from ovtasks.graph.manifest import LESSER_FILES, ROOT_FILES, USELESS, find_root, private
from ovtasks.host.paths import DOMAIN_PREFIX, data_home

CACHE, MAGIC = "output/.ov/spec.cache", b"ovspec5\n"
"""As in :mod:`ovtasks.project.cache`, which takes too long to import here."""
_SECTIONS = {"vms": "vms", "vm": "vms", "images": "images", "image": "images", "deploy": "deployments"}
_KEY = re.compile(r"""( *)(?:"([^"]+)"|'([^']+)'|([^\s#'"{\[-][^\s#]*)):(?:\s|$)""")

_ABSTRACT = re.compile(r"\babstract[\"']?:\s*(?:true|True|TRUE)\b")


class Names:
    """The names in the project that ``folder`` is in."""

    def __init__(self, folder: str) -> None:
        self.root = find_root(folder)

    @cached_property
    def _cached(self) -> tuple[Mapping[str, tuple[Any, ...]], ...]:
        """VMs, images and deployments by name, as they were saved last, whether or not that still holds."""
        try:
            data = private(f"{self.root}/{CACHE}") if self.root else b""
            found = marshal.loads(memoryview(data)[len(MAGIC) + 4 :])[5:] if data[: len(MAGIC)] == MAGIC else ()
            return tuple(one for one in found if isinstance(one, dict))
        except USELESS:
            return ()

    @cached_property
    def _known(self) -> Mapping[str, set[str]]:
        found: dict[str, set[str]] = {"vms": set(), "images": set(), "deployments": set()}
        for group, names in zip(found.values(), self._cached, strict=False):
            group |= {*names}
        templates: set[str] = set()
        for name in (*ROOT_FILES, *LESSER_FILES) if self.root else ():
            for (kind, entry), is_template in _entries(f"{self.root}/{name}").items():
                found[kind].add(entry)
                if is_template and kind == "vms":
                    templates.add(entry)
        found["vms"] -= templates
        return found

    def vms(self) -> set[str]:
        """VMs of the project's files; outside of a project those that exist."""
        return self._known["vms"] if self.root else {name for name in self._domains() if "-" not in name}

    def images(self) -> set[str]:
        """Images of the project's files."""
        return self._known["images"]

    def layers(self) -> set[str]:
        """The folders of layers."""
        place = f"{self.root}/layers"
        return {name for name in _listed(place) if os.path.isfile(f"{place}/{name}/layer.yml")}  # noqa: PTH113

    def deployments(self) -> set[str]:
        """Those of the files, and ``vm:NAME`` and ``vm:NAME/INSTANCE`` for each VM."""
        vms = {f"vm:{vm}" for vm in self.vms()}
        return self._known["deployments"] | vms | {f"vm:{vm}/{one}" for vm in self.vms() for one in self.instances(vm)}

    def instances(self, vm: str) -> set[str]:
        """Instances of a VM that were made with ``-i``."""
        return {name.removeprefix(f"{vm}-") for name in self._domains() if name.startswith(f"{vm}-")}

    def kinds(self) -> Mapping[str, str]:
        """``source.kind`` of each VM, as it was when the project was loaded last."""
        found = {}
        for name, entry in self._cached[0].items() if self._cached else ():
            source = marshal.loads(entry[0]).get("source")
            found[name] = str(source.get("kind")) if isinstance(source, dict) else ""
        return found

    def snapshots(self, vm: str, instance: str | None) -> set[str]:
        """Snapshots of an instance."""
        import json

        domain = f"{DOMAIN_PREFIX}{vm}-{instance}" if instance else f"{DOMAIN_PREFIX}{vm}"
        with open(f"{data_home()}/vm/{domain}/snapshots.json", "rb") as file:
            return {one["name"] for one in json.load(file)["snapshots"]}

    def _domains(self) -> list[str]:
        """Names of instances, without the prefix: ``web``, ``web-dev``."""
        found = _listed(f"{data_home()}/vm")
        return [name.removeprefix(DOMAIN_PREFIX) for name in found if name.startswith(DOMAIN_PREFIX)]


def _entries(path: str) -> Mapping[tuple[str, str], bool]:
    """Section and name of the entries of a file in block style, by the indentation of its lines; whether each is a
    template, which commands refuse: its name begins with a dot, or it says ``abstract: true``."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.readlines()
    except OSError:
        return {}
    found: dict[tuple[str, str], bool] = {}
    section, indent, inner, entry = "", 0, 0, ("", "")
    for line in lines:
        if (match := _KEY.match(line)) is None:
            continue
        depth, name = len(match[1]), match[2] or match[3] or match[4]
        if depth == 0:
            section, indent = _SECTIONS.get(name, ""), 0
        elif section and (not indent or depth == indent):
            indent, inner, entry = depth, 0, (section, name)
            found[entry] = name.startswith(".") or _ABSTRACT.search(line, match.end()) is not None
        elif section and depth > indent and (not inner or depth == inner):
            inner = depth
            found[entry] |= name == "abstract" and _ABSTRACT.search(line) is not None
    return found


def _listed(place: str) -> list[str]:
    try:
        return os.listdir(place)  # noqa: PTH208
    except OSError:
        return []
