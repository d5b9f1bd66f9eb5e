"""Checks what a fetched file is. Only a whole, self-contained qcow2 or raw disk gets into the store."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovtasks.errors import OvError
from ovtasks.host.run import CommandError, Result, run, which
from ovtasks.images.extents import missing_of_qcow2, missing_of_raw

_MEMORY = 1 << 30  # bytes of address space, as OpenStack gives qemu-img
_CPU_SECONDS = 30
_WALL_SECONDS = 60.0
_HEAD = 64 << 10
_LEAKS = 3  # the status of qemu-img check
# QEMU docs/interop/qcow2.rst, "incompatible features"
_CORRUPT, _EXTERNAL_DATA = 1 << 1, 1 << 2
_FOREIGN = {
    b"KDMV": "vmdk",
    b"# Disk DescriptorFile": "vmdk",
    b"COWD": "vmdk",
    b"vhdxfile": "vhdx",
    b"conectix": "vpc",
    b"QED\0": "qed",
    b"WithoutFreeSpace": "parallels",
    b"WithouFreSpacExt": "parallels",
}


@dataclass(frozen=True, slots=True)
class Inspected:
    """An image that passed: ``format`` is ``qcow2`` or ``raw``, ``virtual_size`` the disk's size in bytes."""

    format: str
    virtual_size: int


class UnfitError(OvError):
    """These bytes cannot be used; trying again with them does not help."""


class ImageError(UnfitError):
    """The file is not an image that we build a VM from."""


