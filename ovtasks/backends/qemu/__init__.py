"""VMs as plain QEMU processes: for hosts without libvirt.

A VM's directory holds its definition (``argv.json``, the command line), ``qemu.pid``, ``qemu.log`` (QEMU's output) and
the state of its emulated TPM. The command line is rendered anew at every start.
"""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.backends.contract import Capabilities, DisplayPlace, Handle, Recalled, Shares, VmStatus
from ovtasks.backends.qemu import process
from ovtasks.backends.qemu import status as status_
from ovtasks.backends.qemu.process import PID_FILE, Process
from ovtasks.backends.qemu.qmp import NoQmpError, Qmp, QmpError, SilentError, connect, mapping
from ovtasks.backends.qemu.status import DEFINITION
from ovtasks.errors import InputError, OvError
from ovtasks.host.files import flock, write_atomic
from ovtasks.host.state import StateError, read_text
from ovtasks.machine.qemu.names import (
    AGENT_CHANNEL,
    AGENT_SOCKET,
    DISK_NODE,
    QMP_SOCKET,
    SERIAL,
    SERIAL_SOCKET,
    STATUS_SOCKET,
)
from ovtasks.values.jsonvalue import Json, parse

if TYPE_CHECKING:
    from ovtasks.machine.machine import Machine
    from ovtasks.values.keys import KeyCode

LOCK = "qemu.lock"
_QMP = re.compile(r"\bpath=((?:[^,]|,,)+)/qmp\.sock\b")
_MAC = re.compile(r"\bmac=([0-9a-f:]{17})")
OVERLAY = "overlay"
"""Nodes of overlays that a running VM has changed to are called so, with a number behind."""
GRACE = 20.0
"""Seconds that QEMU gets to write its buffers to the disk before it is killed."""


