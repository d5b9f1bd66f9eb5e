"""Starts a VM, asks it to shut down, or cuts its power."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from ovtasks.backends.contract import Handle
from ovtasks.backends.libvirt.definition import find
from ovtasks.backends.libvirt.diagnosis import diagnosed
from ovtasks.backends.libvirt.session import connection, is_own_session, load, uri_of
from ovtasks.backends.libvirt.status import process
from ovtasks.errors import OvError

if TYPE_CHECKING:
    import libvirt

NOTICE_SECONDS = 30.0
_AGAIN = re.compile(
    r"connect to monitor socket|domain is no longer running|reds_init_socket: binding socket"
    r"|-vnc [^\n]*: Address already in use"
)
_PAUSES = (0.0, 0.2, 1.0)


def start(handle: Handle) -> None:
    """Start the VM. One that was saved to disk or paused continues where it was; one that runs is left alone.

    :raises OvError: it is not defined, or QEMU does not start.
    """
    libvirt = load()
    with diagnosed(f"start {handle.domain}", handle.domain):
        domain = find(connection(handle.uri), handle)
        if domain is None:
            raise OvError(f"{handle.domain} is not defined in libvirt", hint="ov vm create defines it")
        if _runs(domain, handle):
            _wake(domain)
            return
        try:
            _create(domain)
        except libvirt.libvirtError:
            if not domain.isActive():  # if it is active, somebody else started it first
                raise


def _create(domain: libvirt.virDomain) -> None:
    """Start the VM, and once more when the reason may be gone by then.

    The first reason is a QEMU that ended before libvirt read why: the next error says it. The other is a port for the
    display: libvirt chose a free one, and another process took it before QEMU did.
    """
    libvirt = load()
    for pause in (*_PAUSES, None):
        try:
            domain.create()
        except libvirt.libvirtError as e:
            if pause is None or not _AGAIN.search(str(e)) or domain.isActive():
                raise
            time.sleep(pause)
        else:
            return


def _runs(domain: libvirt.virDomain, handle: Handle) -> bool:
    """Whether the VM is active. If its process is gone, give libvirt :data:`NOTICE_SECONDS` to notice it."""
    end = time.monotonic() + NOTICE_SECONDS
    own = is_own_session(uri_of(handle.uri))
    while domain.isActive():
        if not (own and process(handle.domain)[1]) or time.monotonic() > end:
            return True
        time.sleep(0.05)
    return False


def _wake(domain: libvirt.virDomain) -> None:
    libvirt = load()
    state, _reason = domain.state()
    try:
        if state == libvirt.VIR_DOMAIN_PAUSED:
            domain.resume()
        elif state == libvirt.VIR_DOMAIN_PMSUSPENDED:
            domain.pMWakeup()
    except libvirt.libvirtError:
        if domain.state()[0] != libvirt.VIR_DOMAIN_RUNNING:  # a VM that is starting is paused for a moment only
            raise


def shutdown(handle: Handle) -> None:
    """Ask the guest to shut down, through its agent or else by the power button. A stopped VM is no error."""
    libvirt = load()
    with diagnosed(f"shut down {handle.domain}", handle.domain):
        domain = find(connection(handle.uri), handle)
        if domain is None or not domain.isActive():
            return
        try:
            _wake(domain)  # a paused guest would not react
            domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT | libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
        except libvirt.libvirtError:
            if domain.isActive():  # if not, it ended meanwhile
                raise


def reset(handle: Handle) -> None:
    """Press the VM's reset button.

    :raises OvError: the VM does not run.
    """
    with diagnosed(f"reset {handle.domain}", handle.domain):
        domain = find(connection(handle.uri), handle)
        if domain is None or not domain.isActive():
            raise OvError(f"{handle.domain} is not running", hint="ov vm start")
        domain.reset()


def power_off(handle: Handle) -> None:
    """Cut the VM's power and return when QEMU's process is gone. A stopped VM is no error."""
    libvirt = load()
    with diagnosed(f"power off {handle.domain}", handle.domain):
        domain = find(connection(handle.uri), handle)
        if domain is None or not domain.isActive():
            return
        try:
            domain.destroy()
        except libvirt.libvirtError as e:
            gone = e.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN  # a transient domain that ended meanwhile
            if not gone and domain.isActive():
                raise
