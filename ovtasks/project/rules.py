"""Rules between the fields of one VM, which a schema cannot state. Rules between VMs are in :mod:`.across`.

A rule yields an error for each violation. It runs even if the schema found errors, so it relies on nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ovtasks.errors import InputError
from ovtasks.project.across import across_rules
from ovtasks.project.bootc_rules import bootc_rules
from ovtasks.project.bootstrap_rules import bootstrap_rules
from ovtasks.project.declared import DeclaredVm
from ovtasks.project.expand import EXPANDED, KEY_WORDS, expand, variables
from ovtasks.project.model import BOOTC_DISK
from ovtasks.project.network_rules import network_rules
from ovtasks.project.official import official_image
from ovtasks.project.official_rules import keyring_rules, official_rules
from ovtasks.project.xml_rules import xml_rules
from ovtasks.values.arch import arch_of
from ovtasks.values.sizes import MIN_DISK, MIN_RAM, MiB, format_size, parse_size
from ovtasks.values.urls import DIGEST_DIGITS, beside_url, check_url, is_https, is_web, split_digest
from ovtasks.values.words import near
from ovtasks.values.yamlio import Key

if TYPE_CHECKING:
    from ovtasks.host.settings import SettingValue

MAX_NAME = 50
RESERVED = "-eph-"  # names of ephemeral instances
NAME_RULE = f"a VM's name begins with a-z or 0-9, then a-z, 0-9 or hyphens, at most {MAX_NAME} characters"
# A bare number below these was surely meant as gigabytes.

_URL = re.compile("https?://[^/]+/|file://.|/", re.IGNORECASE)  # what the schema accepts
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*", re.ASCII)


def all_rules(vms: Sequence[DeclaredVm]) -> tuple[list[InputError], tuple[str, ...]]:
    """Every violation, and the names of the environment variables that the VMs' paths use."""
    errors = [error.of(vm.name) for vm in vms for rule in RULES for error in rule(vm)]
    if any(vm.mapping("libvirt") for vm in vms):
        from ovtasks.project.libvirt_vms import libvirt_rules

        errors += libvirt_rules(vms)
    errors += across_rules(vms)
    used = {name for vm in vms for path in EXPANDED if (text := vm.text(*path)) for name in variables(text)}
    if sharing := [vm for vm in vms if vm.list("mounts")]:
        from ovtasks.project.mounts import mount_rules, used_variables

        errors += [error for vm in sharing for error in mount_rules(vm)]
        used |= {name for vm in sharing for name in used_variables(vm)}
    return errors, tuple(sorted(used))


def name_rule(vm: DeclaredVm) -> Iterator[InputError]:
    """A name is safe as a folder, a domain and a host name."""
    name = vm.name
    shown = name if len(name) <= MAX_NAME + 10 else name[:MAX_NAME] + "..."
    path = ("name",) if vm.path == ("vm",) else ()
    key = not path
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        lower = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:MAX_NAME].strip("-")
        hint = NAME_RULE + (f"; for example '{lower}'" if lower and lower != name else "")
        yield vm.error(f"'{shown}' is not a VM name", *path, hint=hint, key=key)
    elif RESERVED in name:
        yield vm.error(f"VM name '{shown}' is reserved", *path, hint=f"'{RESERVED}' marks ephemeral instances", key=key)


def _size(vm: DeclaredVm, *path: Key) -> tuple[int | None, InputError | None]:
    value = vm.get(*path)
    if value is None or isinstance(value, bool) or not isinstance(value, str | int | float):
        return None, None
    try:
        return parse_size(value, bare=MiB), None
    except InputError as e:
        return None, vm.error(f"{_dotted(path)}: {e.message}", *path, hint=e.hint)


def _dotted(path: Sequence[Key]) -> str:
    return ".".join(str(step) for step in path)


