"""The installer's command line, for newer and older bootcs."""

from __future__ import annotations

import pytest

from ovtasks.errors import InputError, Where
from ovtasks.sources.bootc.command import Flags, install_command, offered

WHERE = Where("vms.yml", 2, 3)
NEW = offered(
    """Usage: bootc install to-disk [OPTIONS] <DEVICE>

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
)


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
    ],
)
def test_what_an_installer_lacks_is_an_error_if_it_is_wanted(flags: Flags, option: str, field: str) -> None:
    with pytest.raises(InputError) as caught:
        install_command(flags, NEW - {option}, WHERE)
    assert f"no {option}, which {field} needs" in caught.value.message
    assert caught.value.where == WHERE
