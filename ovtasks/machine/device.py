"""What a kind of device is: one value, made in one file of :mod:`.devices`."""

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
    """What a domain is rendered for: the machine, and the host's libvirt."""

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


def _no_arguments(*_: object) -> Iterator[str]:
    return iter(())


def _no_spice(_: Tree) -> str | None:
    return None


@dataclass(frozen=True)
class Device:
    """One key of ``libvirt.devices``. In every function, ``found`` is all devices of this kind in the spec.

    ``name`` is the key, ``rows`` its fields. The rest is what rows cannot say:

    * ``rules(found, block)``: faults between fields; ``block`` is the whole ``libvirt:`` block.
    * ``complete(found, draft)``: the same with what depends on the machine filled in, and devices that nobody
      declared. ``settle`` comes when all others are complete.
    * ``lacks(found, host)``: errors about what this host does not have. Words of ``domcapabilities`` need none: a row
      names its enum.
    * ``own(devices, site)``: elements that every VM has; ``first``: before all other devices.
    * ``xml(devices, found, site)``: the whole way into the XML, where the rows alone do not lead
      there; ``finish(element, one)``: what a finished element lacks.
    * ``arguments(found, site)``: words for QEMU about what libvirt has no element for.
    * ``qemu(found, to)``: QEMU's words; None: QEMU alone has no such device.
    * ``sockets(one)``: Unix sockets that QEMU makes, and where the spec says so. ``attached(one)``: the networks
      that it joins. ``spice(one)``: the word by which it goes through SPICE.
    * ``same``: what two elements of it that are written as XML have in common when they are one: ``target@name``.
    * ``display``: people see the VM by it. ``leaves``: patterns of the sockets that a killed QEMU leaves in its folder.
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
    arguments: Callable[[Sequence[Tree], Site], Iterable[str]] = _no_arguments
    qemu: Callable[[Sequence[Tree], Command], None] | None = None
    sockets: Callable[[Tree], Iterable[tuple[Place, str]]] = _no_sockets
    attached: Callable[[Tree], Iterable[Attached]] = _no_cards
    spice: Callable[[Tree], str | None] = _no_spice
    same: tuple[str, ...] = ()
    display: bool = False
    leaves: tuple[str, ...] = ()

    @property
    def tag(self) -> str:
        """Its element in the XML."""
        return self.block.at

    @property
    def block(self) -> Block:
        """The rows of one of it."""
        return self.rows.block if isinstance(self.rows, Items) else self.rows

    def found(self, devices: Tree) -> list[Tree]:
        """All that a spec's ``devices`` have of it."""
        if isinstance(self.rows, Items):
            return devices.items(self.name)
        return [devices.block(self.name)] if self.name in devices else []

    def put(self, devices: Tree, found: Sequence[Tree]) -> Tree:
        """``devices`` with ``found`` in place of the devices of this kind."""
        return devices.put(**{self.name: found if isinstance(self.rows, Items) else found[0] if found else None})
