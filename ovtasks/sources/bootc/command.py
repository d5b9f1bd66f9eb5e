"""``bootc install to-disk`` as an argument list. Pure.

The options are described by ``bootc install to-disk --help`` and bootc's documentation, "Installation". We give every
option that decides the result, so that the defaults inside an image do not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ovtasks.errors import InputError, Where
from ovtasks.values.jsonvalue import Json
from ovtasks.values.sizes import MiB

KEYS_FILE = "/output/authorized_keys"
DISK_FILE = "/output/disk.raw"
# An option stands at the beginning of its line; its explanation is indented further.
_OPTION = re.compile(r"^ {1,8}(?:-\w, )?(--[a-z][a-z-]*)", re.MULTILINE)
_LISTED = re.compile(r"\[possible values: ([^\]]*)\]")
_ITEM = re.compile(r"^ +- ([a-z][a-z-]*)(?::|$)", re.MULTILINE)


@dataclass(frozen=True)
class Flags:
    """The part of the spec that the installer gets.

    ``root_size`` is in bytes, rounded down to whole MiB; None: the whole disk. ``keys`` are lines for root's
    authorized_keys. ``target`` is the image that later upgrades follow; None: the one that is installed. If
    ``bootloader`` or ``composefs`` is None, bootc decides it.
    """

    filesystem: str
    root_size: int | None
    kargs: tuple[str, ...]
    target: str | None
    keys: tuple[str, ...] = ()
    bootloader: str | None = None
    composefs: bool | None = None

    def to_json(self) -> dict[str, Json]:
        """Everything, for a step's inputs."""
        found: dict[str, Json] = {
            "filesystem": self.filesystem,
            "root_size": self.root_size,
            "kernel_args": list(self.kargs),
            "target_imgref": self.target,
            "keys": list(self.keys),
        }
        chosen: dict[str, Json] = {"bootloader": self.bootloader, "composefs": self.composefs}
        # Left out unless the spec chooses: so disks that were installed before these fields existed stay fresh.
        return found | {key: value for key, value in chosen.items() if value is not None}


def offered(help_text: str) -> frozenset[str]:
    """The long options that a ``--help`` lists."""
    return frozenset(_OPTION.findall(help_text))


def values(help_text: str, option: str) -> frozenset[str]:
    """The values that ``option`` takes, from a ``--help`` in either of clap's forms; empty: it does not say."""
    found = next((line for line in _OPTION.finditer(help_text) if line[1] == option), None)
    if found is None:
        return frozenset()
    following = _OPTION.search(help_text, found.end())
    part = help_text[found.end() : following.start() if following else None]
    listed = _LISTED.search(" ".join(part.split()))
    words = listed[1].split(",") if listed else _ITEM.findall(part)
    return frozenset(word.strip() for word in words)


def install_command(flags: Flags, known: frozenset[str], where: Where) -> list[str]:
    """The installer's command line for a bootc that has the options ``known``.

    :raises InputError: this bootc lacks an option that the spec needs.
    """
    words = ["bootc", "install", "to-disk", "--via-loopback", "--filesystem", flags.filesystem]
    if "--generic-image" in known:
        words.append("--generic-image")
    if "--skip-fetch-check" in known and "--run-fetch-check" not in known:
        words.append("--skip-fetch-check")  # until 1.1.7 the installer asked the registry unless told not to
    wanted: list[tuple[str, Sequence[str], str]] = [
        ("--root-size", [f"{flags.root_size // MiB}M"] if flags.root_size else [], "source.root_size"),
        ("--karg", flags.kargs, "source.kernel_args"),
        ("--target-imgref", [flags.target] if flags.target else [], "source.target_imgref"),
        ("--root-ssh-authorized-keys", [KEYS_FILE] if flags.keys else [], "ssh.key_injection.install"),
        ("--bootloader", [flags.bootloader] if flags.bootloader else [], "source.bootloader"),
        ("--composefs-backend", [""] if flags.composefs else [], "source.composefs"),
    ]
    for option, given, field in wanted:
        if given and option not in known:
            hint = f"remove {field}, or build the image from a newer base"
            raise InputError(f"the bootc in this image has no {option}, which {field} needs", hint=hint, where=where)
        words += [f"{option}={value}" if value else option for value in given]
    if flags.target and "--target-transport" in known:
        words.append("--target-transport=registry")
    return [*words, DISK_FILE]
