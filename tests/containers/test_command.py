"""The installer's command line, for newer and older bootcs."""

from __future__ import annotations

from typing import Any

import pytest

from ovtasks.errors import InputError, Where
from ovtasks.images.boot import Bootable
from ovtasks.sources.bootc.boot_loader import choose, explained
from ovtasks.sources.bootc.command import Flags, install_command, offered, values
from ovtasks.sources.bootc.probe import Installer

WHERE = Where("vms.yml", 2, 3)
NEW_HELP = """Usage: bootc install to-disk [OPTIONS] <DEVICE>

Options:
      --wipe                     Automatically wipe all existing data on device
      --root-size <ROOT_SIZE>    Size of the root partition
      --filesystem <FILESYSTEM>  [possible values: xfs, ext4, btrfs]
      --karg <KARG>              Add a kernel argument
      --target-transport <T>     [default: registry]
      --target-imgref <IMG>
      --root-ssh-authorized-keys <FILE>
      --generic-image
      --run-fetch-check
      --skip-fetch-check
      --via-loopback
  -h, --help                     Print help
"""
NEW = offered(NEW_HELP)


def test_every_flag_is_explicit() -> None:
    flags = Flags("xfs", 10 << 30, ("console=ttyS0", "quiet"), "quay.io/me/os:1", ("ssh-ed25519 AAAA me",))
    assert install_command(flags, NEW, WHERE) == [
        *("bootc", "install", "to-disk", "--via-loopback", "--filesystem", "xfs", "--generic-image"),
        *("--root-size=10240M", "--karg=console=ttyS0", "--karg=quiet", "--target-imgref=quay.io/me/os:1"),
        *("--root-ssh-authorized-keys=/output/authorized_keys", "--target-transport=registry", "/output/disk.raw"),
    ]


def test_only_what_is_wanted_is_said() -> None:
    words = install_command(Flags("ext4", None, (), None), NEW, WHERE)
    assert words[3:] == ["--via-loopback", "--filesystem", "ext4", "--generic-image", "/output/disk.raw"]


def test_an_old_installer_must_not_ask_the_registry() -> None:
    words = install_command(Flags("ext4", None, (), None), NEW - {"--run-fetch-check"}, WHERE)
    assert "--skip-fetch-check" in words


@pytest.mark.parametrize(
    ("flags", "option", "field"),
    [
        (Flags("ext4", 1 << 30, (), None), "--root-size", "source.root_size"),
        (Flags("ext4", None, ("a",), None), "--karg", "source.kernel_args"),
        (Flags("ext4", None, (), "quay.io/a/b"), "--target-imgref", "source.target_imgref"),
        (Flags("ext4", None, (), None, ("key",)), "--root-ssh-authorized-keys", "ssh.key_injection.install"),
        (Flags("ext4", None, (), None, bootloader="grub"), "--bootloader", "source.bootloader"),
        (Flags("ext4", None, (), None, composefs=True), "--composefs-backend", "source.composefs"),
    ],
)
def test_what_an_installer_lacks_is_an_error_if_it_is_wanted(flags: Flags, option: str, field: str) -> None:
    with pytest.raises(InputError) as caught:
        install_command(flags, BOTH - {option}, WHERE)
    assert f"no {option}, which {field} needs" in caught.value.message
    assert caught.value.where == WHERE


# As clap writes a long help: what stands behind an option is indented further, and may speak of other options.
LONG = """Install to the target block device

Usage: bootc install to-disk [OPTIONS] <DEVICE>

Arguments:
  <DEVICE>
          Target block device for installation.  The entire device will be wiped

Options:
      --via-loopback
          Instead of targeting a block device, write to a file via loopback

      --bootupd-skip-boot-uuid
          Don't pass
          --write-uuid to bootupd during bootloader installation

      --bootloader <BOOTLOADER>
          The bootloader to use

          Possible values:
          - grub:    Use Grub as the bootloader
          - grub-cc: Another one
          - systemd: Use SystemdBoot as the bootloader
          - none:    Don't use a bootloader managed by bootc

      --bound-images <BOUND_IMAGES>
          How should logically bound images be retrieved

          [default: stored]
          [possible values: stored,
          skip, pull]

  -h, --help
          Print help (see a summary with '-h')
"""


