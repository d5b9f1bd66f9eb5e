"""A deployment as declared: which layers go to which instance of a VM, and what may be done for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ovtasks.errors import Where
from ovtasks.project.layer_model import LayerCheck, Named
from ovtasks.project.placement import Placement
from ovtasks.values.jsonvalue import fields_of, restore

HOUR = 3600
PREFIX, SUFFIX = "vm:", "-vm"
"""What the name of a deployment to a VM may begin or end with."""


@dataclass(frozen=True)
class InstallOptions:
    """What a deployment allows. The names are those of ``install_opts``, and of the options of ``ov deploy add``.

    ``snapshots``: the disk of a disposable instance is kept after each layer. ``builder_image`` is the container image
    that builds packages of the Arch user repository.
    """

    with_services: bool = False
    allow_repo_changes: bool = False
    allow_root_tasks: bool = False
    skip_incompatible: bool = False
    verify: bool = False
    snapshots: bool = False
    builder_image: str | None = None

    def over(self, other: InstallOptions) -> InstallOptions:
        """What either of the two allows."""
        return InstallOptions(
            self.with_services or other.with_services,
            self.allow_repo_changes or other.allow_repo_changes,
            self.allow_root_tasks or other.allow_root_tasks,
            self.skip_incompatible or other.skip_incompatible,
            self.verify or other.verify,
            self.snapshots or other.snapshots,
            self.builder_image or other.builder_image,
        )


@dataclass(frozen=True)
class Ephemeral:
    """An instance that is thrown away. ``ttl`` is in seconds.

    ``naming_pattern`` names it (``{vm}-eph-{id}``), unless the entry's own name has the instance.
    """

    ttl: int = HOUR
    keep_on_failure: bool = False
    naming_pattern: str | None = None


@dataclass(frozen=True)
class Deployment:
    """One entry of ``deploy:``. ``instance`` None: the VM's default instance.

    ``where`` is its name's place in ``file``. ``layers`` are those of ``add_layers``, in their order. ``cpus``, ``ram``
    and ``disk_size`` (bytes) win over the VM's for this instance. ``checks`` are those of ``eval``. ``ignored`` are
    fields that are accepted and change nothing.
    """

    name: str
    vm: str
    where: Where
    file: Path
    instance: str | None = None
    layers: tuple[Named, ...] = ()
    options: InstallOptions = InstallOptions()
    environment: Mapping[str, str] = field(default_factory=dict)
    checks: tuple[LayerCheck, ...] = ()
    disposable: bool = False
    disposable_where: Where | None = None
    lifecycle: str | None = None
    ephemeral: Ephemeral | None = None
    cpus: int | None = None
    ram: int | None = None
    disk_size: int | None = None
    ignored: tuple[Named, ...] = ()

    @property
    def words(self) -> str:
        """The instance as commands name it: ``arch`` or ``arch -i dev``."""
        return f"{self.vm} -i {self.instance}" if self.instance else self.vm

    @property
    def may_be_destroyed(self) -> bool:
        """Whether an update may destroy the instance: only if its own entry says so."""
        return self.disposable or self.ephemeral is not None

    @property
    def placement(self) -> Placement:
        """What it says about the instance itself."""
        destroyed = self.may_be_destroyed if self.disposable_where or self.ephemeral else None
        return Placement(self.instance, self.cpus, self.ram, self.disk_size, destroyed, self.lifecycle)


def restore_deployment(data: object, where: Where) -> Deployment:
    """The deployment of what ``plain`` made of one. Its file is called as ``where`` calls it.

    :raises ValueError, TypeError: ``data`` describes no deployment.
    """
    return restore(Deployment, _moved(data, where.file))


_PLACE = {*fields_of(Where(""))}


def _moved(value: object, file: str) -> object:
    """``value`` with all places in ``file``."""
    if isinstance(value, Mapping):
        if {*value} == _PLACE:
            return {**value, "file": file}
        return {key: _moved(part, file) for key, part in value.items()}
    return [_moved(part, file) for part in value] if isinstance(value, list) else value
