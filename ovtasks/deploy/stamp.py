"""Knows in a blink that nothing has to be done: by what the last deployment was made from.

The stamp holds the deployment, the instance-id, what stands in the environment, and ``stat`` of every file in the
layers' folders. As long as all of them are the same, nobody reads or compiles a layer, and nobody asks the guest.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks import __version__
from ovtasks.host.files import write_atomic
from ovtasks.host.oserrors import explaining
from ovtasks.host.state import try_load_state
from ovtasks.project.cache import file_stat
from ovtasks.values.hidden import slow_digest
from ovtasks.values.jsonvalue import Json, digest, plain, restore, state_text

if TYPE_CHECKING:
    from ovtasks.deploy.wanted import Wanted
    from ovtasks.instance.record import Record
    from ovtasks.project.deploy_model import Deployment
    from ovtasks.project.model import VmSpec

FILE = "layers.stamp.json"
RACY_NS = 50_000_000
"""A file that changed so shortly before it was read may change again without a trace."""


@dataclass(frozen=True)
class DeployStamp:
    """What the last deployment was made from. ``environment`` has digests; ``checked``: its checks have passed.

    ``fetched`` are files of this machine that must be there. ``beside`` is the digest of what layers say beside their
    plans: their checks, and which files are fetched.
    """

    instance_id: str
    deployment: str
    program: str
    files: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    checked: bool = False
    fetched: tuple[str, ...] = ()
    beside: str = ""


def is_current(record: Record, deployment: Deployment, vm: VmSpec | None) -> bool:
    """Whether the last deployment was made from what there is now, and ended well."""
    stamp = _load(record)
    return (
        stamp is not None
        and not record.is_over
        and _is_of(stamp, record, deployment, vm)
        and record.folder.disk.exists()
        and stamp.program == _program()
        and (stamp.checked or not deployment.options.verify)
        and all(os.path.exists(path) for path in stamp.fetched)  # noqa: PTH110 — half the time of Path.exists
        and all(_stat(path) == before for path, before in stamp.files.items())
        and stamp.environment == _environment(stamp.environment, stamp.instance_id)
    )


def watched(record: Record) -> list[Path] | None:
    """The files that tell that the stamp still holds; None if the environment has a say.

    The disk's own time says nothing: a running VM writes to it. Its folder tells whether it is there.
    """
    stamp = _load(record)
    if stamp is None or stamp.environment:
        return None
    folder = record.folder
    return [*map(Path, (*stamp.files, *stamp.fetched)), folder.record, folder.path, folder.path / FILE]


def was_checked(record: Record, wanted: Wanted) -> bool:
    """Whether the deployment's checks have passed since anything of it last changed."""
    stamp = _load(record)
    return stamp is not None and stamp.checked and _says(stamp, record, wanted)


def was_fetched(record: Record, wanted: Wanted) -> bool:
    """Whether the files that layers want here were fetched as it is declared now."""
    if not any(layer.artifacts for layer in wanted.layers):
        return True
    stamp = _load(record)
    return stamp is not None and _says(stamp, record, wanted)


def was_of(record: Record, deployment: Deployment, vm: VmSpec | None) -> bool:
    """Whether the last deployment to this instance was of what the entry says now. The layers may have changed."""
    stamp = _load(record)
    return stamp is not None and _is_of(stamp, record, deployment, vm)


def _is_of(stamp: DeployStamp, record: Record, deployment: Deployment, vm: VmSpec | None) -> bool:
    return stamp.instance_id == record.instance_id and stamp.deployment == _digest(deployment, vm)


def _says(stamp: DeployStamp, record: Record, wanted: Wanted) -> bool:
    return _is_of(stamp, record, wanted.deployment, wanted.vm) and stamp.beside == _beside(wanted)


def save_stamp(record: Record, wanted: Wanted, *, checked: bool, fetched: Iterable[Path] = ()) -> None:
    """Write the stamp, unless a file is so young that a next version could look the same.

    :raises OvError: it cannot be written.
    """
    from ovtasks.deploy.inputs import environment_names

    assert record.instance_id is not None
    files = {str(path): _stat(str(path)) for path in _files(wanted)}
    young = any(found and found[0] > wanted.began_ns - RACY_NS for found in files.values())
    stamp = DeployStamp(
        record.instance_id,
        _digest(wanted.deployment, wanted.vm),
        _program() if not young else "",
        files,
        _environment(environment_names(wanted.layers), record.instance_id),
        checked,
        tuple(map(str, fetched)),
        _beside(wanted),
    )
    path = record.folder.path / FILE
    with explaining(f"cannot note the deployment to {record.words}", path):
        write_atomic(path, state_text(plain(stamp)), mode=0o600)


def drop_stamp(record: Record) -> None:
    """Forget the last deployment.

    :raises OvError: the file cannot be removed.
    """
    path = record.folder.path / FILE
    with explaining(f"cannot note the deployment to {record.words}", path):
        path.unlink(missing_ok=True)


def _load(record: Record) -> DeployStamp | None:
    with contextlib.suppress(ValueError, TypeError):
        data = try_load_state(record.folder.path / FILE)
        return None if data is None else restore(DeployStamp, data)
    return None


def _digest(deployment: Deployment, vm: VmSpec | None) -> str:
    """What the deployment says, wherever it stands in its file, and what its VM says about ``ov``."""
    parts: dict[str, Json] = {
        "name": deployment.name,
        "layers": [layer.name for layer in deployment.layers],
        "options": plain(deployment.options),
        "ephemeral": deployment.ephemeral is not None,
        "environment": dict(deployment.environment),
        "machine": [deployment.cpus, deployment.ram, deployment.disposable, deployment.lifecycle],
        "checks": [plain(check.data) for check in deployment.checks],
    }
    if vm is not None and (asked := vm.asked_ov) is not None:
        parts["ov_install"] = [asked.strategy, asked.url, asked.checksum]
    return digest(parts)


def _beside(wanted: Wanted) -> str:
    return digest(
        [
            [layer.name, dict(layer.variables), *(plain(one.data) for one in (*layer.checks, *layer.artifacts))]
            for layer in wanted.layers
        ]
    )


def _files(wanted: Wanted) -> Iterable[Path]:
    """Everything in the layers' folders, what was looked for, and the packages that bring kinds of operations."""
    from ovtasks.layers.plugins import plugin_files

    yield from wanted.files
    yield from plugin_files()
    for layer in wanted.layers:
        for folder, _, names in os.walk(layer.folder):
            yield Path(folder)
            yield from (Path(folder, name) for name in names)


def _stat(path: str) -> tuple[int, ...]:
    return file_stat(path) or ()


def _environment(names: Iterable[str], salt: str) -> dict[str, str]:
    return {name: slow_digest(os.environ[name], salt) if name in os.environ else "" for name in names}


@cache
def _program() -> str:
    """The version of what compiles layers; in a checkout that is its files' newest time."""
    package = Path(__file__).parent.parent
    found = (os.walk(package / room) for room in ("deploy", "layers", "project"))
    files = (os.path.join(folder, name) for walk in found for folder, _, names in walk for name in names)  # noqa: PTH118
    newest = max((os.stat(path).st_mtime_ns for path in files if path.endswith((".py", ".sh"))), default=0)  # noqa: PTH116
    return f"{__version__} {newest}"
