"""Every field of a VM, with a value that is not its default."""

from __future__ import annotations

from typing import Any

# Every field of the schema with a value other than its default. [] is an item of a list.
VALUES: dict[str, Any] = {
    "disk_size": "20G",
    "ram": "2G",
    "cpus": 7,
    "machine": "q35",
    "firmware": "uefi-insecure",
    "backend": "libvirt",
    "accel": "tcg",
    "autostart": True,
    "network.mode": "nat",
    "network.model": "e1000e",
    "network.mac": "52:54:00:00:00:01",
    "network.port_forwards": ["0.0.0.0:8080:80/udp"],
    "ssh.user": "me",
    "ssh.port": 2222,
    "ssh.key_source": "none",
    "ssh.host_key": "first_use",
    "ssh.key_injection.smbios": "enabled",
    "ssh.key_injection.cloud_init": "disabled",
    "ssh.key_injection.install": "disabled",
    "output.compress": "zstd",
    "cloud_init.hostname": "h",
    "cloud_init.timezone": "UTC",
    "cloud_init.locale": "C.UTF-8",
    "cloud_init.users": [{"name": "u"}],
    "cloud_init.users[].name": "v",
    "cloud_init.users[].sudo": True,
    "cloud_init.users[].groups": ["wheel"],
    "cloud_init.users[].shell": "/bin/sh",
    "cloud_init.users[].lock_passwd": False,
    "cloud_init.packages": ["p"],
    "cloud_init.runcmd": ["true", ["echo", "x"]],
    "cloud_init.bootcmd": ["true"],
    "cloud_init.write_files": [{"path": "/x"}],
    "cloud_init.write_files[].path": "/y",
    "cloud_init.write_files[].content": "c",
    "cloud_init.write_files[].owner": "root",
    "cloud_init.write_files[].perms": "0600",
    "cloud_init.write_files[].encoding": "b64",
    "cloud_init.write_files[].append": True,
    "cloud_init.write_files[].defer": True,
    "cloud_init.network.version": 2,
    "cloud_init.network.renderer": "networkd",
    "cloud_init.network.ethernets": {"eth0": {"dhcp4": True}},
    "cloud_init.network.wifis": {"w0": {}},
    "cloud_init.network.bonds": {"b0": {}},
    "cloud_init.network.bridges": {"br0": {}},
    "cloud_init.network.vlans": {"v0": {}},
    "cloud_init.network.config": [{"type": "physical"}],
    "cloud_init.mirrors.apt": ["https://m/"],
    "cloud_init.mirrors.dnf": ["https://m/"],
    "cloud_init.mirrors.pacman": ["https://m/"],
    "cloud_init.ov_install.strategy": "skip",
    "cloud_init.ov_install.url": "https://x/y",
    "cloud_init.ov_install.checksum": "sha256:" + "a" * 64,
    "cloud_init.extra": {"package_update": True},
    "libvirt": {"features": {}},
    "mounts": [{"source": "./src", "target": "/src"}],
    "mounts[].source": "/usr",
    "mounts[].target": "/other",
    "mounts[].read_only": True,
    "mounts[].transport": "9p",
    "snapshots": [{"name": "s"}],
    "snapshots[].name": "t",
    "snapshots[].description": "d",
    "snapshots[].mode": "internal",
    "snapshots[].quiesce": True,
    "snapshots[].from": "r",
    "eval": [{"x": 1}],
    "deploy_eval": [{"x": 1}],
}
MODES: dict[str, dict[str, Any]] = {
    "network.bridge": {"mode": "bridge", "bridge": "br0"},
    "network.network": {"mode": "network", "network": "lab"},
    "network.dev": {"mode": "direct", "dev": "eth0"},
}


def put(data: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    head, _, rest = path.partition(".")
    key = head.removesuffix("[]")
    if key != head:
        firsts: dict[str, dict[str, Any]] = {
            "snapshots": {"name": "s"},
            "users": {"name": "u"},
            "write_files": {"path": "/x"},
            "mounts": {"source": "./s", "target": "/s"},
        }
        return {**data, key: [put(firsts[key], rest, value)]}
    return {**data, key: put(data.get(key, {}), rest, value) if rest else value}
