"""A bridge of this host for a test, with a DHCP server: made by root, gone at the end."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovtasks.host import bridge as rules
from ovtasks.host.run import require, run, stop
from tests.support import leftovers
from tests.support.processes import serve

NETWORK = "192.168.231"
"""The first three numbers; the host has 1, DHCP gives 50 to 99."""
PATIENCE = 600.0
LEASES = Path("/var/lib/misc/dnsmasq.ovtest.leases")


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One at a time in this network: an abstract socket is its, whatever folders a run of the tests sees."""
    end = time.monotonic() + PATIENCE
    with socket.socket(socket.AF_UNIX) as lock:
        while True:
            try:
                lock.bind("\0ov-tests-bridge")
                break
            except OSError:
                assert time.monotonic() < end, "another run of the tests keeps the bridge"
                time.sleep(0.1)
        yield


@contextlib.contextmanager
def bridge(name: str = "ovtest0") -> Iterator[str]:
    """Only root makes bridges. One that is there belongs to nobody: its run was killed."""
    if os.geteuid() != 0:
        pytest.fail("only root can make a bridge: run the tests as root")
    with alone():
        leftovers.note("link", name)
        run(["ip", "link", "del", name], check=False)
        run(["ip", "link", "add", name, "type", "bridge"])
        try:
            run(["ip", "address", "add", f"{NETWORK}.1/24", "dev", name])
            run(["ip", "link", "set", name, "up"])
            yield name
        finally:
            run(["ip", "link", "del", name])
            leftovers.done(name)


@contextlib.contextmanager
def allowed(name: str) -> Iterator[None]:
    """QEMU's helper may use the bridge, also for ordinary users; afterwards all is as before."""
    path = rules.RULES[0]
    made = not path.parent.exists()
    before = path.read_bytes() if path.exists() else None
    helper = next(path for path in rules.HELPERS if path.exists())
    mode, tun = helper.stat().st_mode, rules.TUN.stat().st_mode
    leftovers.note_file(path.parent)
    leftovers.note_file(path)
    leftovers.note_mode(helper)
    leftovers.note_mode(rules.TUN)
    path.parent.mkdir(exist_ok=True)
    path.write_text((before or b"").decode() + f"\nallow {name}\n", encoding="utf-8")
    helper.chmod(mode | 0o4000)
    rules.TUN.chmod(0o666)
    try:
        yield
    finally:
        rules.TUN.chmod(tun)
        helper.chmod(mode)
        if before is None:
            path.unlink()
        else:
            path.write_bytes(before)
        if made:
            path.parent.rmdir()
        leftovers.done(path.parent, path, helper, rules.TUN)


@contextlib.contextmanager
def dhcp(name: str, log: Path) -> Iterator[None]:
    """dnsmasq on the bridge; its leases are where this program looks for them."""
    argv = [
        *(str(require("setpriv")), "--pdeathsig", "KILL", "--", str(require("dnsmasq"))),
        *("--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--port=0", "--pid-file="),
        *(f"--interface={name}", "--except-interface=lo", "--bind-interfaces", "--user=root", "--log-facility=-"),
        *(f"--dhcp-range={NETWORK}.50,{NETWORK}.99,1h", "--dhcp-authoritative", f"--dhcp-leasefile={LEASES}"),
    ]
    leftovers.note_file(LEASES)
    with log.open("wb") as file:
        server = serve(*argv, log=file)
    try:
        yield
    finally:
        stop(server)
        LEASES.unlink(missing_ok=True)
        leftovers.done(LEASES)
