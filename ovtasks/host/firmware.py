"""UEFI firmware: which files a VM boots with, and the VM's own copy of the variables.

Firmware is looked up in QEMU's firmware descriptors (JSON; QEMU's ``docs/interop/firmware.json``), then in tables of
where distributions put it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ovtasks.errors import InputError, OvError
from ovtasks.host import packages
from ovtasks.host.files import write_atomic
from ovtasks.host.firmware_tables import brought, places
from ovtasks.host.paths import config_home
from ovtasks.values.arch import arch_of
from ovtasks.values.firmware import Firmware

# Short names of QEMU's machine types, and a versioned name that the descriptors' patterns match.
_VERSIONED = {"q35": "pc-q35-0", "pc": "pc-i440fx-0", "virt": "virt-0"}


class NotInstalledError(OvError):
    """The firmware is not installed; the hint names the package."""


@dataclass(frozen=True)
class Files:
    """One UEFI. ``code`` is mapped read-only; a VM's own variables start as a copy of ``template``.

    Formats are ``raw`` or ``qcow2``. ``smm``: the machine needs system management mode. ``secure_boot``: the code
    supports it; ``enrolled``: the template holds its keys. ``descriptor``: the file that named it (None: our tables).
    """

    code: Path
    template: Path
    code_format: str = "raw"
    nvram_format: str = "raw"
    smm: bool = False
    secure_boot: bool = False
    enrolled: bool = False
    descriptor: Path | None = None


def default_folders() -> tuple[Path, ...]:
    """The folders of firmware descriptors, highest priority first."""
    user = config_home().parent / "qemu/firmware"
    return user, Path("/etc/qemu/firmware"), Path("/usr/share/qemu/firmware")


def find(
    firmware: Firmware,
    arch: str,
    machine: str,
    folders: Sequence[Path] | None = None,
    *,
    root: Path = Path("/"),
    family: str | None = None,
) -> Files | None:
    """The firmware for a guest of ``arch`` on QEMU's ``machine`` (``q35``, ``pc-q35-9.2``, ``virt``); None for a BIOS.

    ``uefi-insecure`` boots unsigned systems: it has no Secure Boot, or no keys for it, so nothing is enforced.
    ``uefi-secure`` has Secure Boot with keys enrolled; on x86 SMM protects its variables. The tables' paths are taken
    below ``root``. ``family`` is the distribution whose places come first (default: this host's).

    :raises InputError: this kind of machine cannot have that firmware.
    :raises NotInstalledError: no such firmware is installed; the hint names the package.
    """
    if firmware is Firmware.BIOS:
        if arch_of(arch).uefi_only:
            raise InputError(f"{arch} machines have no BIOS", hint=f"firmware: {Firmware.UEFI_INSECURE}")
        return None
    secure = firmware is Firmware.UEFI_SECURE
    if secure and arch == "x86_64" and not _matches_any(machine, ("q35", "pc-q35-*")):
        raise InputError(f"machine {machine} cannot have {firmware}: it lacks SMM", hint="machine: q35")
    family = family or packages.family()
    found = list(_described(arch, machine, default_folders() if folders is None else folders))
    if secure:
        found = [f for f in found if f.secure_boot and f.enrolled and (f.smm or arch != "x86_64")]
    else:
        found = sorted((f for f in found if not f.enrolled), key=lambda f: f.secure_boot or f.smm)
    found += _installed(firmware, arch, family, root)
    if not found:
        message = f"no {firmware} firmware for {arch} machines is installed"
        raise NotInstalledError(message, hint=_hint(firmware, arch, family))
    return found[0]


def nvram_name(files: Files) -> str:
    """The file name of a VM's own variables, which depends on the template's content.

    So switching ``firmware:`` starts new variables (with or without keys), and installing a package again with the same
    template (other times, another inode) keeps them.

    :raises OvError: the template cannot be read.
    """
    try:
        with files.template.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as e:
        raise _unreadable(files.template, e) from e
    return f"nvram-{content[:12]}.fd"


def make_nvram(template: Path, path: Path) -> None:
    """Make ``path`` a copy of ``template``, 0600, as a whole or not at all. An existing file stays as it is.

    :raises OvError: the template cannot be read.
    """
    if path.exists():
        return
    try:
        content = template.read_bytes()
    except OSError as e:
        raise _unreadable(template, e) from e
    new = path.with_name(f".{path.name}.new")
    write_atomic(new, content, mode=0o600)
    try:
        path.hardlink_to(new)  # unlike a rename, this never replaces a file that another process has just made
    except FileExistsError:
        pass
    except FileNotFoundError:  # another process made it, and removed the temporary file
        if not path.exists():
            raise
    finally:
        new.unlink(missing_ok=True)


def _unreadable(path: Path, error: OSError) -> OvError:
    return OvError(
        f"firmware template {path} cannot be read: {error.strerror}",
        hint="install its package again, or correct source.nvram_path",
    )


def _installed(firmware: Firmware, arch: str, family: str | None, root: Path) -> Iterator[Files]:
    """The firmware that the tables find."""
    secure = firmware is Firmware.UEFI_SECURE
    for names in places(firmware, arch, family):
        code, template = (root / name for name in names)
        if _readable(code) and _readable(template):
            yield Files(
                code=code,
                template=template,
                code_format=_format(code),
                nvram_format=_format(template),
                smm=secure and arch == "x86_64",
                secure_boot=secure,
                enrolled=secure,
            )


def _format(path: Path) -> str:
    return "qcow2" if path.suffix == ".qcow2" else "raw"


def _readable(path: Path) -> bool:
    return os.access(path, os.R_OK) and path.is_file()


def _described(arch: str, machine: str, folders: Sequence[Path]) -> Iterator[Files]:
    """The firmware that the descriptors offer for such a machine, in their order."""
    for path in descriptors(folders):
        data = _read(path)
        mapping = _mapping(data, "mapping")
        fits = any(
            target.get("architecture") == arch and _matches_any(machine, _words(target, "machines"))
            for target in _list(data, "targets")
            if isinstance(target, dict)
        )
        # "combined" has code and variables in one file, "stateless" forgets its variables; our VMs keep their own.
        flash = mapping.get("device") == "flash" and mapping.get("mode", "split") == "split"
        if not (fits and flash and "uefi" in _words(data, "interface-types")):
            continue
        if (files := _files(path, mapping, _words(data, "features"))) is not None:
            yield files


def _files(path: Path, mapping: dict[str, object], features: Sequence[str]) -> Files | None:
    """The files that a descriptor names; None if one is missing or has a format that we do not know."""
    code, template = _mapping(mapping, "executable"), _mapping(mapping, "nvram-template")
    names = [str(part.get("filename", "")) for part in (code, template)]
    formats = [str(part.get("format", "raw")) for part in (code, template)]
    if not all(name.startswith("/") and _readable(Path(name)) for name in names) or {*formats} - {"raw", "qcow2"}:
        return None
    return Files(
        code=Path(names[0]),
        template=Path(names[1]),
        code_format=formats[0],
        nvram_format=formats[1],
        smm="requires-smm" in features,
        secure_boot="secure-boot" in features,
        enrolled="enrolled-keys" in features,
        descriptor=path,
    )


def descriptors(folders: Sequence[Path]) -> list[Path]:
    """Descriptor files sorted by name. The first folder that has a name wins; an empty file hides that name."""
    chosen: dict[str, Path] = {}
    for folder in folders:
        with contextlib.suppress(OSError):
            for path in folder.iterdir():
                if path.suffix == ".json" and not path.name.startswith("."):
                    chosen.setdefault(path.name, path)
    return [chosen[name] for name in sorted(chosen) if not _empty(chosen[name])]


def _empty(path: Path) -> bool:
    """Whether the file is empty; a link to /dev/null counts as empty."""
    try:
        return path.stat().st_size == 0
    except OSError:
        return True


def _read(path: Path) -> dict[str, object]:
    """A descriptor's content; empty for a broken one, since another one may serve."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _mapping(data: dict[str, object], key: str) -> dict[str, object]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _list(data: dict[str, object], key: str) -> list[object]:
    value = data.get(key)
    return value if isinstance(value, list) else []


def _words(data: dict[str, object], key: str) -> list[str]:
    return [word for word in _list(data, key) if isinstance(word, str)]


def _matches_any(machine: str, patterns: Sequence[str]) -> bool:
    names = (machine, _VERSIONED.get(machine, machine))
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _hint(firmware: Firmware, arch: str, family: str | None) -> str:
    program = arch_of(arch).firmware
    if program is None or (family and not brought(firmware, arch, family)):
        other = Firmware.UEFI_INSECURE if firmware is Firmware.UEFI_SECURE else Firmware.BIOS
        return f"no package here is known to bring it; firmware: {other}"
    package = family and packages.package_of(program, family)
    return f"{packages.INSTALL[family]} {package}" if family and package else f"install the package with {program}"
