"""Puts definitions in place, remembers them, finds them again and removes them.

libvirt rewrites a definition (it adds addresses and defaults). So the instance's folder keeps our own text and the
digest of libvirt's version of it. As long as that digest matches, nobody else has changed the definition.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from ovtasks.backends.contract import Handle, Recalled
from ovtasks.backends.hostfwd import forwards_in
from ovtasks.backends.libvirt.diagnosis import diagnosed
from ovtasks.backends.libvirt.session import connection, is_local, is_own_session, load, sockets, uri_of
from ovtasks.errors import OvError, RefusedError
from ovtasks.host.files import write_atomic
from ovtasks.host.paths import config_home
from ovtasks.host.state import read_text, try_load_state
from ovtasks.values.jsonvalue import state_text
from ovtasks.values.ports import PortForward

if TYPE_CHECKING:
    import libvirt

TEXT = "definition.xml"
DIGESTS = "definition.json"
QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
_MAC = re.compile(r"\bmac=([0-9a-f:]{17})")


def find(daemon: libvirt.virConnect, handle: Handle) -> libvirt.virDomain | None:
    """Find our domain, which has the uuid that the instance recorded. None if there is none.

    :raises RefusedError: the domain of that name is not ours, or somebody renamed ours.
    """
    libvirt = load()
    try:
        domain = daemon.lookupByName(handle.domain)
    except libvirt.libvirtError as e:
        if e.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
    else:
        if domain.UUIDString() == handle.uuid:
            return domain
        raise RefusedError(
            f"libvirt has a domain {handle.domain} that is not ours (its uuid is {domain.UUIDString()})",
            hint=f"virsh domrename {handle.domain} ANOTHER-NAME, or remove it, or use another instance name (-i)",
        )
    try:
        renamed = daemon.lookupByUUIDString(handle.uuid)
    except libvirt.libvirtError as e:
        if e.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
        return None
    if renamed.name() == handle.domain:  # defined between the two lookups
        return renamed
    raise RefusedError(
        f"somebody renamed the domain {handle.domain} to {renamed.name()}",
        hint=f"virsh domrename {renamed.name()} {handle.domain}",
    )


@dataclass(frozen=True)
class _Remembered:
    text: str
    dump: str  # the digest of libvirt's version


def defined(handle: Handle) -> str | None:
    """Our text, if libvirt still has that definition; else None."""
    with diagnosed(f"look at {handle.domain}", handle.domain):
        domain = find(connection(handle.uri), handle)
        known = _remembered(handle.directory)
        if domain is None or known is None or not domain.isPersistent():
            return None
        return known.text if fingerprint(_dump(domain)) == known.dump else None


def define(handle: Handle, text: str, *, autostart: bool) -> None:
    """Put ``text`` in place. If it changes the definition, a state that was saved to disk is dropped.

    :raises OvError: libvirt rejects it.
    """
    libvirt = load()
    with diagnosed(f"define {handle.domain}", handle.domain):
        daemon = connection(handle.uri)
        old = find(daemon, handle)
        if old is not None:
            known = _remembered(handle.directory)
            if old.hasManagedSaveImage() and (known is None or known.text != text):
                old.managedSaveRemove()
            if not old.isActive():
                _drop_stale_nvram(_dump(old), text, handle)
        (handle.directory / DIGESTS).unlink(missing_ok=True)  # until it is rewritten, the definition counts as unknown
        domain = daemon.defineXMLFlags(text, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
        if bool(domain.autostart()) != autostart:
            domain.setAutostart(int(autostart))
        _remember(handle, text, fingerprint(_dump(domain)))


def recall(name: str, directory: Path, uri: str | None) -> Recalled | None:
    """Find the domain of this name, if its disk is in ``directory``.

    If our definition's files are missing from ``directory``, no daemon is started just to ask, and a daemon that cannot
    be asked counts as having no such domain.

    :raises OvError: the files are there, but the daemon cannot be asked.
    """
    ours = any((directory / file).exists() for file in (TEXT, DIGESTS))
    place = uri_of(uri or _place(directory))
    if not ours and is_own_session(place) and all(one.problem is not None for one in sockets()):
        return None
    try:
        return _recalled(name, directory, place)
    except OvError:
        if ours:
            raise
        return None


def _recalled(name: str, directory: Path, place: str) -> Recalled | None:
    libvirt = load()
    with diagnosed(f"look for {name}", name):
        try:
            domain = connection(place).lookupByName(name)
        except libvirt.libvirtError as e:
            if e.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise
        root = ET.fromstring(domain.XMLDesc(0))
        files = {source.get("file", "") for source in root.iterfind("devices/disk/source")}
        if not any(Path(file).parent == directory for file in files if file):
            return None
        mac, forwards = _first_card(root)
        return Recalled(domain.UUIDString(), mac, uri=place, forwards=forwards)


def _first_card(root: ET.Element) -> tuple[str | None, tuple[PortForward, ...]]:
    """The first card's MAC address and forwards, from its element or from QEMU arguments that stand in for one."""
    words = [word.get("value", "") for word in root.iter(f"{{{QEMU}}}arg")]
    netdev = next((word for word in words if word.startswith("user,id=ovnet0")), None)
    if netdev is not None:
        device = next((word for word in words if "netdev=ovnet0" in word), "")
        found = _MAC.search(device)
        return (found[1] if found else None), forwards_in(netdev)
    card = root.find("devices/interface")
    if card is None:
        return None, ()
    mac = card.find("mac")
    forwards = [
        PortForward(
            int(one.get("start", "0")), int(one.get("to", "0")), group.get("proto", "tcp"), group.get("address", "")
        )
        for group in card.iterfind("portForward")
        for one in group.iterfind("range")
    ]
    return (mac.get("address") if mac is not None else None), tuple(forwards)


