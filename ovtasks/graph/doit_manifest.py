"""After ``doitw build:x``: note what doit says if there is nothing to do, so that next time doit need not be loaded."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from doit.cmdparse import CmdOption, CmdParseError, TaskParse

from ovtasks.errors import OvError
from ovtasks.graph.chains import Chain, Graph
from ovtasks.graph.dodo import plain_files
from ovtasks.graph.manifest import DOIT
from ovtasks.graph.options import build_params
from ovtasks.graph.save_manifest import save_manifest, save_watched
from ovtasks.graph.tasks import BUILD

SETTINGS = ("pyproject.toml", "doit.cfg")
"""doit's own settings, in the current folder."""


def save_doit_manifest(graph: Graph, words: Sequence[str], loaded_ns: int, titles: Mapping[str, str]) -> None:
    """Write the manifest of ``doit WORDS``, if they ask for builds or deployments only, and nothing else can matter.

    ``titles`` are those of the steps, in doit's order. ``loaded_ns`` is when loading began (ns since the epoch).
    """
    root = graph.project.root
    with contextlib.suppress(OvError, OSError):
        files = doit_files(root)
        if files is None or root != Path.cwd():
            return
        lines = [f"-- {title}" for title in titles.values()]
        if words and titles.keys() == {*words} <= graph.watched.keys():
            watched = [path for word in words for path in graph.watched[word]]
            save_watched(graph, (DOIT, list(words)), lines, loaded_ns, [*files, *watched])
            return
        chains = _chains(graph, words)
        if chains is None:
            return
        if {step.name for step in graph.closure(step for chain in chains for step in chain)} != titles.keys():
            return
        save_manifest(graph, chains, (DOIT, list(words)), lines, loaded_ns, files)


def _chains(graph: Graph, words: Sequence[str]) -> list[Chain] | None:
    """The chains of the goals ``build`` and ``build:<vm>``; None if the words ask for something else, too."""
    chains: list[Chain] = []
    rest = list(words)
    while rest:
        verb, colon, vm = rest.pop(0).partition(":")
        if verb != BUILD or (colon and vm not in graph.project.vms):
            return None
        try:
            _, rest = TaskParse([CmdOption(option) for option in build_params()]).parse(rest)
        except CmdParseError:
            return None
        chains += [graph.chain(name) for name in ([vm] if colon else graph.project.vms)]
    return chains or None


def doit_files(root: Path) -> list[Path] | None:
    """The files beside ours that decide what doit does; None if their content could matter."""
    import tomllib

    dodo, (toml, ini) = root / "dodo.py", (root / name for name in SETTINGS)
    files = plain_files(dodo) if dodo.exists() else [dodo]
    if files is None or ini.exists():
        return None
    with contextlib.suppress(FileNotFoundError):
        try:
            tool = tomllib.loads(toml.read_text(encoding="utf-8")).get("tool", {})
        except (tomllib.TOMLDecodeError, UnicodeDecodeError):
            return None
        if tool.get("doit", {}) != {"loader": "ovtasks"}:
            return None
    return [*files, toml, ini, root / "doitw"]
