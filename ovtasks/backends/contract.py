"""What a backend is to the rest of the program, and which one a VM gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from ovtasks import registry
from ovtasks.errors import InputError
from ovtasks.values.jsonvalue import Json
from ovtasks.values.ports import PortForward

if TYPE_CHECKING:
    import socket

    from ovtasks.machine.machine import Machine
    from ovtasks.values.keys import KeyCode


LONGEST_SOCKET = "channel-com.example.some-agent.0.sock"
"""The longest name of a socket that a backend makes in :attr:`Handle.sockets`; a name from the spec may be longer."""


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
    """``memory`` is in bytes and ``uptime`` in seconds; both are None if unknown. ``note`` is for people."""

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
    """What a backend can do on this host. ``accels`` lists the accelerators that really work, best first.

    ``firmware`` lists the spec's values for which the backend finds the firmware files itself (libvirt's selection).
    ``vsock`` says that guests can have a vsock device, and that what they send over it reaches this host.
    """

    accels: tuple[str, ...]
    passt: bool = False
    firmware: tuple[str, ...] = ()
    vsock: bool = False


class ShareUsers(StrEnum):
    """Whose files a guest sees in a folder that it shares by virtiofs."""

    SAME = "same"  # numbers of users are the same on both sides
    LOGIN = "login"  # the host's user is the guest's login, and whatever the guest writes is the host's user's
    ROOT = "root"  # the host's user is the guest's root


@dataclass(frozen=True)
class Shares:
    """How a backend can share folders of this host: None, or why it cannot. ``reading`` is about virtiofs for reading
    only, and ``users`` about virtiofs. ``sshfs`` needs nothing of a backend but guests that this host reaches."""

    virtiofs: str | None = None
    reading: str | None = None
    ninep: str | None = None
    users: ShareUsers = ShareUsers.SAME
    sshfs: str | None = None


@dataclass(frozen=True)
class Recalled:
    """What a backend knows about a VM without its record. ``mac`` and ``sockets`` are None if unknown.

    ``forwards`` are the port forwards of the VM's first network card.
    """

    uuid: str
    mac: str | None = None
    sockets: Path | None = None
    uri: str | None = None
    forwards: tuple[PortForward, ...] = ()


@runtime_checkable
class Recalls(Protocol):
    """An optional part of a :class:`Backend`: it restores the record of an instance that lost it."""

    def recall(self, domain: str, directory: Path, uri: str | None) -> Recalled | None:
        """Find the running or defined VM of this name whose files are in ``directory``. None if there is none."""


@runtime_checkable
class SharesFolders(Protocol):
    """An optional part of a :class:`Backend`: guests can see folders of this host (``mounts:``)."""

    def shares(self, arch: str, machine: str, uri: str | None) -> Shares:
        """The ways to share a folder with a machine of this type.

        :raises OvError: the backend cannot be asked.
        """


@runtime_checkable
class RendersAnywhere(Protocol):
    """An optional part of a :class:`Backend`: it renders definitions for a host that has all they ask for."""

    def anywhere(self) -> Capabilities:
        """What the backend can do on such a host; ``accels`` is empty."""

    def render_anywhere(self, machine: Machine) -> str:
        """Like :meth:`Backend.render`, without a look at this host.

        :raises InputError: no host has what the spec asks for.
        """


@runtime_checkable
class Overlays(Protocol):
    """An optional part of a :class:`Backend`: it lets a running VM write to another file."""

    def write_to(self, handle: Handle, disk: Path) -> None:
        """Let the VM write its own disk to ``disk`` from now on: an empty qcow2 overlay that stands on the file to
        which it has been writing. It lies in the VM's directory, and its definition does not change.

        :raises OvError: it cannot; it goes on writing where it did.
        """


@runtime_checkable
class FirmwareState(Protocol):
    """An optional part of a :class:`Backend`: it knows where the firmware and the TPM of a VM remember things."""

    def firmware_state(self, handle: Handle, machine: Machine) -> Mapping[str, Path]:
        """The file ``nvram`` and the folder ``tpm-state``, as far as the VM has them and we may copy them. They need
        not be there yet."""


@runtime_checkable
class Memory(Protocol):
    """An optional part of a :class:`Backend`: it saves what a guest has in memory, and goes on from there."""

    def pause(self, handle: Handle) -> None:
        """Stop the guest's processors. The VM is paused then."""

    def resume(self, handle: Handle) -> None:
        """Let the guest of a paused VM go on. A saving that is under way ends."""

    def save_memory(self, handle: Handle, file: Path) -> None:
        """Write the memory of a paused VM to the new ``file``.

        :raises OvError: a device of the VM cannot be saved, or the disk is full. The VM stays paused.
        """

    def start_from(self, handle: Handle, machine: Machine, file: Path) -> None:
        """Like :meth:`Backend.start`, with the memory in ``file``. The VM is off, and the disk is as it was then.

        :raises OvError: the memory is not that of such a machine. The VM is off.
        """


@dataclass(frozen=True)
class DisplayPlace:
    """Where a display of a VM is served: on a Unix socket, else at ``host`` and ``port`` of this machine.

    ``kind`` is ``spice`` or ``vnc``. ``viewer`` is the command that shows a display with neither, or on another host.
    """

    socket: Path | None = None
    host: str = ""
    port: int = 0
    password: str = ""
    kind: str = "spice"
    viewer: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.socket is not None:
            return str(self.socket)
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@runtime_checkable
class Resets(Protocol):
    """An optional part of a :class:`Backend`: it resets a running VM."""

    def reset(self, handle: Handle) -> None:
        """Press the reset button. A paused VM stays paused.

        :raises OvError: the VM does not run.
        """


