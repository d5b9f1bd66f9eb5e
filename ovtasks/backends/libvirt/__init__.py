"""VMs run by libvirt, in the user's own session unless another connection is asked for.

The connection is :attr:`Handle.uri`, else ``OV_LIBVIRT_URI``, else ``qemu:///session``. A VM has the same name in
libvirt as here; the uuid tells whether the domain of that name is really ours.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.backends.contract import Capabilities, DisplayPlace, Handle, ListedDomain, Recalled, Shares, VmStatus
from ovtasks.errors import InputError, OvError
from ovtasks.machine.machine import Machine
from ovtasks.values.jsonvalue import Json

if TYPE_CHECKING:
    from ovtasks.values.keys import KeyCode


class Libvirt:
    """The backend ``libvirt``; see :class:`ovtasks.backends.contract.Backend`. The class holds no state."""

    kind = "libvirt"

    def probe(self, uri: str | None = None, *, start: bool = False) -> str:
        from ovtasks.backends.libvirt import session
        from ovtasks.backends.libvirt.check import version
        from ovtasks.backends.libvirt.diagnosis import diagnosed

        name = session.uri_of(uri)
        session.load()
        if not start and session.is_own_session(name):
            return session.ensure_session(start=False)
        daemon = session.connection(name)
        with diagnosed(f"ask {name}", name):
            if daemon.getType() != "QEMU":
                raise InputError(
                    f"{name} is not libvirt's QEMU driver", hint="qemu:///session, qemu+ssh://HOST/session"
                )
            return f"libvirt {version(daemon.getLibVersion())} at {name}"

    def place(self, uri: str | None = None) -> str | None:
        from ovtasks.backends.libvirt.session import uri_of

        return uri_of(uri)

    def capabilities(self, arch: str, machine: str, uri: str | None = None) -> Capabilities:
        from ovtasks.backends.libvirt.features import capabilities

        return capabilities(arch, machine, uri)

    def shares(self, arch: str, machine: str, uri: str | None) -> Shares:
        """See :class:`ovtasks.backends.contract.SharesFolders`."""
        from ovtasks.backends.libvirt.shares import shares

        return shares(arch, machine, uri)

    def render(self, machine: Machine, uri: str | None = None) -> str:
        from ovtasks.backends.libvirt.features import host_features
        from ovtasks.machine.xml.domain import domain_xml

        return domain_xml(machine, host_features(machine.arch, machine.machine, machine.accel, uri))

    def anywhere(self) -> Capabilities:
        """See :class:`ovtasks.backends.contract.RendersAnywhere`."""
        from ovtasks.backends.libvirt.features import ANYWHERE

        return ANYWHERE

    def render_anywhere(self, machine: Machine) -> str:
        """See :class:`ovtasks.backends.contract.RendersAnywhere`."""
        from ovtasks.machine.host import EVERY_HOST
        from ovtasks.machine.xml.domain import domain_xml

        return domain_xml(machine, EVERY_HOST)

    def notes(self, machine: Machine) -> tuple[str, ...]:
        from ovtasks.machine.xml.domain import notes

        return notes(machine)

    def defined(self, handle: Handle) -> str | None:
        from ovtasks.backends.libvirt.definition import defined

        return defined(handle)

    def define(self, handle: Handle, machine: Machine) -> None:
        from ovtasks.backends.libvirt.definition import define
        from ovtasks.backends.libvirt.diagnosis import diagnose_snippets
        from ovtasks.backends.libvirt.network import check_networks

        check_networks(machine, handle.uri)
        try:
            define(handle, self.render(machine, handle.uri), autostart=machine.autostart)
        except OvError as e:
            raise diagnose_snippets(e, machine, lambda one: self.render(one, handle.uri)) from e

    def undefine(self, handle: Handle) -> None:
        from ovtasks.backends.libvirt.definition import undefine

        undefine(handle)

    def start(self, handle: Handle, machine: Machine) -> None:
        """Start the definition that is in place. ``machine`` must be the one that was defined."""
        from ovtasks.backends.libvirt.power import start
        from ovtasks.backends.libvirt.session import is_local, uri_of
        from ovtasks.host.folders import make_private
        from ovtasks.machine.outside import socket_folders

        if is_local(uri_of(handle.uri)):
            make_private(socket_folders(machine))
        start(handle)

    def shutdown(self, handle: Handle) -> None:
        from ovtasks.backends.libvirt.power import shutdown

        shutdown(handle)

    def power_off(self, handle: Handle) -> None:
        from ovtasks.backends.libvirt.power import power_off

        power_off(handle)

    def reset(self, handle: Handle) -> None:
        """See :class:`ovtasks.backends.contract.Resets`."""
        from ovtasks.backends.libvirt.power import reset

        reset(handle)

    def states(self, handles: Iterable[Handle]) -> Mapping[str, VmStatus]:
        from ovtasks.backends.libvirt.status import states

        return states(handles)

    def console(self, handle: Handle) -> socket.socket:
        from ovtasks.backends.libvirt.console import console

        return console(handle)

    def write_to(self, handle: Handle, disk: Path) -> None:
        """Let the running VM write to an overlay; see :class:`ovtasks.backends.contract.Overlays`."""
        from ovtasks.backends.libvirt.overlay import write_to

        write_to(handle, disk)

    def pause(self, handle: Handle) -> None:
        """See :class:`ovtasks.backends.contract.Memory`."""
        from ovtasks.backends.libvirt import memory

        memory.pause(handle)

    def resume(self, handle: Handle) -> None:
        """See :class:`ovtasks.backends.contract.Memory`."""
        from ovtasks.backends.libvirt import memory

        memory.resume(handle)

    def save_memory(self, handle: Handle, file: Path) -> None:
        """See :class:`ovtasks.backends.contract.Memory`."""
        from ovtasks.backends.libvirt import memory

        memory.save(handle, file)

    def start_from(self, handle: Handle, machine: Machine, file: Path) -> None:
        """See :class:`ovtasks.backends.contract.Memory`."""
        from ovtasks.backends.libvirt import memory

        memory.start(handle, machine.disk, file)

    def firmware_state(self, handle: Handle, machine: Machine) -> Mapping[str, Path]:
        """See :class:`ovtasks.backends.contract.FirmwareState`."""
        from ovtasks.backends.libvirt.definition import firmware_state

        return firmware_state(handle)

    def screen(self, handle: Handle, number: int = 0) -> bytes:
        """See :class:`ovtasks.backends.contract.Screens`."""
        from ovtasks.backends.libvirt import probing

        return probing.screen(handle, number)

    def press(self, handle: Handle, chord: Sequence[KeyCode], hold: int) -> None:
        """See :class:`ovtasks.backends.contract.Keys`."""
        from ovtasks.backends.libvirt import probing

        probing.press(handle, chord, hold)

    def monitor(self, handle: Handle, command: str, arguments: Mapping[str, Json]) -> Json:
        """See :class:`ovtasks.backends.contract.Monitor`."""
        from ovtasks.backends.libvirt import probing

        return probing.monitor(handle, command, arguments)

    def events(self, handle: Handle, seconds: float) -> Iterator[Mapping[str, Json]]:
        """See :class:`ovtasks.backends.contract.Monitor`."""
        from ovtasks.backends.libvirt import probing

        return probing.events(handle, seconds)

    def displays(self, handle: Handle) -> tuple[DisplayPlace, ...]:
        """See :class:`ovtasks.backends.contract.Monitor`."""
        from ovtasks.backends.libvirt import probing

        return probing.displays(handle)

    def ask_agent(self, handle: Handle, command: str, arguments: Mapping[str, Json], seconds: float) -> Json:
        """See :class:`ovtasks.backends.contract.Agent`."""
        from ovtasks.backends.libvirt import probing

        return probing.ask_agent(handle, command, arguments, seconds)

    def domains(self, uri: str | None = None) -> tuple[ListedDomain, ...]:
        """See :class:`ovtasks.backends.contract.Lists`."""
        from ovtasks.backends.libvirt import probing

        return probing.domains(uri)

    def domain_xml(self, handle: Handle, *, config: bool = False) -> str:
        """See :class:`ovtasks.backends.contract.LiveXml`."""
        from ovtasks.backends.libvirt import probing

        return probing.domain_xml(handle, config=config)

    def recall(self, domain: str, directory: Path, uri: str | None) -> Recalled | None:
        from ovtasks.backends.libvirt.definition import recall

        return recall(domain, directory, uri)

    def addresses(self, handle: Handle) -> tuple[str, ...]:
        from ovtasks.backends.libvirt.addresses import addresses

        return addresses(handle)
