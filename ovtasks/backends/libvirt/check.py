"""For ``ov doctor``: checks that libvirt really accepts a domain."""

from __future__ import annotations

import contextlib
import os
from xml.etree import ElementTree as ET

from ovtasks.backends.libvirt.diagnosis import diagnosed
from ovtasks.backends.libvirt.session import connection, load, uri_of


def session(uri: str | None = None) -> str:
    """Connect, define a throw-away domain and undefine it. Returns a description of what answered.

    :raises OvError: one of these fails; the hint gives the next step.
    """
    libvirt = load()
    name = f"ov-doctor-{os.getpid()}-{os.urandom(4).hex()}"
    daemon = connection(uri)
    with diagnosed("define a domain", name):
        domain = daemon.defineXMLFlags(_throw_away(name, daemon.getType()), 0)
        try:
            versions = f"libvirt {version(daemon.getLibVersion())}, QEMU {version(daemon.getVersion())}"
        finally:
            with contextlib.suppress(libvirt.libvirtError):
                domain.undefine()
    return f"{versions} at {uri_of(uri)}; defined and undefined a domain"


def version(number: int) -> str:
    """Decode libvirt's version number: 1,000,000 × major + 1,000 × minor + release."""
    return f"{number // 1_000_000}.{number // 1_000 % 1_000}.{number % 1_000}"


def _throw_away(name: str, driver: str) -> str:
    domain = ET.Element("domain", {"type": driver.lower() if driver != "QEMU" else "qemu"})
    ET.SubElement(domain, "name").text = name
    ET.SubElement(domain, "memory", {"unit": "MiB"}).text = "64"
    ET.SubElement(ET.SubElement(domain, "os"), "type").text = "hvm"
    return ET.tostring(domain, encoding="unicode")
