"""What libvirt and its QEMU can do here, and the check that a spec asks for no more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ovtasks.errors import InputError, InputErrors
from ovtasks.host.packages import package_hint
from ovtasks.machine.field import Block, Field, Items, Node, Version
from ovtasks.machine.read import Path, Read, Value
from ovtasks.machine.table import LIBVIRT
from ovtasks.machine.tree import items, mapping, value
from ovtasks.values.words import dotted

WATCHDOGS: Version = (9, 1)
Known = frozenset[str] | None
"""The words of an enum of ``domcapabilities``; None: it does not tell."""


@dataclass(frozen=True)
class HostFeatures:
    """``domcapabilities``' words for this kind of machine; what it does not tell is None, and not checked.

    ``emulator`` is QEMU's path (None: libvirt's choice). ``tpm``: an emulated TPM can be had; ``passt``: libvirt knows
    it and it works here. ``vendor`` is the host processor's. ``version`` is libvirt's. ``virtiofs_problem`` is why
    virtiofs cannot be had, in words,
    ``vsock_problem`` why vsock cannot. ``session``: the daemon is a user's own, which has no cgroups.
    """

    emulator: str | None = None
    graphics: frozenset[str] = frozenset({"vnc"})
    video: frozenset[str] = frozenset({"vga", "none"})
    tpm: bool = False
    passt: bool = False
    version: Version | None = None
    vendor: str | None = None
    tpm_models: Known = None
    tpm_backends: Known = None
    filesystems: Known = None
    hostdevs: Known = None
    rng_models: Known = None
    rng_backends: Known = None
    disk_devices: Known = None
    disk_buses: Known = None
    memory_sources: Known = None
    channels: Known = None
    crypto: Known = None
    sev: bool | None = None
    virtiofs_problem: str | None = None
    vsock_problem: str | None = None
    session: bool = False


def check(wanted: Read, host: HostFeatures, accel: str) -> None:
    """:raises InputError: the spec asks for what this host lacks; the field and what helps are named."""
    errors = [*_versions(wanted, LIBVIRT, ("libvirt",), host.version), *_cpu(wanted, host, accel)]
    if host.session:
        errors += _cgroups(wanted)
    devices = mapping(wanted, "devices")
    for rule in (_displays, _tpm, _others):
        errors += rule(devices, host)
    source = value(mapping(wanted, "memory_backing"), "source")
    errors += _lacking(source, host.memory_sources, ("libvirt", "memory_backing", "source"), "memory source")
    security = value(mapping(wanted, "launch_security"), "type") or ""
    if host.sev is False and security.startswith("sev"):
        hint = "a host with AMD SEV, turned on in its firmware and kernel (kvm_amd sev=1)"
        errors.append(_error(("libvirt", "launch_security", "type"), f"{security}: this host has no SEV", hint))
    if errors:
        raise errors[0] if len(errors) == 1 else InputErrors(errors)


def _error(path: Path, problem: str, hint: str) -> InputError:
    return InputError(f"{dotted(path)} {problem}", hint=hint, field=path)


def _versions(wanted: Value, node: Node, path: Path, version: Version | None) -> Iterator[InputError]:
    """What a newer libvirt knows."""
    if version is None:
        return
    since = None if not isinstance(node, Field | Block) else node.since
    if isinstance(node, Field):
        since = node.since_values.get(str(wanted), since)
    if since is not None and version < since:
        name = f"{dotted(path)} {wanted}" if isinstance(wanted, str) else dotted(path)
        message = f"{name} needs libvirt {since[0]}.{since[1]}, this one is {version[0]}.{version[1]}"
        yield InputError(message, hint="remove it, or install a newer libvirt", field=path)
    elif isinstance(node, Block) and isinstance(wanted, Mapping):
        for key, item in wanted.items():
            yield from _versions(item, node.fields[key], (*path, key), version)
    elif isinstance(node, Items) and not isinstance(wanted, str | Mapping):
        for index in range(len(wanted)):
            yield from _versions(wanted[index], node.block, (*path, index), version)


def _lacking(wanted: str | None, known: Known, path: Path, what: str, hint: str = "") -> Iterator[InputError]:
    if wanted is not None and known is not None and wanted not in known:
        others = f"one of {', '.join(sorted(known))}" if known else "remove it"
        yield _error(path, f"{wanted}: QEMU here has no such {what}", hint or others)


def _cpu(wanted: Read, host: HostFeatures, accel: str) -> Iterator[InputError]:
    """Nested virtualisation is called vmx by Intel, svm by AMD."""
    names = {"Intel": "vmx", "AMD": "svm"}
    own = names.get(host.vendor or "")
    if own is None or accel != "kvm":
        return
    for index, feature in enumerate(items(mapping(wanted, "cpu"), "features")):
        name, policy = value(feature, "name"), value(feature, "policy")
        if name in names.values() and name != own and policy not in {"disable", "forbid"}:
            path: Path = ("libvirt", "cpu", "features", index, "name")
            yield _error(path, f"{name}: this host's processor is {host.vendor}'s", f"name: {own}")


def _cgroups(wanted: Read) -> Iterator[InputError]:
    """Limits are cgroups', which the daemon of the system has; pinning needs none."""
    for block in ("cputune", "memtune"):
        for name in mapping(wanted, block):
            if not name.endswith("pin"):
                hint = "remove it, or OV_LIBVIRT_URI=qemu:///system"
                yield _error(("libvirt", block, name), "is a limit that a user's own libvirt session has not", hint)