def size_rules(vm: DeclaredVm) -> Iterator[InputError]:
    """Sizes can be parsed, are plausible, and fit into each other."""
    sizes: dict[str, int] = {}
    for path, least in ((("disk_size",), MIN_DISK), (("ram",), MIN_RAM), (("source", "root_size"), MIN_DISK)):
        size, error = _size(vm, *path)
        if error is not None:
            yield error
        elif size is not None:
            sizes[path[-1]] = size
            if size < least:
                written = vm.get(*path)
                bare = isinstance(written, int) or str(written).isdigit()
                hint = f"did you mean {written}G? A number without a unit counts in MiB" if bare else None
                message = f"{_dotted(path)} of {format_size(size)} is too small: at least {format_size(least)}"
                yield vm.error(message, *path, hint=hint)
    kind = vm.text("source", "kind")
    if "root_size" in sizes:
        yield from _root_rules(vm, sizes["root_size"], sizes.get("disk_size"))
    if kind == "bootstrap" and "disk_size" not in vm.mapping() and _size_by_setting() is None:
        yield vm.error(
            f"'disk_size' is missing in VM '{vm.name}': source.kind bootstrap makes a new disk",
            hint="for example disk_size: 20G",
            key=True,
        )


def _root_rules(vm: DeclaredVm, root: int, disk: int | None) -> Iterator[InputError]:
    """The root partition fits on the disk: the entry's, else that of the user's settings, else bootc's default."""
    name, hint = f"disk_size {vm.get('disk_size')}", "enlarge disk_size, or leave root_size out"
    if vm.get("disk_size") is None:
        disk, name = (
            BOOTC_DISK if vm.text("source", "kind") == "bootc" else None,
            f"disk_size {format_size(BOOTC_DISK)}",
        )
        if (setting := _size_by_setting()) is not None:
            disk, name = parse_size(setting.value, bare=MiB), f"vm.disk_size {setting.value} ({setting.source})"
            hint = "write disk_size in the entry, or leave root_size out"
    if disk is not None and root > disk:
        message = f"source.root_size {vm.get('source', 'root_size')} is more than {name}"
        yield vm.error(message, "source", "root_size", hint=hint)


def _size_by_setting() -> SettingValue | None:
    """What the user's settings say about the size of disks; None: nothing."""
    from ovtasks.host import settings

    found = settings.get("vm.disk_size")
    return None if found.value == "auto" else found


def checksum_rules(vm: DeclaredVm) -> Iterator[InputError]:
    """The value has as many digits as its type, and ``none`` has neither value nor keyring."""
    checksum = vm.mapping("source", "checksum")
    at = ("source", "checksum")
    kind, value = vm.text(*at, "type") or "sha256", vm.text(*at, "value")
    if kind == "none":
        for key in ("value", "keyring", "fingerprints", "url"):
            if checksum.get(key):
                yield vm.error(
                    f"checksum.{key} contradicts checksum.type none", *at, key, key=True, hint="remove one of the two"
                )
        return
    if (url := vm.text(*at, "url")) is not None:
        yield from _checksum_url_rules(vm, url)
    if kind in DIGEST_DIGITS and value and (found := split_digest(value)) is not None:
        yield from _digest_rules(vm, kind, *found)


def _checksum_url_rules(vm: DeclaredVm, url: str) -> Iterator[InputError]:
    """The URL of the checksum file is valid, has an effect, and is as trustworthy as the image's."""
    at = ("source", "checksum", "url")
    checksum, image = vm.mapping("source", "checksum"), _image_url(vm)
    if checksum.get("value") and "keyring" not in checksum:
        yield vm.error("checksum.value makes checksum.url useless", *at, key=True, hint="remove one of the two")
    try:
        place = beside_url(image, url)
        check_url(place)
    except InputError as e:
        yield vm.error(f"checksum.url {e.message}", *at, hint=e.hint)
        return
    if is_https(image) and is_web(place) and not is_https(place):
        yield vm.error("checksum.url is plain http, the image is https", *at, hint="write https://")


def _image_url(vm: DeclaredVm) -> str:
    row = official_image(vm.text("source", "official") or "")
    return vm.text("source", "url") or (row.url if row else "")


