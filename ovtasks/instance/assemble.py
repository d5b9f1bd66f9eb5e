"""Makes the :class:`Machine` that a backend runs, from the spec, the instance and the host. Writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ovtasks.backends.contract import Backend, Capabilities
from ovtasks.errors import InputError, OvError
from ovtasks.host import accel, firmware, settings
from ovtasks.images.boot import Bootable
from ovtasks.instance.mounts import mounted, shared_folders
from ovtasks.instance.ports import Want
from ovtasks.instance.record import Record
from ovtasks.machine.devices.interface import card_forwards
from ovtasks.machine.machine import Boot, Machine, Nic, SharedFolder, Snippet
from ovtasks.machine.qemu.snippets import refuse
from ovtasks.machine.read import reading
from ovtasks.machine.smbios import TMPFILES, fstab_credential, hostname_credential, ssh_credentials, tmpfiles_extra
from ovtasks.project.layers import snippets_of
from ovtasks.project.locate import located
from ovtasks.project.model import ImportedSource, Injection, VmSpec
from ovtasks.seed.distro import attribute
from ovtasks.seed.mounts import fstab_line
from ovtasks.seed.wanted import hostname, wants_seed
from ovtasks.values.arch import arch_of
from ovtasks.values.firmware import Firmware
from ovtasks.values.jsonvalue import Json
from ovtasks.values.mount import SSHFS
from ovtasks.values.ports import PortForward
from ovtasks.values.words import dotted

SSH = 22


def architecture(vm: VmSpec) -> str:
    """The guest's architecture, by the kernel's name: the one that the source declares, else this host's."""
    written = attribute(vm.source, "architecture") or attribute(vm.source, "bootstrap_arch")
    return arch_of(str(written)).name if written else accel.host_arch()


def machine_type(vm: VmSpec, arch: str) -> str:
    """The declared machine type, else the usual one for the architecture."""
    return vm.machine or arch_of(arch).machine


def guest_hostname(vm: VmSpec, instance: str | None) -> str:
    """The declared host name, else the VM's name followed by the instance's."""
    declared = vm.cloud_init.hostname if vm.cloud_init else None
    return hostname(vm) if declared or instance is None else f"{vm.name}-{instance}"


def wanted_ports(vm: VmSpec, instance: str | None) -> tuple[Want, ...]:
    """The forwards to lease, with SSH's first.

    Ports written in the spec belong to the default instance. A second instance could not listen on them, so named
    instances get leased ports; so does a port that the spec leaves open (``auto:80``).
    """
    if vm.network.mode != "user":
        return ()
    wants = [
        Want(f.guest, f.protocol, f.address, None if instance else f.host or None, vm.where, "network.port_forwards")
        for f in vm.network.port_forwards
    ]
    written = [want for want in wants if (want.guest, want.protocol, want.address) == (SSH, "tcp", "127.0.0.1")]
    if vm.ssh.port is None and written:
        return (written[0], *(want for want in wants if want is not written[0]))
    port = vm.ssh.port if instance is None else None
    return (Want(SSH, "tcp", "127.0.0.1", port, vm.where, "ssh.port"), *wants)


def further_ports(vm: VmSpec) -> tuple[Want, ...]:
    """The forwards of network cards in the ``libvirt:`` block.

    The spec fixes their ports, so only one VM can have them.
    """
    found = card_forwards(reading(vm.libvirt).tree)
    return tuple(Want(f.guest, f.protocol, f.address, f.host, vm.where, dotted(place)) for f, place in found)


def boot_of(vm: VmSpec, record: Record, arch: str, capabilities: Capabilities) -> Boot:
    """The firmware. A backend that can find the files itself does so; otherwise they are searched for here.

    :raises OvError: no such firmware is installed; the hint names the package.
    """
    if vm.firmware is Firmware.BIOS:
        return Boot()
    secure = vm.firmware is Firmware.UEFI_SECURE
    adopted = vm.source.nvram_path if isinstance(vm.source, ImportedSource) else None
    own = record.folder.path / f"nvram-{vm.firmware.value}.fd"
    if vm.firmware.value in capabilities.firmware:
        return Boot(vm.firmware, auto=True, template=adopted, nvram=own, smm=secure)
    files = firmware.find(vm.firmware, arch, machine_type(vm, arch))
    if files is None:
        return Boot()
    return Boot(
        vm.firmware,
        code=files.code,
        template=adopted or files.template,
        nvram=own if adopted else record.folder.path / firmware.nvram_name(files),
        code_format=files.code_format,
        nvram_format=files.nvram_format,
        smm=files.smm,
    )


def check_firmware(vm: VmSpec, boot: Bootable | None) -> None:
    """Check that the firmware can start the disk: this error comes minutes before a failed boot would be noticed.

    :raises InputError: it cannot; the hint names a firmware that can.
    """
    if boot is None:
        return
    if vm.firmware is Firmware.BIOS and boot.bios is False:
        why, other = boot.why_not_bios, "firmware: uefi-insecure" if boot.uefi else None
    elif vm.firmware is not Firmware.BIOS and boot.uefi is False:
        why, other = boot.why_not_uefi, "firmware: bios" if boot.bios else None
    elif vm.firmware is Firmware.UEFI_SECURE and boot.signed is False:
        why, other = "the program that Secure Boot would start is not signed", "firmware: uefi-insecure"
    else:
        return
    raise InputError(
        f"the disk of {vm.name} cannot be started by firmware {vm.firmware}: {why}",
        hint=other or "no firmware starts it: the image's installer put no boot loader there (source.bootloader)",
        where=vm.where,
    )


