"""A VM's definition: the command line for this host's QEMU, as text."""

from __future__ import annotations

from ovtasks.backends.qemu import program
from ovtasks.errors import InputError
from ovtasks.host.packages import package_hint
from ovtasks.machine.machine import Machine
from ovtasks.machine.qemu.argv import argv_of
from ovtasks.machine.qemu.command import Command, QemuFeatures
from ovtasks.machine.qemu.families import command
from ovtasks.values.arch import arch_of
from ovtasks.values.jsonvalue import state_text

NEW = (10, 0)
"""The version of QEMU that is meant where this host's does not count."""


class _Every(frozenset[str]):
    """All models of devices that there are."""

    def __contains__(self, item: object) -> bool:
        return True


def command_of(machine: Machine) -> Command:
    """The command that runs ``machine`` on this host.

    :raises InputError: the spec asks for something that plain QEMU, or this version of it, lacks.
    """
    return _command(machine, program.features(machine.arch))


def command_anywhere(machine: Machine) -> Command:
    """The command for a new QEMU that was built with everything.

    :raises InputError: the spec asks for something that plain QEMU lacks.
    """
    binary = f"qemu-system-{arch_of(machine.arch).qemu}"
    return _command(machine, QemuFeatures(binary, NEW, True, True, True, True, _Every()))


def _command(machine: Machine, host: QemuFeatures) -> Command:
    if machine.autostart:
        raise InputError("autostart: QEMU alone starts no VM with the host", hint="backend: libvirt, or no autostart")
    found = command(machine, host)
    if found.spice and not found.host.spice:
        hint = f"{package_hint('qemu-spice')}, or type: vnc"
        raise InputError("libvirt.devices.graphics: QEMU has no SPICE here", hint=hint)
    return found


def text_of(wanted: Command) -> str:
    """The command line as JSON text."""
    return state_text(argv_of(wanted), lines=True)