def _digest_rules(vm: DeclaredVm, kind: str, said: str | None, digits: str) -> Iterator[InputError]:
    at = ("source", "checksum", "value")
    if said is not None and said not in DIGEST_DIGITS:
        yield vm.error(f"checksum.value is a {said} digest", *at, hint="sha256 and sha512 can be verified")
        return
    if said is not None and said != kind and vm.text("source", "checksum", "type") is not None:
        yield vm.error(f"checksum.value says {said}, checksum.type {kind}", *at, hint="remove one of the two")
        return
    kind = said or kind
    if len(digits) != DIGEST_DIGITS[kind]:
        fits = [name for name, length in DIGEST_DIGITS.items() if length == len(digits)]
        message = f"checksum.value has {len(digits)} digits, {kind} has {DIGEST_DIGITS[kind]}"
        hint = f"is it type: {fits[0]}?" if fits else "copy the whole digest from the checksum file"
        yield vm.error(message, *at, hint=hint)


def url_rules(vm: DeclaredVm) -> Iterator[InputError]:
    """The image's URL, which the schema accepts by its beginning, is valid as a whole."""
    url = vm.text("source", "url")
    if vm.text("source", "kind") == "cloud_image" and url and _URL.match(url):
        try:
            check_url(url)
        except InputError as e:
            yield vm.error(f"source.url {e.message}", "source", "url", hint=e.hint)


def path_rules(vm: DeclaredVm) -> Iterator[InputError]:
    """``~`` and ``${VAR}`` can be expanded, a key file looks like a path, an imported disk's path is absolute."""
    for path in EXPANDED:
        text = vm.text(*path)
        if not text or (path[-1] == "key_source" and text in KEY_WORDS):
            continue
        if path[-1] == "key_source" and not text.startswith(("/", "~", "${", "./", "../")):
            guess = near(text, KEY_WORDS)
            hint = f"did you mean '{guess}'?" if guess else "a relative path begins with ./"
            yield vm.error(f"ssh.key_source '{text}' is not auto, generate, none or a path", *path, hint=hint)
            continue
        try:
            expanded = expand(text)
        except InputError as e:
            yield vm.error(f"{_dotted(path)}: {e.message}", *path, hint=e.hint)
            continue
        if path[-1] in {"disk_path", "nvram_path"} and not expanded.startswith("/"):
            yield vm.error(f"{_dotted(path)} '{text}' is not absolute", *path, hint="write the whole path, from /")


def firmware_rules(vm: DeclaredVm) -> Iterator[InputError]:
    """Secure Boot needs SMM and a chipset that has it; some architectures have no BIOS."""
    firmware, machine = vm.text("firmware"), vm.text("machine") or ""
    if vm.text("source", "nvram_path") and (firmware or "bios") == "bios":
        message = "source.nvram_path has variables of UEFI, and the firmware is bios"
        yield vm.error(message, "source", "nvram_path", hint="firmware: uefi-insecure, or remove it", key=True)
    if firmware == "uefi-secure":
        if machine in {"i440fx", "pc"} or machine.startswith("pc-i440fx"):
            yield vm.error(f"firmware uefi-secure does not work with machine {machine}", "machine", hint="machine: q35")
        if str(vm.get("libvirt", "features", "smm")).lower() in {"false", "no", "off"}:
            yield vm.error(
                "firmware uefi-secure needs SMM, but libvirt.features.smm turns it off",
                *("libvirt", "features", "smm"),
                hint="remove libvirt.features.smm, or choose uefi-insecure",
            )
    if firmware == "bios":
        arch = vm.get("source", "bootstrap_arch")
        if machine == "virt" or machine.startswith("virt-"):
            yield vm.error(f"machine {machine} has no BIOS", "firmware", hint="firmware: uefi-insecure")
        elif isinstance(arch, str) and arch_of(arch).uefi_only:
            yield vm.error(f"architecture {arch} has no BIOS", "firmware", hint="firmware: uefi-insecure")


