"""Kinds of operations that other packages bring, as files: what they compile layers to may change with these."""

from __future__ import annotations

import hashlib
import sysconfig
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from ovtasks import registry
from ovtasks.layers.manifests import unreadable


def plugin_digests() -> Mapping[str, str]:
    """A digest of the package of each kind that is not ours, by the kind's name.

    :raises OvError: a file cannot be read.
    """
    return {name: _digest(module) for name, module in registry.foreign(registry.OPERATIONS).items()}


def plugin_files() -> tuple[Path, ...]:
    """The files of those packages, and the folders that change when a package comes or goes."""
    modules = sorted({*registry.foreign(registry.OPERATIONS).values()})
    places = sorted({sysconfig.get_path(one) for one in ("purelib", "platlib")})
    return (*map(Path, places), *(path for module in modules for path in _files(module)))


def _digest(module: str) -> str:
    found = hashlib.sha256()
    for path in _files(module):
        try:
            found.update(f"{path.name}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
        except OSError as e:
            raise unreadable(path, e) from e
    return f"sha256:{found.hexdigest()}"


def _files(module: str) -> Iterator[Path]:
    """What the package of a module consists of; nothing if it is not there, which loading it tells better."""
    spec = find_spec(module.partition(".")[0])
    if spec is None:
        return
    folders = list(spec.submodule_search_locations or ())
    if folders:
        for folder in folders:
            yield from sorted(path for path in Path(folder).rglob("*") if path.is_file() and path.suffix != ".pyc")
    elif spec.origin is not None:
        yield Path(spec.origin)