def _displays(devices: Read, host: HostFeatures) -> Iterator[InputError]:
    for index, item in enumerate(items(devices, "graphics")):
        kind, path = value(item, "type") or "", ("libvirt", "devices", "graphics", index, "type")
        if kind not in host.graphics:
            packages = {"spice": "qemu-spice", "egl-headless": "qemu-egl-headless", "dbus": "qemu-dbus"}
            others = ", ".join(sorted(host.graphics)) or "none"
            hint = package_hint(packages[kind]) if kind in packages else f"choose one of {others}, or no graphics"
            yield _error(path, f"{kind}: QEMU here has no {kind.upper()}", hint)
    for index, item in enumerate(items(devices, "video")):
        name, path = value(item, "model") or "", ("libvirt", "devices", "video", index, "model")
        if name not in host.video:
            hint = package_hint(f"qemu-{name}") if name in {"qxl", "virtio"} else ""
            yield from _lacking(name, host.video, path, "video card", hint)


def _tpm(devices: Read, host: HostFeatures) -> Iterator[InputError]:
    for index, item in enumerate(items(devices, "tpm")):
        path: Path = ("libvirt", "devices", "tpm", index)
        backend = value(mapping(item, "backend"), "type") or "emulator"
        if backend == "emulator" and not host.tpm:
            problem = "needs the TPM emulator swtpm, which is not installed"
            yield _error(path, problem, package_hint("swtpm"))
        elif backend != "emulator":
            yield from _lacking(backend, host.tpm_backends, (*path, "backend", "type"), "TPM backend")
        yield from _lacking(value(item, "model"), host.tpm_models, (*path, "model"), "TPM")


def _others(devices: Read, host: HostFeatures) -> Iterator[InputError]:
    here: Path = ("libvirt", "devices")
    for index, item in enumerate(items(devices, "filesystems")):
        if value(item, "driver") == "virtiofs":
            place: Path = (*here, "filesystems", index, "driver")
            hint = f"{package_hint('virtiofsd')}; or driver: 9p"
            yield from _lacking("virtiofs", host.filesystems, place, "file system", hint)
            server = value(mapping(item, "binary"), "path")
            if host.virtiofs_problem is not None and server is None:
                yield _error(place, f"virtiofs: {host.virtiofs_problem}", hint)
    for index, item in enumerate(items(devices, "hostdevs")):
        place = (*here, "hostdevs", index, "type")
        yield from _lacking(value(item, "type"), host.hostdevs, place, "kind of host device")
    for index, item in enumerate(items(devices, "rng")):
        place = (*here, "rng", index)
        backend = value(item, "backend") or "/dev/urandom"
        kind = backend if backend in {"builtin", "egd"} else "random"
        yield from _lacking(kind, host.rng_backends, (*place, "backend"), "source of random numbers")
        yield from _lacking(value(item, "model"), host.rng_models, (*place, "model"), "source of random numbers")
    for index, item in enumerate(items(devices, "disks")):
        place = (*here, "disks", index)
        yield from _lacking(value(item, "device"), host.disk_devices, (*place, "device"), "kind of disk")
        bus = value(mapping(item, "target"), "bus")
        yield from _lacking(bus, host.disk_buses, (*place, "target", "bus"), "bus for disks")
    for index, item in enumerate(items(devices, "channels")):
        kind_ = value(item, "type")
        if kind_ not in {"spicevmc", "spiceport"}:  # these follow from graphics
            yield from _lacking(kind_, host.channels, (*here, "channels", index, "type"), "channel")
    if "vsock" in devices and host.vsock_problem is not None:
        hint = "as root: modprobe vhost_vsock; or remove libvirt.devices.vsock"
        yield _error((*here, "vsock"), f"cannot be had: {host.vsock_problem}", hint)
    dogs = items(devices, "watchdog")
    if len(dogs) > 1 and host.version is not None and host.version < WATCHDOGS:
        problem = f"is one too many: libvirt takes several from {WATCHDOGS[0]}.{WATCHDOGS[1]} on"
        yield _error((*here, "watchdog", 1), problem, "remove it, or install a newer libvirt")
    if host.crypto is not None:
        for index, _ in enumerate(items(devices, "crypto")):
            yield from _lacking("virtio", host.crypto, (*here, "crypto", index), "accelerator of cryptography")