class Qemu:
    """The backend ``qemu``. It has no daemon and no connection, so it has no use for ``uri``."""

    kind = "qemu"

    def probe(self, uri: str | None = None, *, start: bool = False) -> str:
        from ovtasks.backends.qemu import program
        from ovtasks.host import accel

        found = program.features(accel.host_arch())
        if uri is not None:
            raise InputError(f"the backend qemu has no connection like {uri}", hint="backend: libvirt")
        return f"QEMU {'.'.join(map(str, found.version))} ({found.binary})"

    def place(self, uri: str | None = None) -> str | None:
        return None

    def capabilities(self, arch: str, machine: str, uri: str | None = None) -> Capabilities:
        from ovtasks.backends.qemu import program
        from ovtasks.host import accel, vsock

        found = program.features(arch)
        return Capabilities(
            tuple(kind for kind in accel.usable(arch) if kind != "kvm" or found.kvm),
            vsock="vhost-vsock-pci" in found.devices and vsock.problem() is None,
        )

    def shares(self, arch: str, machine: str, uri: str | None) -> Shares:
        """See :class:`ovtasks.backends.contract.SharesFolders`."""
        from ovtasks.backends.qemu.shares import shares

        return shares(arch)

    def render(self, machine: Machine, uri: str | None = None) -> str:
        from ovtasks.backends.qemu.definition import command_of, text_of

        return text_of(command_of(machine))

    def anywhere(self) -> Capabilities:
        """See :class:`ovtasks.backends.contract.RendersAnywhere`."""
        return Capabilities((), vsock=True)

    def render_anywhere(self, machine: Machine) -> str:
        """See :class:`ovtasks.backends.contract.RendersAnywhere`."""
        from ovtasks.backends.qemu.definition import command_anywhere, text_of

        return text_of(command_anywhere(machine))

    def notes(self, machine: Machine) -> tuple[str, ...]:
        from ovtasks.backends.qemu.definition import command_of

        return tuple(command_of(machine).notes)

    def defined(self, handle: Handle) -> str | None:
        try:
            return read_text(handle.directory / DEFINITION)
        except StateError:  # damaged: the definition is put in place anew
            return None

    def define(self, handle: Handle, machine: Machine) -> None:
        from ovtasks.host.bridge import check_bridge
        from ovtasks.machine.outside import attached

        for card in attached(machine):
            if card.kind == "bridge":
                check_bridge(card.name, card.field)
        write_atomic(handle.directory / DEFINITION, self.render(machine), mode=0o600)

    def undefine(self, handle: Handle) -> None:
        from ovtasks.backends.qemu import helpers
        from ovtasks.backends.qemu.sweep import sweep

        (handle.directory / DEFINITION).unlink(missing_ok=True)
        if process.find_and_restore(handle.directory / PID_FILE) is None:
            helpers.end(handle, grace=0.0)  # left by a start that was killed
            sweep(handle)

    def start(self, handle: Handle, machine: Machine) -> None:
        self._start(handle, machine, None)

    def _start(self, handle: Handle, machine: Machine, memory: Path | None) -> None:
        from ovtasks.backends.qemu.definition import command_of, text_of
        from ovtasks.backends.qemu.start import launch
        from ovtasks.host.folders import make_private
        from ovtasks.machine.outside import socket_folders

        # A separate lock: a second start would sweep away the files by which the first one is recognised.
        with flock(handle.directory / LOCK):
            if process.find_and_restore(handle.directory / PID_FILE) is None:
                wanted = command_of(machine)
                make_private(socket_folders(machine))
                write_atomic(handle.directory / DEFINITION, text_of(wanted), mode=0o600)
                launch(handle, wanted, memory)

    def shutdown(self, handle: Handle) -> None:
        running = _running(handle)
        try:
            with connect(handle.sockets / QMP_SOCKET, running.pid) as qmp:
                if mapping(qmp.execute("query-status")).get("status") == "paused":
                    qmp.execute("cont")  # a suspended guest would not react
                qmp.execute("system_powerdown")
        except NoQmpError:
            if _find(handle) is not None:
                raise

    def power_off(self, handle: Handle) -> None:
        from ovtasks.backends.qemu import helpers
        from ovtasks.backends.qemu.sweep import sweep

        # SIGTERM does what QMP's "quit" does, and no other client can block it: QEMU flushes its disks and ends.
        pid_file = handle.directory / PID_FILE
        ran = process.find(pid_file) is not None
        if not process.end(pid_file, signal.SIGTERM, GRACE):
            process.kill(pid_file)
        helpers.end(handle, helpers.GRACE if ran else helpers.SHORT)
        sweep(handle)

    def states(self, handles: Iterable[Handle]) -> Mapping[str, VmStatus]:
        return status_.states(handles)

    def console(self, handle: Handle) -> socket.socket:
        running = _running(handle)
        with connect(handle.sockets / STATUS_SOCKET, running.pid) as qmp:
            if not _free(qmp):
                raise OvError(f"another console of {handle.domain} is connected", hint="close it first (^] leaves)")
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.connect(str(handle.sockets / SERIAL_SOCKET))
                while _free(qmp):  # until QEMU has accepted us; if it ends first, it resets the connection
                    time.sleep(0.01)
            except OSError as e:
                connection.close()
                raise OvError(
                    f"the console of {handle.domain} cannot be reached: {e.strerror}", hint="ov vm list"
                ) from e
            except BaseException:
                connection.close()
                raise
        return connection

    def write_to(self, handle: Handle, disk: Path) -> None:
        """Let the running VM write to an overlay; see :class:`ovtasks.backends.contract.Overlays`."""
        with connect(handle.sockets / QMP_SOCKET, _running(handle).pid) as qmp:
            nodes = qmp.execute("query-named-block-nodes", flat=True)
            names = [str(mapping(node).get("node-name")) for node in nodes] if isinstance(nodes, list) else []
            before = [int(name.removeprefix(OVERLAY)) for name in names if re.fullmatch(f"{OVERLAY}[0-9]+", name)]
            qmp.execute(
                "blockdev-snapshot-sync",
                **{
                    "node-name": f"{OVERLAY}{max(before)}" if before else DISK_NODE,
                    "snapshot-file": str(disk),
                    "snapshot-node-name": f"{OVERLAY}{max(before, default=0) + 1}",
                    "format": "qcow2",
                    "mode": "existing",
                },
            )

    def pause(self, handle: Handle) -> None:
        """See :class:`ovtasks.backends.contract.Memory`."""
        from ovtasks.backends.qemu import memory

        memory.pause(handle)

    def resume(self, handle: Handle) -> None:
        """See :class:`ovtasks.backends.contract.Memory`."""
        from ovtasks.backends.qemu import memory

        memory.resume(handle)

    def save_memory(self, handle: Handle, file: Path) -> None:
        """See :class:`ovtasks.backends.contract.Memory`."""
        from ovtasks.backends.qemu import memory

        memory.save(handle, file)

    def start_from(self, handle: Handle, machine: Machine, file: Path) -> None:
        """See :class:`ovtasks.backends.contract.Memory`."""
        self._start(handle, machine, file)

    def firmware_state(self, handle: Handle, machine: Machine) -> Mapping[str, Path]:
        """See :class:`ovtasks.backends.contract.FirmwareState`."""
        from ovtasks.machine.devices.tpm import STATE

        nvram = {} if machine.boot.nvram is None else {"nvram": machine.boot.nvram}
        return {**nvram, "tpm-state": handle.directory / STATE}

    def reset(self, handle: Handle) -> None:
        """See :class:`ovtasks.backends.contract.Resets`."""
        self.monitor(handle, "system_reset", {})

    def screen(self, handle: Handle, number: int = 0) -> bytes:
        """See :class:`ovtasks.backends.contract.Screens`."""
        from ovtasks.backends.qemu import probing

        return probing.screen(handle, number)

    def press(self, handle: Handle, chord: Sequence[KeyCode], hold: int) -> None:
        """See :class:`ovtasks.backends.contract.Keys`."""
        from ovtasks.backends.qemu import probing

        probing.press(handle, chord, hold)

    def monitor(self, handle: Handle, command: str, arguments: Mapping[str, Json]) -> Json:
        """See :class:`ovtasks.backends.contract.Monitor`."""
        from ovtasks.backends.qemu import probing

        return probing.monitor(handle, command, arguments)

    def events(self, handle: Handle, seconds: float) -> Iterator[Mapping[str, Json]]:
        """See :class:`ovtasks.backends.contract.Monitor`."""
        from ovtasks.backends.qemu import probing

        return probing.events(handle, seconds)

    def displays(self, handle: Handle) -> tuple[DisplayPlace, ...]:
        """See :class:`ovtasks.backends.contract.Monitor`."""
        from ovtasks.backends.qemu import probing

        return probing.displays(handle)

    def ask_agent(self, handle: Handle, command: str, arguments: Mapping[str, Json], seconds: float) -> Json:
        """See :class:`ovtasks.backends.contract.Agent`."""
        from ovtasks.backends.qemu import probing

        return probing.ask_agent(handle, command, arguments, seconds)

    def recall(self, domain: str, directory: Path, uri: str | None) -> Recalled | None:
        from ovtasks.backends.hostfwd import forwards_in

        running = process.find_and_restore(directory / PID_FILE)
        words = process.words(running.pid) if running is not None else _defined_words(directory)
        text = dict(pairwise(words))
        if "-uuid" not in text:
            return None
        sockets = next((found[1] for word in words if (found := _QMP.search(word))), None)
        mac = next((found[1] for word in words if "id=nic0," in word and (found := _MAC.search(word))), None)
        place = Path(sockets.replace(",,", ",")) if sockets else None
        card = next((word for word in words if word.startswith("user,id=net0")), "")
        return Recalled(text["-uuid"], mac, place, forwards=forwards_in(card))

    def addresses(self, handle: Handle) -> tuple[str, ...]:
        from ovtasks.backends.qemu import agent
        from ovtasks.host import lan

        running = _find(handle)
        if running is None:
            return ()
        macs = _MAC.findall(self.defined(handle) or "")
        if _agent_runs(handle, running, agent.DEADLINE) and (
            found := agent.addresses(handle.sockets / AGENT_SOCKET, macs)
        ):
            return found
        return tuple(address for mac in macs for address in lan.addresses(mac))


