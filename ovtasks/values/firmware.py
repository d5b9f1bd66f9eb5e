"""The firmware that a machine starts with."""

from __future__ import annotations

from enum import StrEnum


class Firmware(StrEnum):
    """The values of ``firmware:``."""

    BIOS = "bios"
    UEFI_INSECURE = "uefi-insecure"
    UEFI_SECURE = "uefi-secure"
