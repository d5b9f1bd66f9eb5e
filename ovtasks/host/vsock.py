"""vsock(7): whether guests of this host can have it, and which numbers are free.

A guest has a CID, a number that the host's kernel gives to one QEMU at a time. 0 to 2 are not for guests.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from pathlib import Path

DEVICE = Path("/dev/vhost-vsock")
SET_GUEST_CID = 0x4008AF60
"""VHOST_VSOCK_SET_GUEST_CID of linux/vhost.h: _IOW(0xAF, 0x60, __u64)."""


def problem() -> str | None:
    """Why no guest of ours can have vsock here; None if they can. This is tried, by opening the device."""
    try:
        os.close(os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as e:
        if e.errno in {errno.ENOENT, errno.ENODEV}:
            return "the kernel module vhost_vsock is not loaded"
        return f"{DEVICE} cannot be opened: {os.strerror(e.errno or 0).lower()}"
    server = listen(socket.VMADDR_PORT_ANY)
    if server is None:
        return "vsock sockets cannot be made here"
    server.close()
    return None


def free(cid: int) -> bool:
    """Whether no guest has the CID now. This is tried, by taking it for a moment. False without vhost-vsock."""
    try:
        device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.ioctl(device, SET_GUEST_CID, struct.pack("Q", cid))
    except OSError:
        return False
    finally:
        os.close(device)
    return True


def listen(port: int) -> socket.socket | None:
    """A stream socket that listens for all guests on ``port``; None if the port is taken or there is no vsock."""
    try:
        server = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    except OSError:
        return None
    try:
        server.bind((socket.VMADDR_CID_ANY, port))
        server.listen()
    except OSError:
        server.close()
        return None
    return server