def _defined_words(directory: Path) -> list[str]:
    """The command line in place. Empty if there is none or if it is damaged."""
    with contextlib.suppress(StateError, ValueError):
        words = parse(read_text(directory / DEFINITION) or "[]")
        return [word for word in words if isinstance(word, str)] if isinstance(words, list) else []
    return []


def _find(handle: Handle) -> Process | None:
    return status_.find(handle)


def _running(handle: Handle) -> Process:
    found = _find(handle)
    if found is None:
        raise OvError(f"{handle.domain} is not running", hint="ov vm start")
    return found


def _agent_runs(handle: Handle, running: Process, seconds: float) -> bool:
    """Whether an agent runs in the guest: only then is the guest's side of the port open."""
    try:
        with connect(handle.sockets / STATUS_SOCKET, running.pid, seconds) as qmp:
            return _chardev(qmp, AGENT_CHANNEL).get("frontend-open") is True
    except (NoQmpError, SilentError, QmpError):
        return False


def _free(qmp: Qmp) -> bool:
    """Whether nobody is connected to the serial port."""
    return str(_chardev(qmp, SERIAL).get("filename")).startswith("disconnected:")


def _chardev(qmp: Qmp, name: str) -> Mapping[str, object]:
    answer = qmp.execute("query-chardev")
    devices = [mapping(item) for item in answer] if isinstance(answer, list) else []
    return next((device for device in devices if device.get("label") == name), {})
