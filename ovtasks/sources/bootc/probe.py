"""Asks an image for the version and the abilities of its bootc, once for each image ID."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ovtasks.containers.diagnosis import diagnose
from ovtasks.containers.engine import Engine
from ovtasks.containers.scratch import LABEL
from ovtasks.errors import InputError, OvError, Where
from ovtasks.host.files import write_atomic
from ovtasks.host.run import CommandError
from ovtasks.host.state import try_load_state
from ovtasks.sources.bootc.command import offered, values
from ovtasks.values.jsonvalue import fields_of, restore, state_text

RECIPE = 2
SECONDS = 120.0
# Looks where bootc itself looks for bootupd's files, a UKI, and the image's own install configuration.
SCRIPT = r"""command -v bootc >/dev/null || exit 90
echo "version $(bootc --version)"
if command -v cloud-init >/dev/null; then echo "has cloud-init"; fi
if command -v bootupctl >/dev/null && [ -d /usr/lib/bootupd/updates ]; then echo "has bootupd"; fi
for file in /usr/lib/systemd/boot/efi/systemd-boot*.efi*; do if [ -e "$file" ]; then echo "has systemd-boot"; fi; done
for file in /usr/lib/modules/*/*.efi /boot/EFI/Linux/*.efi; do if [ -e "$file" ]; then echo "has uki"; fi; done
cat /usr/lib/bootc/install/*.toml /etc/bootc/install/*.toml 2>/dev/null |
  sed -n 's/^bootloader *= *"\([a-z-]*\)".*/loader \1/p' 2>/dev/null
echo help
exec bootc install to-disk --help
"""
_NO_BOOTC = 90


@dataclass(frozen=True)
class Installer:
    """What we know of the bootc inside an image.

    ``version`` is the output of ``bootc --version``. ``options`` are those of ``install to-disk``. ``loaders`` are the
    values that ``--bootloader`` takes; empty: it does not say. ``configured`` is the boot loader that the image's own
    configuration names. The rest says what the image contains.
    """

    version: str
    options: frozenset[str]
    cloud_init: bool
    loaders: frozenset[str] = frozenset()
    bootupd: bool = False
    systemd_boot: bool = False
    uki: bool = False
    configured: str | None = None


def ask(engine: Engine, image: str, image_id: str, state: Path, where: Where) -> Installer:
    """Run the image once, without special rights. This also proves, before minutes of work, that containers run here.

    :raises InputError: the image has no bootc, or one that cannot install to a disk.
    :raises OvError: its bootc cannot install to a file, or containers do not run here.
    """
    memo = state / "bootc" / f"{image_id[:32]}.json"
    if (known := _remembered(memo)) is not None:
        return known
    label = ["--label", f"{LABEL}=probe"]
    try:
        done = engine.run(
            "run", "--rm", "--network=none", *label, "--entrypoint", "sh", image, "-c", SCRIPT, timeout=SECONDS
        )
    except CommandError as e:
        if e.returncode == _NO_BOOTC or "executable file `sh` not found" in e.stderr:
            hint = "build it FROM a bootc base image (quay.io/fedora/fedora-bootc, …), or use source.kind cloud_image"
            raise InputError(f"the image {image} has no bootc: it cannot install itself", hint=hint, where=where) from e
        if re.search(r"unrecognized subcommand|unexpected argument", e.stderr):
            hint = "build it FROM a bootc base image whose bootc has `install to-disk`"
            raise InputError(f"the bootc in {image} cannot install to a disk", hint=hint, where=where) from e
        raise diagnose(e, "containers do not run") from e
    found = _read(done.stdout)
    if "--via-loopback" not in found.options:
        raise OvError(f"{found.version} cannot install to a file", hint="build the image from a newer base")
    write_atomic(memo, state_text({"recipe": RECIPE, **fields_of(found)}))
    return found


def _read(text: str) -> Installer:
    facts, _, help_text = text.partition("\nhelp\n")
    found = [line.partition(" ")[::2] for line in facts.splitlines()]
    has = {value for key, value in found if key == "has"}
    return Installer(
        version=next((value for key, value in found if key == "version"), "bootc"),
        options=offered(help_text),
        cloud_init="cloud-init" in has,
        loaders=values(help_text, "--bootloader"),
        bootupd="bootupd" in has,
        systemd_boot="systemd-boot" in has,
        uki="uki" in has,
        configured=next((value for key, value in reversed(found) if key == "loader"), None),
    )


def _remembered(memo: Path) -> Installer | None:
    known = try_load_state(memo) or {}
    try:
        return restore(Installer, known) if known.pop("recipe", None) == RECIPE else None
    except (TypeError, ValueError):
        return None
