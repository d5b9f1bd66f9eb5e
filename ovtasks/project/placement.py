"""What deployments bring to a VM: XML of their layers, what they say about its instances; and names with places."""

from __future__ import annotations

from typing import NamedTuple

from ovtasks.errors import Where


class Named(NamedTuple):
    """A name and where it is written: a layer that is needed, a field that means nothing to a VM."""

    name: str
    where: Where


class LayerXml(NamedTuple):
    """XML for the domain from a layer, which stands at ``file:line:column``.

    Its text begins at ``begins``; None if the file does not hold it unchanged. ``instance``: it is for this instance of
    the VM only; None: for all.
    """

    layer: str
    text: str
    file: str
    line: int
    column: int
    begins: tuple[int, int] | None
    instance: str | None = None


class Placement(NamedTuple):
    """What a deployment says about an instance (None: the default one). What is None or 0 stays as the VM says.

    ``ram`` and ``disk_size`` are bytes. ``disposable``: an update may destroy the instance.
    """

    instance: str | None
    cpus: int | None = None
    ram: int | None = None
    disk_size: int | None = None
    disposable: bool | None = None
    lifecycle: str | None = None
