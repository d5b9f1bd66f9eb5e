"""Warns before the boot if the VM's firmware can probably not start its disk. For disks that no installer checked."""

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
    """Why the VM's firmware will probably not start ``disk``, and which one would; None if no doubt is known.

    This is only a warning, because an image may boot in a way that is unknown here.
    """
    try:
        with glimpse(disk) as raw:
            boot = bootable(raw, architecture(vm))
    except (OvError, OSError, json.JSONDecodeError, KeyError):
        return None  # the step that uses the disk reports what is wrong with it
    if boot is None or (boot.bios is False and boot.uefi is False):
        return None  # nothing bootable was found, so something else starts the VM
    try:
        check_firmware(vm, replace(boot, signed=None))
    except InputError as e:
        return f"{e.message}; {e.hint}"
    return None