def ssh_rules(vm: DeclaredVm) -> Iterator[InputError]:
    """A port is either given or chosen by create, not both."""
    port = vm.get("ssh", "port")
    if vm.get("ssh", "port_auto") is True and isinstance(port, int) and port > 0:
        hint = "remove one of the two: without port, one is leased"
        yield vm.error(f"ssh.port_auto contradicts ssh.port {port}", "ssh", "port_auto", hint=hint, key=True)


def cloud_init_rules(vm: DeclaredVm) -> Iterator[InputError]:
    """Strategy url has its URL, no user is declared twice, and encoded files can be decoded."""
    install = vm.mapping("cloud_init", "ov_install")
    if install.get("strategy") == "url" and "url" not in install:
        path = ("cloud_init", "ov_install")
        yield vm.error("ov_install.url is missing: strategy url needs it", *path, "strategy", hint="url: https://…")
    yield from _twice(vm, "cloud_init", "users", what="user")
    if any(isinstance(item, dict) and "encoding" in item for item in vm.list("cloud_init", "write_files")):
        from ovtasks.project.encoded import encoded_rules

        yield from encoded_rules(vm)


def user_data_rules(vm: DeclaredVm) -> Iterator[InputError]:
    """The text for cloud-init fits the rest of the seed, and the key's owner can log in."""
    if vm.mapping("cloud_init"):
        from ovtasks.project.user_data import passed_rules

        yield from passed_rules(vm)


def snapshot_rules(vm: DeclaredVm) -> Iterator[InputError]:
    """A snapshot's name is unique in its VM."""
    yield from _twice(vm, "snapshots", what="snapshot")


def _twice(vm: DeclaredVm, *path: Key, what: str) -> Iterator[InputError]:
    seen: dict[str, int] = {}
    for index, item in enumerate(vm.list(*path)):
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str):
            continue
        if name in seen:
            first = vm.where(*path, seen[name], "name")
            yield vm.error(f"{what} '{name}' appears twice", *path, index, "name", hint=f"first at {first}")
        seen.setdefault(name, index)


def injection_rules(vm: DeclaredVm) -> Iterator[InputError]:
    """A channel for the key that is asked for exists. Only an installer writes a key into the disk, and only root's."""
    path = ("ssh", "key_injection", "cloud_init")
    if vm.get(*path) == "enabled" and vm.text("source", "kind") == "bootc" and "cloud_init" not in vm.mapping():
        message = "ssh.key_injection.cloud_init is enabled, and a bootc VM without cloud_init has no seed"
        yield vm.error(message, *path, hint="add cloud_init: {}, if the image has cloud-init; or remove it")
    path = ("ssh", "key_injection", "install")
    if vm.get(*path) != "enabled":
        return
    user = vm.text("ssh", "user") or vm.text("source", "base_user") or "root"
    if vm.text("source", "kind") != "bootc":
        yield vm.error("ssh.key_injection.install is for source.kind bootc", *path, hint="remove it")
    elif user != "root":
        message = f"ssh.key_injection.install writes root's key only, and {user} logs in"
        yield vm.error(message, *path, hint="ssh.user: root, or leave it to the other channels")
    elif vm.text("ssh", "key_source") == "none":
        message = "ssh.key_injection.install is enabled, and ssh.key_source none gives no key to write"
        yield vm.error(message, *path, hint="ssh.key_source: auto, generate or a file; or remove it")


def backend_rules(vm: DeclaredVm) -> Iterator[InputError]:
    """Only libvirt can start a VM when the host boots."""
    if vm.get("autostart") is True and vm.get("backend") == "qemu":
        hint = "backend: libvirt (or auto), or remove autostart"
        yield vm.error("autostart does not work with backend qemu", "autostart", hint=hint, key=True)


RULES: tuple[Callable[[DeclaredVm], Iterator[InputError]], ...] = (
    name_rule,
    size_rules,
    official_rules,
    checksum_rules,
    keyring_rules,
    url_rules,
    path_rules,
    firmware_rules,
    network_rules,
    ssh_rules,
    cloud_init_rules,
    user_data_rules,
    snapshot_rules,
    injection_rules,
    bootc_rules,
    bootstrap_rules,
    backend_rules,
    xml_rules,
)
