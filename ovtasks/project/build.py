"""Turns a VM's checked mapping into a :class:`VmSpec`: defaults filled in, sizes in bytes, paths absolute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovtasks.errors import Where
from ovtasks.project.expand import KEY_WORDS, expand_path
from ovtasks.project.model import (
    BOOTC_DISK,
    BootcSource,
    BootstrapSource,
    Checksum,
    CloneSource,
    CloudImageSource,
    CloudInit,
    HostKeyTrust,
    ImportedSource,
    Injection,
    LayerXml,
    Mirrors,
    Network,
    OvInstall,
    Placement,
    Snapshot,
    Source,
    Ssh,
    User,
    VmSpec,
    WriteFile,
)
from ovtasks.project.official import with_official
from ovtasks.values.arch import arch_of
from ovtasks.values.firmware import Firmware
from ovtasks.values.jsonvalue import Json
from ovtasks.values.ports import PortForward, parse_forward
from ovtasks.values.sizes import MiB, parse_size
from ovtasks.values.urls import is_web, split_digest

if TYPE_CHECKING:
    from ovtasks.values.mount import Mount

Data = Mapping[str, Any]
NO_DEFAULTS: Mapping[str, str] = {}
_OF_SETTINGS = {"bootc": ("rootfs", "transport", "root_size"), "bootstrap": ("rootfs",)}
"""Kind of source → the settings ``vm.*`` that are fields of its mapping."""


def build_vm(
    name: str,
    data: Data,
    base: Path,
    where: Where,
    layers: tuple[LayerXml, ...] = (),
    placed: tuple[Placement, ...] = (),
    defaults: Mapping[str, str] = NO_DEFAULTS,
) -> VmSpec:
    """The spec of VM ``name``. ``base`` is the declaring file's folder; ``layers`` and ``placed`` are deployments'.
    ``defaults`` are the user's settings for what the entry does not say
    (:func:`ovtasks.host.settings.vm_defaults`).

    :raises InputError: an environment variable in a path is not set any more.
    """
    source = build_source(_with_defaults(data["source"], defaults), base)
    chosen = {key: data[key] for key in ("cpus", "machine", "backend", "accel", "autostart") if key in data}
    if "cpus" in defaults:
        chosen.setdefault("cpus", int(defaults["cpus"]))
    return VmSpec(
        name=name,
        source=source,
        where=where,
        disk_size=_disk_size(data, defaults),
        ram=parse_size(data.get("ram", defaults.get("ram", "4G")), bare=MiB),
        firmware=Firmware(data.get("firmware", default_firmware(data))),
        compress=data.get("output", {}).get("compress"),
        network=_network(data.get("network", {})),
        ssh=_ssh(data.get("ssh", {}), source, base),
        cloud_init=_cloud_init(data["cloud_init"]) if "cloud_init" in data else None,
        libvirt=data.get("libvirt", {}),
        mounts=_mounts(data, base),
        snapshots=tuple(
            Snapshot(**{"from_" if key == "from" else key: value for key, value in item.items()})
            for item in data.get("snapshots", ())
        ),
        eval=tuple(data.get("eval", ())),
        deploy_eval=tuple(data.get("deploy_eval", ())),
        declared=data,
        layers=layers,
        placed=placed,
        **chosen,
    )


def _with_defaults(source: Data, defaults: Mapping[str, str]) -> Data:
    """The ``source:`` mapping with the settings that this kind has a field for, and does not say."""
    fields = _OF_SETTINGS.get(source["kind"], ())
    return {**{key: defaults[key] for key in fields if key in defaults}, **source}


def _disk_size(data: Data, defaults: Mapping[str, str]) -> int | None:
    if size := data.get("disk_size", defaults.get("disk_size")):
        return parse_size(size, bare=MiB)
    return BOOTC_DISK if data["source"]["kind"] == "bootc" else None


def default_firmware(data: Data) -> str:
    """The default firmware: UEFI for machines without a BIOS."""
    source = data["source"]
    uefi = str(data.get("machine", "")).startswith("virt") or arch_of(source.get("bootstrap_arch", "")).uefi_only
    uefi = uefi or source.get("bootloader") == "systemd"  # systemd-boot is for UEFI only
    return "uefi-insecure" if uefi else "bios"


def build_source(data: Data, base: Path) -> Source:
    """The ``source:`` mapping as the class of its kind. A plugin's kind stays a plain :class:`Source`."""
    build = _SOURCES.get(data["kind"])
    return build(data, base) if build else Source(data["kind"], data)


def _given(data: Data, *keys: str) -> dict[str, Any]:
    """The values that were written; the dataclass has defaults for the rest."""
    return {key: tuple(data[key]) if isinstance(data[key], list) else data[key] for key in keys if key in data}