def _place(directory: Path) -> str | None:
    """The connection through which the VM was defined; None if unknown."""
    uri = (try_load_state(directory / DIGESTS) or {}).get("uri")
    return uri if isinstance(uri, str) else None


def undefine(handle: Handle) -> None:
    """Remove the definition and all that libvirt keeps with it. Having no definition is no error."""
    libvirt = load()
    flags = (
        libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
        | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    )
    with diagnosed(f"undefine {handle.domain}", handle.domain):
        domain = find(connection(handle.uri), handle)
        if domain is not None and domain.isPersistent():
            try:
                domain.undefineFlags(flags | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA)
            except libvirt.libvirtError as e:
                if e.get_error_code() != libvirt.VIR_ERR_INVALID_ARG:  # a daemon older than 5.6
                    raise
                domain.undefineFlags(flags)
    for name in (DIGESTS, TEXT):
        (handle.directory / name).unlink(missing_ok=True)


def _dump(domain: libvirt.virDomain) -> str:
    """libvirt's version of the persistent definition."""
    libvirt = load()
    text: str = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
    return text


def fingerprint(dump: str) -> str:
    """The digest of a dump's meaning. Devices are sorted first, because libvirt reorders some of them when it starts
    the VM or reads the definition back from its file."""
    domain = ET.fromstring(dump)
    devices = [ET.canonicalize(ET.tostring(device), strip_text=True) for device in domain.iterfind("devices/*")]
    for parent in domain.findall("devices"):
        domain.remove(parent)
    return _digest("\n".join([ET.canonicalize(ET.tostring(domain), strip_text=True), *sorted(devices)]))


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _remember(handle: Handle, text: str, dump: str) -> None:
    write_atomic(handle.directory / TEXT, text, mode=0o600)
    known = {"text": _digest(text), "dump": dump, "uri": uri_of(handle.uri)}
    write_atomic(handle.directory / DIGESTS, state_text(known), mode=0o600)


def _remembered(directory: Path) -> _Remembered | None:
    """What :func:`_remember` wrote. None if a file is missing or damaged; then the definition is put in place anew."""
    digests = try_load_state(directory / DIGESTS) or {}
    try:
        text = read_text(directory / TEXT)
    except OvError:
        return None
    if text is not None and digests.get("text") == _digest(text):
        return _Remembered(text, str(digests.get("dump")))
    return None


def firmware_state(handle: Handle) -> dict[str, Path]:
    """Where libvirt keeps the variables of the VM's firmware and, in the user's own session, what its TPM remembers."""
    uri = uri_of(handle.uri)
    if not is_local(uri):
        return {}
    with diagnosed(f"look at {handle.domain}", handle.domain):
        domain = find(connection(handle.uri), handle)
        nvram = ET.fromstring(_dump(domain)).findtext("os/nvram") if domain is not None else None
    found = {"nvram": Path(nvram)} if nvram else {}
    if is_own_session(uri):
        place = config_home().parent / "libvirt" / "qemu" / "swtpm" / handle.uuid
        found |= {"tpm-state": place / "tpm2", "tpm1.2": place / "tpm1.2"}
    return found


def _drop_stale_nvram(old: str, new: str, handle: Handle) -> None:
    """Delete the variables if the firmware changed: the VM could not boot with them. libvirt makes new ones."""
    before, after = _firmware(old), _firmware(new)
    nvram = ET.fromstring(new).findtext("os/nvram")
    if before != after and nvram and nvram == ET.fromstring(old).findtext("os/nvram") and is_local(uri_of(handle.uri)):
        Path(nvram).unlink(missing_ok=True)


def _firmware(text: str) -> tuple[str, ...]:
    """The parts of a definition's firmware choice that its variables file must fit."""
    os = ET.fromstring(text).find("os")
    if os is None:
        return ()
    features = sorted(f"{f.get('name')}={f.get('enabled')}" for f in os.findall("firmware/feature"))
    nvram = os.find("nvram")
    template = nvram.get("template", "") if nvram is not None else ""
    return (os.get("firmware", ""), template if not features else "", *features)