def test_options_of_a_long_help() -> None:
    assert offered(LONG) == {"--via-loopback", "--bootupd-skip-boot-uuid", "--bootloader", "--bound-images", "--help"}
    assert values(LONG, "--bootloader") == {"grub", "grub-cc", "systemd", "none"}
    assert values(LONG, "--bound-images") == {"stored", "skip", "pull"}
    assert values(NEW_HELP, "--filesystem") == {"xfs", "ext4", "btrfs"}
    assert values(LONG, "--via-loopback") == values(LONG, "--frob") == set()


BOTH = NEW | {"--bootloader", "--composefs-backend"}


def test_boot_loader_and_composefs() -> None:
    words = install_command(Flags("ext4", None, (), None, bootloader="systemd", composefs=True), BOTH, WHERE)
    assert words[-3:] == ["--bootloader=systemd", "--composefs-backend", "/output/disk.raw"]
    words = install_command(Flags("ext4", None, (), None, bootloader="none", composefs=False), BOTH, WHERE)
    assert words[-2:] == ["--bootloader=none", "/output/disk.raw"]


def an_image(*has: str, options: frozenset[str] = BOTH, loaders: str = "grub systemd none", **more: Any) -> Installer:
    known: dict[str, Any] = {name: name in has for name in ("bootupd", "systemd_boot", "uki")}
    return Installer("bootc 1.16.9", options, False, frozenset(loaders.split()), **known, **more)


@pytest.mark.parametrize(
    ("name", "composefs", "image", "wanted"),
    [
        (None, None, an_image("bootupd", "systemd_boot"), (None, False)),
        (None, None, an_image("systemd_boot"), ("systemd", True)),
        (None, None, an_image(), (None, False)),  # bootc knows better, or says so
        (None, None, an_image("systemd_boot", options=NEW, loaders=""), (None, False)),
        (None, None, an_image("systemd_boot", loaders=""), ("systemd", True)),
        (None, None, an_image("bootupd", "uki"), (None, True)),
        (None, None, an_image("uki", options=NEW), (None, False)),
        (None, None, an_image("bootupd", configured="systemd"), (None, True)),
        (None, None, an_image("systemd_boot", configured="grub"), (None, False)),
        ("grub", None, an_image("systemd_boot"), ("grub", False)),
        ("systemd", None, an_image("bootupd", "systemd_boot"), ("systemd", True)),
        ("none", None, an_image("systemd_boot"), ("none", False)),
        (None, True, an_image("bootupd"), (None, True)),
        (None, False, an_image("systemd_boot"), (None, False)),
        ("grub", True, an_image("bootupd"), ("grub", True)),
    ],
)
def test_the_loader_that_fits(
    name: str | None, composefs: bool | None, image: Installer, wanted: tuple[str | None, bool]
) -> None:
    found = choose(name, composefs, image, WHERE)
    assert (found.name, found.composefs) == wanted


@pytest.mark.parametrize(
    ("installed", "bios", "uefi"),
    [
        ("grub", "no code", "empty"),
        (None, "no code", "empty"),
        ("systemd", "bootc installed systemd-boot, which starts under UEFI only", "empty"),
        ("none", "bootc installed no boot loader", "bootc installed no boot loader"),
    ],
)
def test_bootcs_own_line_is_the_reason(installed: str | None, bios: str, uefi: str) -> None:
    found = explained(Bootable(False, False, None, "no code", "empty"), installed)
    assert (found.why_not_bios, found.why_not_uefi) == (bios, uefi)
    assert explained(Bootable(True, True), installed) == Bootable(True, True)


@pytest.mark.parametrize(
    ("name", "composefs", "image", "message", "hint"),
    [
        ("none", None, an_image(loaders="grub systemd"), "bootc 1.16.9 in this image does not know none", "grub, sys"),
        (None, False, an_image("uki"), "UKI, which bootc installs as composefs", "source.composefs: auto"),
    ],
)
def test_what_does_not_go_together(
    name: str | None, composefs: bool | None, image: Installer, message: str, hint: str
) -> None:
    with pytest.raises(InputError) as caught:
        choose(name, composefs, image, WHERE)
    assert message in caught.value.message and hint in (caught.value.hint or "")
    assert caught.value.where == WHERE
