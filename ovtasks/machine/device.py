"""The type of a kind of device. Each file of :mod:`.devices` makes one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from ovtasks.errors import InputError
from ovtasks.machine.draft import Draft
from ovtasks.machine.field import Block, Items
from ovtasks.machine.host import HostFeatures
from ovtasks.machine.machine import Machine
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.tree import Faults, Place, Tree


@dataclass(frozen=True)
class Site:
    """What a domain is rendered from: the machine, what the host's libvirt can do, and the completed block."""

    machine: Machine
    features: HostFeatures
    draft: Draft


@dataclass(frozen=True)
class Attached:
    """What a network card is connected to, outside of the machine.

    ``kind`` is ``user``, ``bridge``, ``network`` (libvirt's) or ``direct``; ``name`` is that of the bridge, the network
    or the host's card. ``field`` is where the spec says so.
    """

    kind: str
    name: str
    field: Place


def _as_declared(found: Sequence[Tree], _: Draft) -> Sequence[Tree]:
    return found


def _nothing(*_: object) -> Iterator[InputError]:
    return iter(())


def _no_faults(*_: object) -> Faults:
    return iter(())


def _no_sockets(_: Tree) -> Iterator[tuple[Place, str]]:
    return iter(())


def _no_cards(_: Tree) -> Iterator[Attached]:
    return iter(())


def _nothing_unused(_: Tree) -> Iterator[tuple[Place, str]]:
    return iter(())


def _no_arguments(*_: object) -> Iterator[str]:
    return iter(())


def _no_spice(_: Tree) -> str | None:
    return None


@dataclass(frozen=True)
class Device:
    """One key of ``libvirt.devices``. In every function, ``found`` is all devices of this kind in the spec.

    ``name`` is the key, ``rows`` its fields. The rest does what rows cannot:

    * ``rules(found, block)``: faults between fields; ``block`` is the whole ``libvirt:`` block.
    * ``complete(found, draft)``: returns ``found`` with all defaults that depend on the machine, and adds devices that
      nobody declared. ``settle`` does the same after ``complete`` has run for every kind.
    * ``lacks(found, host)``: errors about what this host does not have. Values that ``domcapabilities`` lists need no
      function: the row names the enum (``known``).
    * ``own(devices, site)``: adds the elements that every VM has; with ``first``, before all other devices.
    * ``xml(devices, found, site)``: adds all elements, where the rows are not enough. ``finish(element, one)``: adds to
      one element what its rows leave out; ``plain(element)`` puts that back where the rows stand, to read it.
    * ``arguments(found, site)``: QEMU arguments for what libvirt has no element for.
    * ``qemu(found, to)``: writes QEMU's options; None: the backend qemu has no such device.
    * ``sockets(one)``: the Unix sockets that QEMU makes, with their places in the spec. ``attached(one)``: the networks
      that it joins. ``spice(one)``: the word of the spec that sends it through SPICE, or None.
    * ``unused(one)``: the places of what is accepted and changes nothing, and what people are told that it is.
    * ``same``: where the values stand (``target@name``) that tell two elements apart. When users write XML, elements
      that agree in all of them are the same device.
    * ``display``: people see the VM through it. ``leaves``: patterns of the sockets that a killed QEMU leaves behind.
    """

    name: str
    rows: Items | Block
    rules: Callable[[Sequence[Tree], Tree], Faults] = _no_faults
    complete: Callable[[Sequence[Tree], Draft], Sequence[Tree]] = _as_declared
    settle: Callable[[Sequence[Tree], Draft], Sequence[Tree]] = _as_declared
    lacks: Callable[[Sequence[Tree], HostFeatures], Iterable[InputError]] = _nothing
    own: Callable[[ET.Element, Site], None] | None = None
    first: bool = False
    xml: Callable[[ET.Element, Sequence[Tree], Site], None] | None = None
    finish: Callable[[ET.Element, Tree], None] | None = None
    plain: Callable[[ET.Element], None] | None = None
    arguments: Callable[[Sequence[Tree], Site], Iterable[str]] = _no_arguments
    qemu: Callable[[Sequence[Tree], Command], None] | None = None
    sockets: Callable[[Tree], Iterable[tuple[Place, str]]] = _no_sockets
    attached: Callable[[Tree], Iterable[Attached]] = _no_cards
    spice: Callable[[Tree], str | None] = _no_spice
    unused: Callable[[Tree], Iterable[tuple[Place, str]]] = _nothing_unused
    same: tuple[str, ...] = ()
    display: bool = False
    leaves: tuple[str, ...] = ()

    @property
    def tag(self) -> str:
        """The name of its element in the XML."""
        return self.block.at

    @property
    def block(self) -> Block:
        """The rows of a single device."""
        return self.rows.block if isinstance(self.rows, Items) else self.rows

    def found(self, devices: Tree) -> list[Tree]:
        """All devices of this kind in a spec's ``devices``."""
        if isinstance(self.rows, Items):
            return devices.items(self.name)
        return [devices.block(self.name)] if self.name in devices else []

    def put(self, devices: Tree, found: Sequence[Tree]) -> Tree:
        """``devices`` with ``found`` in place of the devices of this kind."""
        return devices.put(**{self.name: found if isinstance(self.rows, Items) else found[0] if found else None})
