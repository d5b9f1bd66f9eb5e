"""Short ways to write VM specs in tests."""

from __future__ import annotations

from typing import Any

from ovtasks.errors import Where
from ovtasks.project.model import BootcSource, BootstrapSource, CloudImageSource, CloudInit, Source, Ssh, VmSpec
from ovtasks.seed.cloud_init import SeedInput, render, user_data
from ovtasks.seed.wanted import hostname

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPfB0mhHFYzQnMBdEg1kHvTgPsWwTLgT9o6rVqXKcEKz me@host"
KEY2 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKcEKzPfB0mhHFYzQnMBdEg1kHvTgPsWwTLgT9o6rVqX you@host"
DEBIAN = "https://images.example/debian-12-genericcloud-amd64.qcow2"
UNKNOWN = "https://images.example/disk.qcow2"


def cloud_image(url: str = DEBIAN, **more: Any) -> Source:
    return CloudImageSource("cloud_image", {}, url=url, **more)


def bootstrap(**more: Any) -> Source:
    return BootstrapSource("bootstrap", {}, **more)


def bootc(**more: Any) -> Source:
    return BootcSource("bootc", {}, image="quay.io/example/os:1", **more)


def vm(source: Source | None = None, *, user: str | None = None, block: CloudInit | None = None, **more: Any) -> VmSpec:
    ssh = more.pop("ssh", None) or Ssh(user=user)
    return VmSpec("web", source or cloud_image(), Where("vms.yml", 2, 3), ssh=ssh, cloud_init=block, **more)


def data(spec: VmSpec, *keys: str, **more: Any) -> dict[str, Any]:
    result = user_data(SeedInput(spec, "ov-1", hostname(spec), keys, **more))
    assert isinstance(result, dict)
    return result


def files(spec: VmSpec, *keys: str, **more: Any) -> dict[str, bytes]:
    return render(SeedInput(spec, "ov-1", hostname(spec), keys, **more))