def _cloud_image(data: Data, base: Path) -> Source:
    data = with_official(data)
    checksum = data.get("checksum", {})
    value, keyring = checksum.get("value"), checksum.get("keyring")
    said, digits = (split_digest(value) if value else None) or (None, None)
    return CloudImageSource(
        kind="cloud_image",
        fields=data,
        checksum=Checksum(
            type=said or checksum.get("type", "sha256"),
            value=digits,
            keyring=expand_path(keyring, base) if keyring and not is_web(keyring) else None,
            keyring_url=keyring if keyring and is_web(keyring) else None,
            fingerprints=tuple(word.upper() for word in checksum.get("fingerprints", ())),
            **_given(checksum, "url"),
        ),
        cache=expand_path(data["cache"], base) if "cache" in data else None,
        **_given(data, "url", "official", "base_user", "distro"),
    )


def _bootc(data: Data, base: Path) -> Source:
    return BootcSource(
        kind="bootc",
        fields=data,
        root_size=parse_size(data["root_size"], bare=MiB) if "root_size" in data else None,
        kernel_args=_words(data.get("kernel_args", "")),
        composefs=None if (composefs := data.get("composefs", "auto")) == "auto" else bool(composefs),
        **_given(data, "image", "transport", "rootfs", "target_imgref", "bootloader", "base_user", "distro"),
    )


def _clone(data: Data, base: Path) -> Source:
    return CloneSource(
        kind="clone",
        fields=data,
        **_given(data, "from_vm", "from_snapshot", "cloud_init_clean", "base_user", "distro"),
    )


def _imported(data: Data, base: Path) -> Source:
    return ImportedSource(
        kind="imported",
        fields=data,
        disk_path=expand_path(data["disk_path"], base),
        nvram_path=expand_path(data["nvram_path"], base) if "nvram_path" in data else None,
        **_given(data, "libvirt_name", "disk_format", "adopted_at", "last_synced_at", "base_user", "distro"),
    )


def _bootstrap(data: Data, base: Path) -> Source:
    renamed = {"bootstrap_arch": "architecture", "bootstrap_variant": "variant"}
    return BootstrapSource(
        kind="bootstrap",
        fields=data,
        kernel_args=_words(data.get("kernel_args", "")),
        mirrors=_listed(data.get("mirror", ())),
        repositories=tuple(data.get("repositories", {}).items()),
        keyrings=tuple(expand_path(path, base) for path in _listed(data.get("keyring", ()))),
        **_given(data, "distro", "suite", "packages", "builder", "builder_image", "rootfs", "base_user"),
        **{field: data[key] for key, field in renamed.items() if key in data},
    )


_SOURCES: dict[str, Callable[[Data, Path], Source]] = {
    "cloud_image": _cloud_image,
    "bootc": _bootc,
    "clone": _clone,
    "imported": _imported,
    "bootstrap": _bootstrap,
}


def _words(text: str | list[str]) -> tuple[str, ...]:
    return tuple(text.split() if isinstance(text, str) else text)


def _listed(written: str | list[str] | tuple[str, ...]) -> tuple[str, ...]:
    return (written,) if isinstance(written, str) else tuple(written)


def _network(data: Data) -> Network:
    forwards = tuple(PortForward(*parse_forward(item)) for item in data.get("port_forwards", ()))
    given = _given(data, "mode", "model", "bridge", "network", "dev")
    if given.get("mode") in {"nat", "network"} and "bridge" in given:
        given["network"] = given.pop("bridge")
    return Network(**given, mac=data["mac"].lower() if "mac" in data else None, port_forwards=forwards)


def _ssh(data: Data, source: Source, base: Path) -> Ssh:
    user = data.get("user") or source.fields.get("base_user") or ("root" if source.kind == "bootc" else None)
    key = data.get("key_source", "auto")
    injection = data.get("key_injection", {})
    return Ssh(
        user=str(user) if user else None,
        port=data.get("port") or None,
        key_source=key if key in KEY_WORDS else str(expand_path(key, base)),
        smbios=Injection(injection.get("smbios", "auto")),
        cloud_init=Injection(injection.get("cloud_init", "auto")),
        install=Injection(injection.get("install", "auto")),
        host_key=HostKeyTrust(data.get("host_key", "prepared")),
    )


def _mounts(data: Data, base: Path) -> tuple[Mount, ...]:
    if "mounts" not in data:
        return ()
    from ovtasks.project.mounts import mount_of

    return tuple(mount_of(item, base) for item in data["mounts"])


def _commands(items: list[str | list[str]]) -> tuple[str | tuple[str, ...], ...]:
    return tuple(item if isinstance(item, str) else tuple(item) for item in items)


def _cloud_init(data: Data) -> CloudInit:
    install = data.get("ov_install", {})
    network: Mapping[str, Json] = data.get("network", {})
    return CloudInit(
        **_given(data, "hostname", "timezone", "locale", "packages"),
        users=tuple(User(**_given(u, "name", "sudo", "groups", "shell", "lock_passwd")) for u in data.get("users", ())),
        runcmd=_commands(data.get("runcmd", [])),
        bootcmd=_commands(data.get("bootcmd", [])),
        write_files=tuple(WriteFile(**item) for item in data.get("write_files", ())),
        network=network,
        mirrors=Mirrors(**_given(data.get("mirrors", {}), "apt", "dnf", "pacman")),
        ov_install=OvInstall(**_given(install, "strategy", "url", "checksum")),
        extra=data.get("extra", {}),
    )