def accelerator(vm: VmSpec, arch: str, capabilities: Capabilities) -> str:
    """``kvm`` or ``tcg``: the VM's ``accel:``, else the setting ``vm.accel``, else the best that works.

    :raises OvError: KVM is asked for and does not work here, or nothing here runs such guests.
    """
    wanted = vm.accel if vm.accel != "auto" else settings.get("vm.accel").value
    if wanted == "auto":
        if not capabilities.accels:
            raise OvError(f"nothing here runs {arch} guests", hint="ov doctor shows what is missing")
        return capabilities.accels[0]
    return accel.choose(wanted, arch).kind


def wanted_accelerator(vm: VmSpec, arch: str) -> str:
    """What the VM or the setting asks for, even if it does not work here; ``auto`` is the best that does."""
    wanted = vm.accel if vm.accel != "auto" else settings.get("vm.accel").value
    return wanted if wanted != "auto" else accel.usable(arch)[0]


def assemble(
    vm: VmSpec,
    record: Record,
    backend: Backend,
    forwards: Sequence[PortForward],
    keys: Sequence[str],
    anywhere: Capabilities | None = None,
) -> Machine:
    """The machine as the backend gets it. ``keys`` are lines of ``authorized_keys``.

    ``anywhere`` stands for what the backend can do here: the machine is to be shown, not run.

    :raises OvError: this host lacks the firmware or the accelerator.
    """
    vm = mounted(vm, record.overrides)
    arch = architecture(vm)
    placed = vm.placement(record.instance)
    type = machine_type(vm, arch)
    capabilities = anywhere or backend.capabilities(arch, type, record.uri)
    with located(vm):
        snippets = _snippets(vm, record)
        shares = shared_folders(vm, record, backend, arch, type, anywhere=anywhere is not None)
    seeded = wants_seed(vm)
    return Machine(
        domain=record.domain,
        uuid=record.uuid,
        vm=vm.name,
        instance=record.instance,
        project=record.project,
        arch=arch,
        machine=type,
        accel=accelerator(vm, arch, capabilities) if anywhere is None else wanted_accelerator(vm, arch),
        ram=record.overrides.ram or placed.ram or vm.ram,
        cpus=record.overrides.cpus or placed.cpus or vm.cpus,
        boot=boot_of(vm, record, arch, capabilities),
        disk=record.folder.disk,
        seed=record.folder.seed if seeded else None,
        serial_log=record.folder.serial_log,
        sockets=record.sockets,
        nic=_nic(vm, record, forwards, capabilities),
        oem_strings=_oem_strings(vm, record, keys, () if seeded else _with_devices(shares), seeded=seeded),
        credentials={} if seeded else {TMPFILES: record.folder.tmpfiles},
        autostart=vm.autostart,
        disposable=placed.disposable,
        lifecycle=placed.lifecycle,
        cid=record.cid if capabilities.vsock else None,
        libvirt=vm.libvirt if record.instance is None else _without_macs(vm.libvirt),
        shares=shares,
        snippets=snippets,
    )


def _with_devices(shares: Sequence[SharedFolder]) -> tuple[SharedFolder, ...]:
    """The folders that the guest can mount by itself."""
    return tuple(one for one in shares if one.transport != SSHFS)


def _snippets(vm: VmSpec, record: Record) -> tuple[Snippet, ...]:
    """What users wrote as XML. An entry that says qemu itself is told what plain QEMU does not have."""
    found = snippets_of(vm, record.instance)
    if vm.backend == "qemu" and record.backend == "qemu":
        refuse(found)
    return found


def _oem_strings(
    vm: VmSpec, record: Record, keys: Sequence[str], told: Sequence[SharedFolder], *, seeded: bool
) -> tuple[str, ...]:
    """The systemd credentials that the guest reads from its SMBIOS tables."""
    strings: tuple[str, ...] = ()
    if vm.ssh.smbios is not Injection.DISABLED and vm.ssh.user and keys:
        # without a seed, one credential has everything for systemd-tmpfiles: these keys and the secret host key
        strings = ssh_credentials(vm.ssh.user, keys if seeded or vm.ssh.user == "root" else ())
    if not seeded:
        strings = (*strings, hostname_credential(guest_hostname(vm, record.instance)))
    if told:
        lines = (fstab_line(one.tag, one.target, one.transport, read_only=one.read_only) for one in told)
        strings = (*strings, fstab_credential("".join(lines)))
    return strings


def _without_macs(libvirt: Mapping[str, Json]) -> Mapping[str, Json]:
    """The block without its cards' MAC addresses. Like ``network.mac`` they belong to the default instance only."""
    devices = libvirt.get("devices")
    listed = devices.get("interfaces") if isinstance(devices, Mapping) else None
    if not isinstance(devices, Mapping) or not isinstance(listed, Sequence) or isinstance(listed, str):
        return libvirt
    plain: list[Json] = [
        {key: value for key, value in card.items() if key != "mac"} if isinstance(card, Mapping) else card
        for card in listed
    ]
    return {**libvirt, "devices": {**devices, "interfaces": plain}}


def _nic(vm: VmSpec, record: Record, forwards: Sequence[PortForward], capabilities: Capabilities) -> Nic:
    return Nic(
        mac=record.mac,
        mode=vm.network.mode,
        model=vm.network.model,
        bridge=vm.network.bridge,
        network=vm.network.network,
        dev=vm.network.dev,
        forwards=tuple(forwards),
        stack="passt" if capabilities.passt else "slirp",
    )


def tmpfiles(vm: VmSpec, keys: Sequence[str], host_key: tuple[str, str]) -> str | None:
    """The credential that brings a guest without a seed its host key and its user's keys.

    None if the VM has a seed, which brings them.
    """
    if wants_seed(vm):
        return None
    lets_in = vm.ssh.smbios is not Injection.DISABLED and vm.ssh.user is not None
    return tmpfiles_extra(vm.ssh.user or "root", keys if lets_in else (), host_key)
