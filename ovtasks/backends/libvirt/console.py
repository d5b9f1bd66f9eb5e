"""The serial console: two threads copy between libvirt's stream and a socket."""

from __future__ import annotations

import atexit
import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

from ovtasks.backends.contract import Handle
from ovtasks.backends.libvirt.definition import find
from ovtasks.backends.libvirt.diagnosis import diagnosed
from ovtasks.backends.libvirt.session import load, open_connection, uri_of
from ovtasks.errors import OvError

if TYPE_CHECKING:
    import libvirt

CHUNK = 65536
PATIENCE = 3.0
"""Seconds to wait for the stream to end when the program exits."""


def console(handle: Handle) -> socket.socket:
    """Connect to the first serial port. Closing the socket frees the console; end of file means that the VM ended.

    The console has its own connection to libvirt. So it becomes free when this process ends, even by a signal.

    :raises OvError: the VM does not run, or another console is connected. That console is never disconnected.
    """
    libvirt = load()
    with diagnosed(f"connect to the console of {handle.domain}", handle.domain):
        daemon = open_connection(uri_of(handle.uri))
        domain = find(daemon, handle)
        if domain is None or not domain.isActive():
            raise OvError(f"{handle.domain} is not running", hint="ov vm start; ov vm logs shows what it said")
        stream = daemon.newStream(0)
        try:
            domain.openConsole(None, stream, 0)
        except libvirt.libvirtError as e:
            if e.get_error_code() == libvirt.VIR_ERR_OPERATION_FAILED and "console session" in str(e):
                raise OvError(
                    f"another console of {handle.domain} is connected",
                    hint=f"leave it there (^]); virsh console --force {handle.domain} throws it out",
                ) from e
            raise
    ours, theirs = socket.socketpair()
    pumps = [
        threading.Thread(target=pump, args=(daemon, stream, ours), daemon=True, name=f"console {pump.__name__}")
        for pump in (_to_socket, _from_socket)
    ]
    for pump in pumps:
        pump.start()
    atexit.register(_finish, pumps, theirs)
    return theirs


def _finish(pumps: list[threading.Thread], theirs: socket.socket) -> None:
    """End both pumps, and with them the connection, before the interpreter exits."""
    theirs.close()
    end = time.monotonic() + PATIENCE
    while pumps:
        pumps.pop().join(max(0.0, end - time.monotonic()))


def _to_socket(daemon: libvirt.virConnect, stream: libvirt.virStream, ours: socket.socket) -> None:
    """Copy the guest's output. Both pumps hold ``daemon``, so the connection lives as long as one of them runs."""
    with contextlib.suppress(load().libvirtError, OSError):
        while data := stream.recv(CHUNK):
            ours.sendall(data)
    with contextlib.suppress(OSError):
        ours.shutdown(socket.SHUT_RDWR)  # this ends the other pump, too


def _from_socket(daemon: libvirt.virConnect, stream: libvirt.virStream, ours: socket.socket) -> None:
    """Copy what the user types. At the end, free the console for others."""
    with contextlib.suppress(load().libvirtError, OSError):
        while data := ours.recv(CHUNK):
            while data:
                data = data[stream.send(data) :]
    with contextlib.suppress(load().libvirtError):
        stream.abort()
    ours.close()