@runtime_checkable
class Screens(Protocol):
    """An optional part of a :class:`Backend`: it shows what the guest shows. The VM needs no agent."""

    def screen(self, handle: Handle, number: int = 0) -> bytes:
        """The display ``number`` as a PPM or PNG picture.

        :raises OvError: the VM does not run, or has no such display.
        """


@runtime_checkable
class Keys(Protocol):
    """An optional part of a :class:`Backend`: it presses keys of the guest's keyboard."""

    def press(self, handle: Handle, chord: Sequence[KeyCode], hold: int) -> None:
        """Press the keys of ``chord`` together, for ``hold`` milliseconds.

        :raises OvError: the VM does not run.
        """


@runtime_checkable
class Monitor(Protocol):
    """An optional part of a :class:`Backend`: its VMs have a QEMU that speaks QMP."""

    def monitor(self, handle: Handle, command: str, arguments: Mapping[str, Json]) -> Json:
        """The answer to a QMP command.

        :raises OvError: the VM does not run, or QEMU refuses the command.
        """

    def events(self, handle: Handle, seconds: float) -> Iterator[Mapping[str, Json]]:
        """QEMU's events as they come, as QMP has them: ``event``, ``data``, ``timestamp``."""

    def displays(self, handle: Handle) -> tuple[DisplayPlace, ...]:
        """Where the VM's displays are served, by SPICE and VNC, SPICE first; with their passwords.

        :raises OvError: the VM does not run.
        """


@runtime_checkable
class LiveXml(Protocol):
    """An optional part of a :class:`Backend`: its VMs are libvirt's domains."""

    def domain_xml(self, handle: Handle, *, config: bool = False) -> str:
        """The domain as it runs, without passwords; with ``config``, as it will start next.

        :raises OvError: it is not defined.
        """


@runtime_checkable
class Agent(Protocol):
    """An optional part of a :class:`Backend`: it reaches the guest agent (QEMU Guest Agent Protocol Reference)."""

    def ask_agent(self, handle: Handle, command: str, arguments: Mapping[str, Json], seconds: float) -> Json:
        """The answer of the guest agent within ``seconds``.

        :raises OvError: the VM does not run, no agent answers, or the agent refuses the command.
        """


@dataclass(frozen=True)
class ListedDomain:
    """A VM that a daemon has, ours or not. ``number`` is the daemon's; None for one that does not run."""

    name: str
    uuid: str
    state: VmState
    number: int | None = None


@runtime_checkable
class Lists(Protocol):
    """An optional part of a :class:`Backend`: a daemon has its VMs, and those of other programs."""

    def domains(self, uri: str | None = None) -> tuple[ListedDomain, ...]:
        """All of them. Without ``uri``, those of the usual daemon, which is not started for it.

        :raises OvError: the daemon cannot be asked.
        """


class Backend(Protocol):
    """Runs VMs. Every method may raise OvError when the backend cannot be asked.

    The caller holds the instance's lock, except for :meth:`states`, :meth:`console` and :meth:`addresses`.
    A definition is text: :meth:`render` makes it from a machine, and :meth:`define` puts it in place.
    """

    kind: str

    def probe(self, uri: str | None = None, *, start: bool = False) -> str:
        """Check that the backend can be used here, and describe what was found. ``start`` allows starting a daemon.

        :raises OvError: it cannot be used; the error gives the reason and the next step.
        """

    def place(self, uri: str | None = None) -> str | None:
        """The connection that an instance remembers, so that later verbs use the same one. None if there is none."""

    def capabilities(self, arch: str, machine: str, uri: str | None = None) -> Capabilities:
        """What the backend can do for guests of ``arch`` and machine type ``machine``, on the host behind ``uri``."""

    def render(self, machine: Machine, uri: str | None = None) -> str:
        """The definition, for the host behind ``uri``.

        :raises InputError: the spec asks for something that this backend or host lacks; the error names the field.
        """

    def notes(self, machine: Machine) -> tuple[str, ...]:
        """Say, for people, what :meth:`render` adds because other fields of the spec need it."""

    def defined(self, handle: Handle) -> str | None:
        """The current definition, as :meth:`render` made it. None if there is none, or if someone else changed it."""

    def define(self, handle: Handle, machine: Machine) -> None:
        """Put the definition in place. A running VM uses it from its next start."""

    def undefine(self, handle: Handle) -> None:
        """Remove the definition and what the backend keeps with it (managed save, snapshot metadata, NVRAM).

        The VM must be stopped. Having no definition is no error.
        """

    def start(self, handle: Handle, machine: Machine) -> None:
        """Start the VM and return when its process is up. A VM that runs already is no error."""

    def shutdown(self, handle: Handle) -> None:
        """Ask the guest to power off, without waiting."""

    def power_off(self, handle: Handle) -> None:
        """Cut the VM's power, and return when no process holds its disk. A VM that is off already is no error."""

    def states(self, handles: Iterable[Handle]) -> Mapping[str, VmStatus]:
        """The status of each VM, by domain. Never raises: a VM that cannot be asked about is UNKNOWN, with a note."""

    def console(self, handle: Handle) -> socket.socket:
        """Connect to the first serial port and return a stream socket. End of file means that the VM ended.

        :raises OvError: the VM does not run, or another console is connected.
        """

    def addresses(self, handle: Handle) -> tuple[str, ...]:
        """The guest's IP addresses, as far as they can be found from outside (agent, leases, neighbour table)."""


@cache
def backend(kind: str) -> Backend:
    """The backend plugin called ``kind``.

    :raises InputError: no installed package provides it.
    """
    found = registry.find(registry.BACKENDS, kind)
    if found is None:
        raise InputError(f"backend {kind} is not known", hint="auto, libvirt, qemu, or one that a plugin brings")
    return cast(Callable[[], Backend], found)()
