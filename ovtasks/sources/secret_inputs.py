"""Decides which values of a ``cloud_init`` block may be shown.

All of them decide the seed, but others may read plans, logs and receipts. Only values that are known to be harmless are
shown. Of any other we say only where it is and that it changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ovtasks.images.request import shown_url
from ovtasks.project.model import CloudInit
from ovtasks.values.hidden import Hidden, Input
from ovtasks.values.jsonvalue import Json, plain

SHOWN = frozenset({"hostname", "timezone", "locale", "packages", "users"})
"""Fields of the block that hold no password. (``runcmd`` and ``bootcmd`` often do.)"""
SHOWN_IN_EXTRA = frozenset(
    {
        *("name", "groups", "primary_group", "shell", "sudo", "gecos", "homedir", "ssh_authorized_keys", "type"),
        *("path", "owner", "permissions", "encoding", "packages", "timezone", "locale", "hostname", "fqdn"),
        *("mode", "devices", "device", "filesystem", "label", "size", "mounts", "swap", "layout", "table_type"),
        *("ssh_genkeytypes", "ssh_deletekeys", "datasource_list", "servers", "pools", "ntp_client", "condition"),
    }
)
SHOWN_IN_NETWORK = frozenset(
    {
        *("version", "renderer", "config", "type", "name", "id", "link", "interfaces", "mode", "mtu", "match"),
        *("addresses", "address", "netmask", "gateway", "gateway4", "gateway6", "search", "to", "via", "metric"),
        *("macaddress", "mac_address", "set-name", "driver", "dhcp4", "dhcp6", "dns_nameservers", "dns_search"),
        *("destination", "network", "vlan_id", "vlan_link", "bond_interfaces", "bridge_interfaces", "optional"),
    }
)
MANY = 16
"""A field with more hidden values than this is hidden as one value: each digest costs some milliseconds."""


def cloud_init_inputs(block: CloudInit) -> Input:
    """The block as a step's inputs hold it: without the fields that have their default value."""
    found = plain(block)
    assert isinstance(found, Mapping)
    return {key: _field(key, value) for key, value in found.items()}


def _field(key: str, value: Json) -> Input:
    if key in SHOWN:
        return value
    if key == "write_files" and isinstance(value, Sequence):
        return _few([_hide(item, "", frozenset({"path", "owner", "perms", "encoding"})) for item in value], value)
    if key == "mirrors" and isinstance(value, Mapping):
        return {name: [shown_url(str(url)) for url in urls] for name, urls in value.items() if isinstance(urls, list)}
    if key == "ov_install" and isinstance(value, Mapping):
        return {name: shown_url(str(item)) if name == "url" else item for name, item in value.items()}
    if key in {"extra", "network"} and isinstance(value, Mapping):
        shown = SHOWN_IN_EXTRA if key == "extra" else SHOWN_IN_NETWORK
        return {name: _few(_hide(item, name, shown), item) for name, item in value.items()}
    return Hidden(value)


def _hide(value: Json, key: str, shown: frozenset[str]) -> Input:
    """``value`` with everything hidden but switches and the values of ``shown`` keys. A list of words is one value."""
    if isinstance(value, Mapping):
        return {name: _hide(item, name, shown) for name, item in value.items()}
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        return [_hide(item, key, shown) for item in value]
    return value if key in shown or value is None or isinstance(value, bool) else Hidden(value)


def _few(hidden: Input, value: Json) -> Input:
    return Hidden(value) if _count(hidden) > MANY else hidden


def _count(value: Input) -> int:
    if isinstance(value, Mapping):
        return sum(_count(item) for item in value.values())
    if isinstance(value, list):
        return sum(_count(item) for item in value)
    return isinstance(value, Hidden)
