"""The kinds of devices: one file, or one folder, for each; this is their list."""

from __future__ import annotations

from ovtasks.machine.device import Device
from ovtasks.machine.devices.audio import AUDIO
from ovtasks.machine.devices.channel import CHANNEL
from ovtasks.machine.devices.console import CONSOLE
from ovtasks.machine.devices.controller import CONTROLLER
from ovtasks.machine.devices.crypto import CRYPTO
from ovtasks.machine.devices.disk import DISK
from ovtasks.machine.devices.filesystem import FILESYSTEM
from ovtasks.machine.devices.graphics import GRAPHICS
from ovtasks.machine.devices.hostdev import HOSTDEV
from ovtasks.machine.devices.hub import HUB
from ovtasks.machine.devices.input import INPUT
from ovtasks.machine.devices.interface import INTERFACE
from ovtasks.machine.devices.iommu import IOMMU
from ovtasks.machine.devices.lease import LEASE
from ovtasks.machine.devices.memballoon import MEMBALLOON
from ovtasks.machine.devices.memory import MEMORY
from ovtasks.machine.devices.panic import PANIC
from ovtasks.machine.devices.parallel import PARALLEL
from ovtasks.machine.devices.redirdev import REDIRDEV
from ovtasks.machine.devices.rng import RNG
from ovtasks.machine.devices.serial import SERIAL
from ovtasks.machine.devices.shmem import SHMEM
from ovtasks.machine.devices.smartcard import SMARTCARD
from ovtasks.machine.devices.sound import SOUND
from ovtasks.machine.devices.tpm import TPM
from ovtasks.machine.devices.usb import USB
from ovtasks.machine.devices.video import VIDEO
from ovtasks.machine.devices.vsock import VSOCK
from ovtasks.machine.devices.watchdog import WATCHDOG

DEVICES: tuple[Device, ...] = (
    CONTROLLER,
    USB,
    DISK,
    FILESYSTEM,
    INTERFACE,
    SERIAL,
    CONSOLE,
    PARALLEL,
    CHANNEL,
    SMARTCARD,
    INPUT,
    GRAPHICS,
    AUDIO,
    SOUND,
    VIDEO,
    HOSTDEV,
    REDIRDEV,
    HUB,
    TPM,
    WATCHDOG,
    RNG,
    MEMBALLOON,
    PANIC,
    SHMEM,
    IOMMU,
    VSOCK,
    MEMORY,
    LEASE,
    CRYPTO,
)
"""All kinds, in the order of their elements in the XML."""

ELEMENTS = frozenset({*(device.tag for device in DEVICES), "emulator", "nvram", "pstore", "redirfilter"})
"""All children of ``<devices>`` that libvirt documents (up to 11)."""

QEMU_ORDER: tuple[Device, ...] = (
    IOMMU,
    VSOCK,
    RNG,
    MEMBALLOON,
    USB,
    HUB,
    VIDEO,
    GRAPHICS,
    AUDIO,
    SOUND,
    INPUT,
    CONTROLLER,
    DISK,
    INTERFACE,
    SERIAL,
    CONSOLE,
    PARALLEL,
    CHANNEL,
    SMARTCARD,
    REDIRDEV,
    HOSTDEV,
    FILESYSTEM,
    TPM,
    WATCHDOG,
    SHMEM,
    PANIC,
    CRYPTO,
)
"""The kinds that QEMU has without libvirt, in the order that it needs: buses and backends before what uses them."""
