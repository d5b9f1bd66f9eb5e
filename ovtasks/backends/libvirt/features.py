"""What a libvirt daemon and its QEMU can do: reads ``domcapabilities`` for the renderer and for the backend.

Format: libvirt's documentation, "Domain capabilities XML format".
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

from ovtasks.backends.contract import Capabilities
from ovtasks.backends.libvirt.diagnosis import diagnose
from ovtasks.backends.libvirt.session import connection, is_local, is_own_session, load, uri_of
from ovtasks.errors import OvError
from ovtasks.host import vsock
from ovtasks.host.run import run, which
from ovtasks.machine.xml.domain import HostFeatures
from ovtasks.values.firmware import Firmware

ACCELS = {"kvm": "kvm", "tcg": "qemu"}
"""Our accelerators → libvirt's domain types, best first."""
VHOST_USER = ("/usr/share/qemu/vhost-user", "/etc/qemu/vhost-user")
"""Folders of the files that describe vhost-user programs (QEMU's ``docs/interop/vhost-user.json``)."""
VIRTIOFS_IN_SESSIONS = (10, 0)
PASST_SINCE = "20240101"  # under newer kernels, older ones die on the first connection or attach too late


NOTHING = HostFeatures()
ANYWHERE = Capabilities((), passt=True, firmware=(Firmware.UEFI_INSECURE.value, Firmware.UEFI_SECURE.value), vsock=True)
"""What a new libvirt can do on a host that has all programs for it."""


@dataclass(frozen=True)
class Domcaps:
    """``host`` is for the renderer. ``insecure`` and ``secure``: libvirt itself finds UEFI firmware of that kind."""

    host: HostFeatures = NOTHING
    insecure: bool = False
    secure: bool = False


def parse(text: str) -> Domcaps:
    """Read what ``getDomainCapabilities`` returned.

    Since 12.1, libvirt lists the features of its firmware. Older versions only list the kinds of loader files, where
    "secure" means that one uses System Management Mode.
    """
    root = ET.fromstring(text)
    features = root.find("os/firmwareFeatures")
    efi = "efi" in _values(root, "os", "firmware")
    if features is not None and features.get("supported") == "yes":
        boot = _values(root, "os/firmwareFeatures", "secureBoot")
        insecure, secure = "no" in boot, "yes" in boot and "yes" in _values(root, "os/firmwareFeatures", "enrolledKeys")
    else:
        loaders = _values(root, "os/loader", "secure")
        insecure, secure = "no" in loaders, "yes" in loaders
    return Domcaps(_host(root), insecure=efi and insecure, secure=efi and secure)


def _host(root: ET.Element) -> HostFeatures:
    known = _enums(root)
    hostdevs = "devices/hostdev/subsysType"
    if hostdevs in known:  # libvirt never lists mdev; it lists PCI even if the host cannot pass it through
        passes = known.get("devices/hostdev/pciBackend") != frozenset()
        known[hostdevs] = known[hostdevs] - (frozenset() if passes else {"pci"}) | {"mdev"}
    return HostFeatures(
        known=known,
        passt=any(value.text == "passt" for value in root.iterfind("devices/interface/enum/value")),
        vendor=root.findtext("cpu/mode[@name='host-model']/vendor"),
    )


def _enums(root: ET.Element) -> dict[str, frozenset[str]]:
    """All values by the path of their enum. An attribute ``supported`` has a path, too: ``features/sev/supported``."""
    found: dict[str, frozenset[str]] = {}
    for element, place in _below(root, ""):
        if element.tag == "enum":
            words = frozenset(value.text or "" for value in element.findall("value"))
            found[f"{place.rpartition('/')[0]}/{element.get('name')}"] = words
        elif (supported := element.get("supported")) is not None:
            found[f"{place}/supported"] = frozenset({supported})
    return found


def _below(element: ET.Element, place: str) -> Iterator[tuple[ET.Element, str]]:
    for child in element:
        below = f"{place}/{child.tag}".lstrip("/")
        yield child, below
        yield from _below(child, below)


def _values(root: ET.Element, place: str, enum: str) -> frozenset[str]:
    return _enums(root).get(f"{place}/{enum}", frozenset())


_known: dict[tuple[int, str, str, str, str], Domcaps | None] = {}
_lock = threading.Lock()