def inspect(path: Path, shown: str) -> Inspected:
    """Inspect an untrusted image: its header and tables here, then with ``qemu-img info`` and ``check`` under limits.

    ``shown`` names the image in errors.

    :raises ImageError: another format, a backing file, an external data file, encryption, damage, a missing part.
    :raises OvError: qemu-img is not installed.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
        file.seek(0, 2)
        size = file.tell()
    format = _detect(head, size, shown)
    if format == "qcow2":
        _check_qcow2(head, shown)
    _check_whole(path, format, size, shown)
    info = _qemu_img_info(path, format, shown)
    if info.get("backing-filename") or info.get("full-backing-filename"):
        raise _backing(shown, str(info.get("backing-filename")))
    if info.get("encrypted"):
        raise ImageError(f"{shown} is encrypted", hint="decrypt it with qemu-img convert first")
    data = info.get("format-specific", {}).get("data", {})
    if data.get("data-file"):
        raise _external_data(shown)
    if data.get("corrupt"):
        raise _corrupt(shown)
    virtual_size = int(info["virtual-size"])
    if virtual_size <= 0:
        raise ImageError(f"{shown} is a disk of 0 bytes", hint="check the URL")
    if format == "qcow2":
        _qemu_img_check(path, shown)
    return Inspected(format, virtual_size)


def _detect(head: bytes, size: int, shown: str) -> str:
    """The format, by its magic number. A raw disk must have a partition table or a boot sector."""
    if head.startswith(b"QFI\xfb"):
        return "qcow2"
    foreign = next((name for magic, name in _FOREIGN.items() if head.startswith(magic)), None)
    if foreign is None and head[64:68] == b"\x7f\x10\xda\xbe":
        foreign = "vdi"
    if foreign is not None:
        raise ImageError(
            f"{shown} is a {foreign} image; only qcow2 and raw can be used",
            hint=f"convert it: qemu-img convert -f {foreign} -O qcow2 IMAGE disk.qcow2, and use file:///…/disk.qcow2",
        )
    if head.startswith(b"LUKS\xba\xbe"):
        raise ImageError(f"{shown} is encrypted (LUKS)", hint="decrypt it with qemu-img convert first")
    if head[32769:32774] == b"CD001":
        raise ImageError(f"{shown} is an ISO 9660 image, not a disk", hint="use the distribution's cloud image")
    if head.lstrip()[:1] == b"<":
        raise ImageError(
            f"{shown}: unknown image format: it looks like a web page",
            hint="the URL must be the image's own, not a page's",
        )
    if head[257:262] == b"ustar":
        raise ImageError(f"{shown} is a tar archive", hint="unpack it and use the disk image inside by file:///…")
    partitioned = head[510:512] == b"\x55\xaa" or b"EFI PART" in {head[512:520], head[4096:4104]}
    if partitioned and size >= 1024:
        return "raw"
    raise ImageError(
        f"{shown}: unknown image format: neither qcow2 nor a raw disk with a partition table",
        hint="check the URL; qemu-img info tells what a file is",
    )


def _check_qcow2(head: bytes, shown: str) -> None:
    """Check a qcow2 header; format: QEMU docs/interop/qcow2.rst, "Header"."""
    if len(head) < 104:
        raise ImageError(f"{shown} is cut off in its qcow2 header", hint="the file is damaged on the server")
    version, backing_offset = struct.unpack(">IQ", head[4:16])
    if version not in {2, 3}:
        raise ImageError(f"{shown} is qcow2 version {version}; 2 and 3 are known", hint="check the URL")
    if backing_offset:
        length = struct.unpack(">I", head[16:20])[0]
        raise _backing(shown, head[backing_offset : backing_offset + min(length, 1023)].decode(errors="replace"))
    if struct.unpack(">I", head[32:36])[0]:
        raise ImageError(f"{shown} is encrypted", hint="decrypt it with qemu-img convert first")
    features = struct.unpack(">Q", head[72:80])[0] if version == 3 else 0
    if features & _EXTERNAL_DATA:
        raise _external_data(shown)
    if features & _CORRUPT:
        raise _corrupt(shown)


def _check_whole(path: Path, format: str, size: int, shown: str) -> None:
    missing = missing_of_qcow2(path) if format == "qcow2" else missing_of_raw(path)
    if missing is not None:
        raise ImageError(
            f"{shown} is cut off: the file has {size} bytes, and {missing}",
            hint="the file is incomplete on the server; try again later or use another mirror",
        )


def _backing(shown: str, name: str) -> ImageError:
    return ImageError(
        f"{shown} has a backing file ({name!r}): it is not complete, and could read this machine's files",
        hint="make it self-contained with qemu-img convert -O qcow2",
    )


def _external_data(shown: str) -> ImageError:
    return ImageError(
        f"{shown} keeps its data in another file: it is not complete, and could read this machine's files",
        hint="make it self-contained with qemu-img convert -O qcow2",
    )


def _corrupt(shown: str) -> ImageError:
    return ImageError(f"{shown} is marked as corrupt", hint="qemu-img check -r all mends some of that, at the source")


def _qemu_img_info(path: Path, format: str, shown: str) -> dict[str, Any]:
    result = _qemu_img("info", path, format)
    if result.returncode != 0:
        raise ImageError(
            f"{shown} cannot be read as {format}: {_last_line(result)}",
            hint="the file is damaged on the server, or not what it claims to be",
        )
    info = json.loads(result.stdout)
    assert isinstance(info, dict)
    return info


def _qemu_img_check(path: Path, shown: str) -> None:
    """Let qemu-img compare the image's tables. Unused clusters ("leaks") waste space and are fine."""
    result = _qemu_img("check", path, "qcow2")
    if result.returncode in {0, _LEAKS}:
        return
    try:
        found = json.loads(result.stdout)
        what = f"qemu-img check finds {found['corruptions']} errors in its tables"
    except (ValueError, KeyError, TypeError):
        what = f"qemu-img check does not come to an end: {_last_line(result)}"
    raise ImageError(f"{shown} is damaged: {what}", hint="the file is damaged on the server; use another mirror")


def _qemu_img(verb: str, path: Path, format: str) -> Result:
    """Run ``qemu-img`` on a file that may be made to harm it: with little memory and little time."""
    argv = ["qemu-img", verb, "-U", "--output=json", "-f", format, str(path.absolute())]
    if which("prlimit") is not None and which("qemu-img") is not None:
        argv = ["prlimit", f"--as={_MEMORY}", f"--cpu={_CPU_SECONDS}", "--", *argv]
    try:
        return run(argv, timeout=_WALL_SECONDS, check=False)
    except CommandError as e:  # it took too long
        return Result(e.returncode, "", e.stderr)


def _last_line(result: Result) -> str:
    return (result.stderr.strip().splitlines() or ["qemu-img failed"])[-1]
