"""The addresses that network-config gives a guest."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.seed.network_config import static_addresses
from tests.support.projects import vm_of

BRIDGED = "network: {mode: bridge, bridge: br0}, cloud_init: {network: %s}"


@pytest.mark.parametrize(
    ("config", "addresses"),
    [
        ("{}", ()),
        ("{ethernets: {eth0: {dhcp4: true}}}", ()),
        ("{ethernets: {eth0: {addresses: ['fd00::5/64', 192.0.2.5/24]}}}", ("192.0.2.5", "fd00::5")),
        ("{ethernets: {eth0: {addresses: [{192.0.2.5/24: {lifetime: 0}}]}}}", ("192.0.2.5",)),
        ("{ethernets: {e: {}}, bonds: {b: {interfaces: [e], addresses: [192.0.2.6/24]}}}", ("192.0.2.6",)),
        (
            "{version: 1, config: [{type: physical, name: e, subnets: [{type: static, address: 192.0.2.7/24}, "
            "{type: dhcp}]}, {type: nameserver, address: 192.0.2.1}]}",
            ("192.0.2.7",),
        ),
        ("{version: 1, config: [{type: physical, name: e}]}", ()),
        ("{ethernets: {eth0: {addresses: [nonsense]}}}", ()),
    ],
)
def test_static_addresses(config: str, addresses: tuple[str, ...], tmp_path: Path) -> None:
    assert static_addresses(vm_of(tmp_path, BRIDGED % config)) == addresses


def test_not_of_the_users_network(tmp_path: Path) -> None:
    config = "cloud_init: {network: {ethernets: {eth0: {addresses: [10.0.2.15/24]}}}}"
    assert static_addresses(vm_of(tmp_path, config)) == ()
    assert static_addresses(vm_of(tmp_path, "network: {mode: nat}")) == ()
