"""One VM as a backend runs it: the spec, with every choice made that depends on the host or the instance.

The renderers (:mod:`.xml.domain`, :mod:`.qemu.argv`) turn a :class:`Machine` into text and look at nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ovtasks.errors import Where
from ovtasks.machine.smbios import notify_credential
from ovtasks.values.firmware import Firmware
from ovtasks.values.jsonvalue import Json
from ovtasks.values.ports import PortForward


@dataclass(frozen=True)
class Boot:
    """The firmware. ``auto``: libvirt finds the files itself. ``code`` is None then, and so is ``template``, unless
    the VM was imported with variables of its own.

    ``code`` is read-only; ``nvram`` is this instance's own copy of ``template``. All are None for a BIOS. Formats are
    ``raw`` or ``qcow2``. ``smm``: the firmware protects its variables by system management mode (Secure Boot).
    """

    firmware: Firmware = Firmware.BIOS
    auto: bool = False
    code: Path | None = None
    template: Path | None = None
    nvram: Path | None = None
    code_format: str = "raw"
    nvram_format: str = "raw"
    smm: bool = False


@dataclass(frozen=True)
class Nic:
    """The first network card. ``bridge`` is the host's bridge (mode bridge), ``network`` libvirt's network (nat,
    network), ``dev`` the host's card (direct).

    ``forwards`` include SSH's. ``stack`` is what forwards in mode user: ``passt`` or ``slirp`` (QEMU's own).
    """

    mac: str
    mode: str = "user"
    model: str = "virtio-net-pci"
    bridge: str | None = None
    network: str | None = None
    dev: str | None = None
    forwards: tuple[PortForward, ...] = ()
    stack: str = "slirp"


@dataclass(frozen=True)
class SharedFolder:
    """A folder ``source`` of the host that the guest mounts at ``target``. ``transport``: virtiofs, 9p or sshfs.

    ``tag`` is its name in the guest until then. ``login`` is the number of the guest's user who may have the host's
    user's files, if the transport can map numbers. ``users`` says in a word whose files they are in the guest.
    """

    tag: str
    source: Path
    target: str
    transport: str
    read_only: bool = False
    login: int | None = None
    users: str = "same"


@dataclass(frozen=True)
class Snippet:
    """XML that a user wrote for the domain. ``name`` is what errors call it: ``libvirt.snippets[0]``.

    It stands in the VM's own spec at ``field``, or in another file at ``where``; its text begins there at line and
    column ``begins``, None when the file has it in another form (quoted with escapes, folded).
    """

    text: str
    name: str
    field: tuple[str | int, ...] | None = None
    where: Where | None = None
    begins: tuple[int, int] | None = None


@dataclass(frozen=True)
class Machine:
    """``ram`` is in bytes; ``accel`` is ``kvm`` or ``tcg``; ``machine`` is QEMU's type (q35, virt, pc-q35-9.2).

    ``disk`` is the instance's own qcow2; ``seed`` a raw image that the guest sees read-only. ``oem_strings`` are SMBIOS
    type 11 values as the guest receives them (unescaped); everybody on the host can read them in QEMU's arguments.
    ``credentials`` are secret systemd credentials, name → file with the value; the guest gets them by fw_cfg, as
    ``opt/io.systemd.credentials/NAME``. ``sockets`` is the folder for Unix sockets: its path is short enough for them,
    and only its owner may enter it. ``serial_log`` gets everything that the guest writes to its first serial port.
    ``cid`` is the guest's vsock(7) address (None: it has none); its systemd announces the boot to the host's port of
    the same number. ``libvirt`` is the spec's mapping of that name; ``shares`` are its ``mounts``; ``snippets`` are
    what users write as XML, in the order of merging: the layers', then the VM's own.
    """

    domain: str
    uuid: str
    vm: str
    project: Path
    disk: Path
    serial_log: Path
    sockets: Path
    nic: Nic
    instance: str | None = None
    arch: str = "x86_64"
    machine: str = "q35"
    accel: str = "tcg"
    ram: int = 4 << 30
    cpus: int = 2
    boot: Boot = Boot()
    seed: Path | None = None
    oem_strings: tuple[str, ...] = ()
    credentials: Mapping[str, Path] = field(default_factory=dict)
    autostart: bool = False
    disposable: bool | None = None
    lifecycle: str | None = None
    cid: int | None = None
    libvirt: Mapping[str, Json] = field(default_factory=dict)
    shares: tuple[SharedFolder, ...] = ()
    snippets: tuple[Snippet, ...] = ()

    @property
    def told(self) -> tuple[str, ...]:
        """All SMBIOS type 11 strings."""
        return self.oem_strings if self.cid is None else (*self.oem_strings, notify_credential(self.cid))
