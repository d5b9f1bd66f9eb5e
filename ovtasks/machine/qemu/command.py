"""What the families build up together: the parts of the command line, and what runs beside QEMU."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ovtasks.machine.machine import Machine
from ovtasks.machine.qemu.names import SECRET_SUFFIX
from ovtasks.machine.qemu.option import device, option
from ovtasks.values.arch import arch_of


@dataclass(frozen=True)
class QemuFeatures:
    """What one QEMU program can do, by its own account. ``sandbox``: its seccomp filter works here.

    ``user_network``: SLiRP was built in. ``spice``: SPICE was, or its modules are installed. ``devices`` are all models
    that ``-device`` takes.
    """

    binary: str
    version: tuple[int, int]
    sandbox: bool
    user_network: bool
    spice: bool
    kvm: bool
    devices: frozenset[str]


class Helper(Protocol):
    """A program that runs as long as QEMU does, and serves it at ``socket``."""

    @property
    def socket(self) -> Path:
        """The Unix socket that QEMU connects to."""


@dataclass(frozen=True)
class ForkingHelper:
    """A helper that goes into the background by itself. Its ``words`` do not yet say where its process id and log go;
    those files are called ``name``. ``state`` is its own folder. It takes no path with a comma; ``hint`` says what to
    do about one."""

    name: str
    words: tuple[str, ...]
    socket: Path
    state: Path
    hint: str


@dataclass
class Command:
    """``properties`` (of ``-machine``), ``accel``, ``cpu``, ``topology`` (of ``-smp``) and ``rtc`` are properties of
    these options; ``model`` is the CPU's (None: the accelerator's own). ``early`` words come before all devices,
    ``words`` after those that every VM has; ``models`` are the models of all devices.

    ``secrets`` maps names of files, in the folder of the sockets, to the passwords in them. ``helpers`` run as long as
    QEMU does. ``pins`` and ``thread_pins`` map the number of a guest's CPU, or of an I/O thread, to host CPUs.
    ``shared``: another process must see the guest's memory. ``orders`` are the boot orders in use, ``groups`` the
    limits that disks share, by name, ``scsi`` the ids of controllers. ``notes`` say what was added because other fields
    need it. ``sounds`` maps libvirt's ids of audio backends to QEMU's. ``spice``: there is a SPICE server;
    ``spice_wanted``: some device goes through one. ``display``: people can look at the VM.
    """

    machine: Machine
    host: QemuFeatures
    properties: dict[str, object] = field(default_factory=dict)
    accel: dict[str, object] = field(default_factory=dict)
    cpu: dict[str, object] = field(default_factory=dict)
    topology: dict[str, object] = field(default_factory=dict)
    rtc: dict[str, object] = field(default_factory=lambda: {"base": "utc"})
    model: str | None = None
    early: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)
    helpers: list[Helper] = field(default_factory=list)
    pins: dict[int, frozenset[int]] = field(default_factory=dict)
    thread_pins: dict[int, frozenset[int]] = field(default_factory=dict)
    orders: set[int] = field(default_factory=set)
    groups: dict[str, dict[str, int]] = field(default_factory=dict)
    scsi: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    sounds: dict[str, str] = field(default_factory=dict)
    spice: bool = False
    spice_wanted: bool = False
    display: bool = False
    shared: bool = False
    usb: bool = False

    @property
    def pc(self) -> bool:
        """Whether the machine is a PC, with a PC's old devices."""
        return arch_of(self.machine.arch).bios

    @property
    def q35(self) -> bool:
        """Whether the machine is a q35."""
        return "q35" in self.machine.machine

    @property
    def kvm(self) -> bool:
        """Whether KVM runs it."""
        return self.machine.accel == "kvm"

    def add(self, name: str, head: str | None = None, /, **values: object) -> None:
        """Add an option such as ``-chardev`` with its value."""
        self.words += (f"-{name}", option(head, **values))

    def device(self, model: str, /, **values: object) -> None:
        """Add an option ``-device``, after those that every VM has."""
        self.words += self.one(model, **values)

    def one(self, model: str, /, **values: object) -> tuple[str, ...]:
        """The words of ``-device``; the caller puts them in place."""
        self.models.append(model)
        return tuple(device(model, **values))

    def secret(self, name: str, text: str) -> str:
        """Add a secret, whose text goes into a file that only the VM's owner can read; returns its id."""
        file = f"{name}{SECRET_SUFFIX}"
        self.secrets[file] = text
        self.add("object", "secret", id=f"{name}-secret", file=self.machine.sockets / file)
        return f"{name}-secret"

    def usb_bus(self) -> str:
        """The bus for USB devices. The first device brings a controller, if none was declared."""
        if not self.usb:
            self.usb = True
            self.device("qemu-xhci", id="usb0")
        return "usb0.0"

    def order(self, number: int | None) -> int | None:
        """Mark a boot order as in use, and return it."""
        if number is not None:
            self.orders.add(number)
        return number


def numbers(text: str) -> tuple[int, ...]:
    """The numbers of ``0-3,^2,7``."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.removeprefix("^").partition("-")
        span = set(range(int(first), int(last or first) + 1))
        found = found - span if part.startswith("^") else found | span
    return tuple(sorted(found))


def switched(text: str | None) -> str | None:
    """libvirt's ``yes`` and ``no`` as QEMU's ``on`` and ``off``."""
    return {"yes": "on", "no": "off"}.get(text, text) if text is not None else None
