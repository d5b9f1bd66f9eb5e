"""Whether the VM's firmware can start its disk, where no installer has said so: a word before minutes of waiting."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from ovtasks.errors import InputError, OvError
from ovtasks.images.boot import bootable
from ovtasks.images.glimpse import glimpse
from ovtasks.instance.assemble import architecture, check_firmware
from ovtasks.project.model import VmSpec


def doubt(vm: VmSpec, disk: Path) -> str | None:
    """Why its firmware will probably not start ``disk``, and which would; None: it will, or nobody knows. It is no
    error: an image may have ways that are not known here."""
    try:
        with glimpse(disk) as raw:
            boot = bootable(raw, architecture(vm))
    except (OvError, OSError, json.JSONDecodeError, KeyError):
        return None  # whoever uses the disk says what is wrong with it
    if boot is None or (boot.bios is False and boot.uefi is False):
        return None  # a disk that something else starts
    try:
        check_firmware(vm, replace(boot, signed=None))
    except InputError as e:
        return f"{e.message}; {e.hint}"
    return None
