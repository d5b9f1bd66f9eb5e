"""Addresses by MAC: lease files as dnsmasq and libvirt write them, and a neighbour that the kernel has heard of."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from ovtasks.host.lan import addresses, reachable
from ovtasks.host.run import run
from tests.support.bridges import NETWORK, bridge

MAC = "52:54:00:ab:cd:ef"
LATER, SOONER, GONE = (int(time.time()) + seconds for seconds in (7200, 3600, -5))


def lease(root: Path, *lines: str, name: str = "var/lib/misc/dnsmasq.leases") -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def test_nobody_knows(tmp_path: Path) -> None:
    assert addresses(MAC, tmp_path) == ()


def test_leases_of_dnsmasq(tmp_path: Path) -> None:
    lease(
        tmp_path,
        f"{SOONER} {MAC} 192.0.2.5 web 01:{MAC}",
        f"{LATER} {MAC.upper()} 192.0.2.6 * *",
        f"{GONE} {MAC} 192.0.2.4 old *",
        f"{LATER} 52:54:00:00:00:01 192.0.2.7 other *",
        "duid 00:01:00:01:2a",
        f"{LATER} 12345 2001:db8::7 web 00:01",
        "damaged",
    )
    assert addresses(MAC, tmp_path) == ("192.0.2.6", "192.0.2.5")
    lease(tmp_path, f"0 {MAC} 192.0.2.9 web *", name="var/lib/NetworkManager/dnsmasq-br0.leases")
    assert addresses(MAC, tmp_path)[0] == "192.0.2.9", "a lease without an end is the newest"


def test_leases_of_libvirt(tmp_path: Path) -> None:
    found = [
        {"ip-address": "192.168.122.5", "mac-address": MAC, "hostname": "web", "expiry-time": LATER},
        {"ip-address": "192.168.122.6", "mac-address": "52:54:00:00:00:01", "expiry-time": LATER},
    ]
    lease(tmp_path, json.dumps(found), name="var/lib/libvirt/dnsmasq/virbr0.status")
    for name, text in (("empty", ""), ("damaged", "{"), ("odd", "[1]")):
        lease(tmp_path, text, name=f"var/lib/libvirt/dnsmasq/{name}.status")
    assert addresses(MAC, tmp_path) == ("192.168.122.5",)


def test_what_is_reachable() -> None:
    asked = ("127.0.0.1", "::1", "fe80::1%eth0", "169.254.1.1", "10.0.2.15", "fd00::5")
    assert [address for address in asked if reachable(address)] == ["10.0.2.15", "fd00::5"]


@pytest.mark.xdist_group("bridge")
@pytest.mark.root
def test_neighbours(tmp_path: Path) -> None:
    with bridge() as name:
        run(["ip", "-6", "neigh", "add", "fd00::17", "lladdr", MAC, "dev", name, "nud", "stale"])
        run(["ip", "neigh", "add", f"{NETWORK}.17", "lladdr", MAC, "dev", name, "nud", "reachable"])
        run(["ip", "neigh", "add", f"{NETWORK}.18", "lladdr", "52:54:00:00:00:01", "dev", name, "nud", "stale"])
        assert addresses(MAC.upper(), tmp_path) == (f"{NETWORK}.17", "fd00::17")
        lease(tmp_path, f"{LATER} {MAC} {NETWORK}.19 web *")
        assert addresses(MAC, tmp_path) == (f"{NETWORK}.19",)
    assert addresses(MAC, tmp_path / "none") == ()
