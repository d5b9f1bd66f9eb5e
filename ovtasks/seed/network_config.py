"""Reads the guest's addresses from the network-config that is written for cloud-init.

Formats: cloud-init's documentation, "Networking Config Version 1" and "Version 2".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_interface

from ovtasks.project.model import VmSpec
from ovtasks.values.passed import Yaml, decode

_CARDS = ("ethernets", "bonds", "bridges", "vlans", "wifis")


def static_addresses(vm: VmSpec) -> tuple[str, ...]:
    """The addresses written there, without prefix lengths, IPv4 first. Empty if DHCP assigns them."""
    config = decode(vm.cloud_init.network) if vm.cloud_init and vm.network.mode != "user" else {}
    assert isinstance(config, Mapping)
    found: list[str] = []
    for text in (*_version_2(config), *_version_1(config)):
        try:
            found.append(str(ip_interface(text).ip))
        except ValueError:
            continue  # cloud-init will say so
    return tuple(sorted(dict.fromkeys(found), key=lambda one: ":" in one))


def _version_2(config: Mapping[Yaml, Yaml]) -> Iterator[str]:
    for kind in _CARDS:
        for card in _values(config.get(kind)):
            for address in _values(card.get("addresses")) if isinstance(card, Mapping) else ():
                # an address may be the key of a mapping that says more about it
                yield from (str(key) for key in address) if isinstance(address, Mapping) else (str(address),)


def _version_1(config: Mapping[Yaml, Yaml]) -> Iterator[str]:
    for card in _values(config.get("config")):
        for subnet in _values(card.get("subnets")) if isinstance(card, Mapping) else ():
            if isinstance(subnet, Mapping) and "address" in subnet:
                yield str(subnet["address"])


def _values(value: Yaml) -> list[Yaml]:
    """The values of a mapping or list."""
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []
