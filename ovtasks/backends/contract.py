"""What a backend is to the rest of the program, and which one a VM gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from ovtasks import registry
from ovtasks.errors import InputError
from ovtasks.values.ports import PortForward

if TYPE_CHECKING:
    import socket

    from ovtasks.machine.machine import Machine


LONGEST_SOCKET = "channel-com.example.some-agent.0.sock"
"""No socket that a backend makes in :attr:`Handle.sockets` has a longer name, but what the spec names itself."""


class VmState(StrEnum):
    """The state of a VM, as ``ov vm list`` shows it."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "shutting down"
    CRASHED = "crashed"
    STOPPED = "stopped"
    UNDEFINED = "not defined"
    UNKNOWN = "unknown"  # the backend cannot be asked; the note says why


@dataclass(frozen=True)
class Handle:
    """How a backend finds one VM. ``uri`` is libvirt's connection; ``sockets`` the folder of the VM's Unix sockets."""

    domain: str
    uuid: str
    directory: Path
    sockets: Path
    uri: str | None = None


@dataclass(frozen=True)
class VmStatus:
    """``memory`` in bytes and ``uptime`` in seconds, of a running VM, None where not known; ``note`` is for people."""

    state: VmState
    memory: int | None = None
    uptime: float | None = None
    pid: int | None = None
    note: str | None = None

    @property
    def active(self) -> bool:
        """Whether a process has the VM's disk open."""
        return self.state in {VmState.RUNNING, VmState.PAUSED, VmState.STOPPING}


@dataclass(frozen=True)
class Capabilities:
    """What this backend can do here. ``accels`` are those that really work, best first.

    ``firmware``: the backend finds firmware files itself (libvirt's selection), for these of the spec's values.
    ``vsock``: guests can have it, and what they say there arrives here.
    """

    accels: tuple[str, ...]
    passt: bool = False
    firmware: tuple[str, ...] = ()
    vsock: bool = False


@dataclass(frozen=True)
class Recalled:
    """What a backend knows of a VM by itself; ``mac`` and ``sockets`` None: not these. ``forwards`` are those that its
    first card has."""

    uuid: str
    mac: str | None = None
    sockets: Path | None = None
    uri: str | None = None
    forwards: tuple[PortForward, ...] = ()


@runtime_checkable
class Recalls(Protocol):
    """What a :class:`Backend` may have, too: by it, an instance whose record was lost gets it back."""

    def recall(self, domain: str, directory: Path, uri: str | None) -> Recalled | None:
        """The VM of this name whose files are in ``directory``, running or defined; None: it has none."""


class Backend(Protocol):
    """Runs VMs. Every method may raise OvError when the backend cannot be asked; none is called without the lock of
    the instance except :meth:`states`, :meth:`console`, :meth:`addresses`.

    A definition is text: what :meth:`render` makes from a machine is what :meth:`define` puts in place.
    """

    kind: str

    def probe(self, uri: str | None = None, *, start: bool = False) -> str:
        """Whether it can be used here: returns what was found, in words; ``start`` may start a daemon.

        :raises OvError: it cannot, with the reason and the next step.
        """

    def place(self, uri: str | None = None) -> str | None:
        """What an instance remembers as its connection, so that later verbs ask nobody else; None: there is none."""

    def capabilities(self, arch: str, machine: str, uri: str | None = None) -> Capabilities:
        """What this backend can do here for guests of ``arch`` on QEMU's ``machine``, over the connection ``uri``."""

    def render(self, machine: Machine, uri: str | None = None) -> str:
        """The definition, for the host behind ``uri``.

        :raises InputError: the spec asks for what this backend or this host lacks; the field is named.
        """

    def notes(self, machine: Machine) -> tuple[str, ...]:
        """What :meth:`render` adds because other fields of the spec need it, in words for people."""

    def defined(self, handle: Handle) -> str | None:
        """The current definition, as :meth:`render` made it; None if there is none or someone else changed it."""

    def define(self, handle: Handle, machine: Machine) -> None:
        """Put the definition in place; a running VM gets it at its next start."""

    def undefine(self, handle: Handle) -> None:
        """Remove the definition and what the backend keeps with it (managed save, snapshots' records, its NVRAM).

        The VM is stopped. There may be no definition.
        """

    def start(self, handle: Handle, machine: Machine) -> None:
        """Start the VM, and return when its process is up. It may run already."""

    def shutdown(self, handle: Handle) -> None:
        """Ask the guest to power off, without waiting."""

    def power_off(self, handle: Handle) -> None:
        """Power the VM off hard, and return when nothing holds its disk. It may be off already."""

    def states(self, handles: Iterable[Handle]) -> Mapping[str, VmStatus]:
        """The status of each VM, by domain. Never raises: if the backend cannot be asked, it is UNKNOWN with a note."""

    def console(self, handle: Handle) -> socket.socket:
        """The first serial port: a connected stream socket. Its end of file means that the VM ended.

        :raises OvError: not running, or another console is connected.
        """

    def addresses(self, handle: Handle) -> tuple[str, ...]:
        """The guest's own IP addresses, as far as they can be found from outside (agent, lease, neighbour table)."""


@cache
def backend(kind: str) -> Backend:
    """The backend plug-in called ``kind``.

    :raises InputError: no installed package brings it.
    """
    found = registry.find(registry.BACKENDS, kind)
    if found is None:
        raise InputError(f"backend {kind} is not known", hint="auto, libvirt, qemu, or one that a plug-in brings")
    return cast(Callable[[], Backend], found)()