def domcaps(arch: str, machine: str, accel: str, uri: str | None = None) -> Domcaps | None:
    """The capabilities for one machine type. None if the accelerator does not work. Asked once per process.

    :raises OvError: the daemon cannot be asked, or does not know the architecture or the machine type.
    """
    name = uri_of(uri)
    key = (os.getpid(), name, arch, machine, accel)
    if key not in _known:
        found = _ask(name, arch, machine, accel)
        with _lock:
            _known[key] = found
    return _known[key]


def _ask(uri: str, arch: str, machine: str, accel: str) -> Domcaps | None:
    daemon = connection(uri)
    libvirt = load()
    try:
        return parse(daemon.getDomainCapabilities(None, arch, machine, ACCELS[accel]))
    except libvirt.libvirtError as e:
        if accel == "kvm" and e.get_error_code() in {libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_CONFIG_UNSUPPORTED}:
            return None
        problem = diagnose(e, f"run {arch} guests with {uri}", machine)
        if "emulator" in problem.message:
            problem.hint = problem.hint or f"install the package that brings qemu-system-{arch}"
        raise problem from e


def host_features(arch: str, machine: str, accel: str, uri: str | None = None) -> HostFeatures:
    """The features for the renderer. The emulator is left to libvirt, so the definition does not depend on this host.

    :raises OvError: KVM is asked for, and libvirt's QEMU cannot use it here.
    """
    found = domcaps(arch, machine, accel, uri)
    if found is None:
        raise OvError(
            f"libvirt says that its QEMU cannot use KVM for {arch} guests here",
            hint="accel: auto, or accel: tcg; ov doctor says what is missing for KVM",
        )
    major, minor = divmod(connection(uri).getLibVersion() // 1000, 1000)
    problems = {
        "virtiofs": virtiofs_problem(uri_of(uri), (major, minor)),
        "vsock": vsock.problem() if is_local(uri_of(uri)) else None,
    }
    return replace(
        found.host,
        passt=found.host.passt and _passt(uri),
        version=(major, minor),
        problems={name: problem for name, problem in problems.items() if problem is not None},
        session=urlsplit(uri_of(uri)).path == "/session",
    )


def virtiofs_problem(uri: str, version: tuple[int, int]) -> str | None:
    """Why virtiofs cannot work there, even if libvirt's QEMU supports it. None if no reason is known."""
    if is_own_session(uri) and version < VIRTIOFS_IN_SESSIONS:
        return "libvirt serves virtiofs in a user's session from 10.0 on"
    described = [path for folder in VHOST_USER for path in Path(folder).glob("*virtiofsd*.json")]
    if is_local(uri) and which("virtiofsd") is None and not described:
        return "its server virtiofsd is not installed"
    return None


def capabilities(arch: str, machine: str, uri: str | None = None) -> Capabilities:
    """What this backend can do here. An accelerator counts if libvirt has it and, on this host, our own check agrees.

    :raises OvError: the daemon cannot be asked.
    """
    from ovtasks.host.accel import usable

    here = usable(arch) if is_local(uri_of(uri)) else tuple(ACCELS)
    found = {accel: caps for accel in here if (caps := domcaps(arch, machine, accel, uri)) is not None}
    best = next(iter(found.values()), Domcaps())
    firmware = ((Firmware.UEFI_INSECURE, best.insecure), (Firmware.UEFI_SECURE, best.secure))
    return Capabilities(
        accels=tuple(found),
        passt=best.host.passt and _passt(uri),
        firmware=tuple(value.value for value, there in firmware if there),
        vsock=is_local(uri_of(uri)) and vsock.problem() is None,
    )


def _passt(uri: str | None) -> bool:
    """Whether passt works. On another host, trust libvirt's answer."""
    return passt_works() if is_local(uri_of(uri)) else True


@cache
def passt_works() -> bool:
    """Whether passt works here: not as root, nor older than :data:`PASST_SINCE`. An unknown version counts as new."""
    program = which("passt")
    if program is None or os.geteuid() == 0:
        return False
    try:
        said = run([program, "--version"], check=False, timeout=10).stdout
    except OvError:
        return False
    date = re.search(r"(20\d\d)_?(\d\d)_?(\d\d)", said)
    return date is None or "".join(date.groups()) >= PASST_SINCE
