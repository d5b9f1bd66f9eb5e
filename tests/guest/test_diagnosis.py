"""What real consoles and real ssh clients say is told apart, each with a next step."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.guest.diagnosis import SERIAL, SSH, clean, diagnose, stands_still

SAMPLES = Path(__file__).parent / "samples"
# Consoles as QEMU's guests left them: the firmware without a disk, a Debian with a broken command line or boot loader.
CONSOLES = {
    "seabios-blank": ("no-boot-device", "finds nothing to boot"),
    "seabios-ipxe": ("no-boot-device", "finds nothing to boot"),
    "ovmf": ("no-boot-device", "finds nothing to boot"),
    "panic-root": ("panic", "VFS: Unable to mount root fs on unknown-block(0,0)"),
    "init-false": ("panic", "Attempted to kill init!"),
    "oom": ("panic", "System is deadlocked on memory"),
    "initramfs": ("initramfs", "does not find its root file system"),
    "emergency": ("emergency", "emergency shell"),
    "grub": ("boot-loader", "boot loader stopped at its prompt"),
    "no-dhcp": ("no-network", "no DHCP lease"),
    "noseed": ("no-datasource", "found no seed"),
}
TEXTS = {
    "grub rescue> ": "boot-loader",
    "dracut:/# ": "initramfs",
    "[  100.0] Out of memory: Killed process 612 (python3) total-vm:1kB": "out-of-memory",
    "write error: No space left on device": "disk-full",
    "You are in rescue mode. After logging in": "emergency",
    "Debian GNU/Linux 12 demo ttyS0\n\ndemo login: ": "booting",
    "": "silent",
    "\x1b[2J\x1b[01;01H\x1b[=3h": "silent",
}
ERRORS = {
    "demo@127.0.0.1: Permission denied (publickey).": "key-refused",
    "Received disconnect: Too many authentication failures": "key-refused",
    "Host key verification failed.": "host-key",
    "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.": "host-key",
    'Load key "/k": error in libcrypto\ndemo@x: Permission denied (publickey).': "key-refused",
}


@pytest.mark.parametrize("name", CONSOLES)
def test_consoles(name: str) -> None:
    text = (SAMPLES / f"{name}.txt").read_bytes().decode(errors="replace")
    kind, words = CONSOLES[name]
    finding = diagnose(text, "", "web", reached=False)
    assert finding.kind == kind and words in finding.message
    assert "web" in finding.hint or "firmware" in finding.hint or "cloud_init" in finding.hint
    assert "{" not in finding.message + finding.hint


def test_every_sample_is_used() -> None:
    assert {path.stem for path in SAMPLES.iterdir()} == {*CONSOLES}


@pytest.mark.parametrize("text", TEXTS)
def test_texts(text: str) -> None:
    assert diagnose(text, "", "web", reached=False).kind == TEXTS[text]


@pytest.mark.parametrize("error", ERRORS)
def test_what_ssh_says(error: str) -> None:
    assert diagnose("grub>", error, "web", reached=True).kind == ERRORS[error]


def test_what_was_overcome_does_not_count() -> None:
    """A boot after a panic; trouble of the boot when the SSH server answers; a word of the table in a later place."""
    panic = (SAMPLES / "panic-root.txt").read_text(errors="replace")
    assert diagnose(f"{panic}\ngrub rescue> ", "", "web", reached=False).kind == "boot-loader"
    assert diagnose("Failed to start Wait for Network to be Configured", "", "web", reached=True).kind == "busy"
    assert diagnose(panic, "", "web", reached=True).kind == "panic"


def test_every_sign_has_one_next_step() -> None:
    for sign in (*SSH, *SERIAL):
        assert sign.hint.format(vm="web") and sign.message.format("x")


def test_clean_takes_escapes_away() -> None:
    assert clean("\x1b[0;32m  OK  \x1b[0m\r\n\x1b]0;title\x07a\x00b\r") == "  OK  \nab\n"


STAND_STILL = (
    "seabios-blank",
    "seabios-ipxe",
    "ovmf",
    "panic-root",
    "init-false",
    "oom",
    "initramfs",
    "emergency",
    "grub",
)
REBOOT = "Kernel panic - not syncing: VFS\nRebooting in 10 seconds..\n"
STILL = {
    "grub rescue> ": True,
    "dracut:/# ": True,
    "Give root password for maintenance\n(or press Control-D to continue): ": True,
    "BdsDxe: failed to load Boot0001\nBdsDxe: loading Boot0002\nShell> ": True,
    "No bootable device.\nRetrying in 5 seconds\n": False,
    "Boot failed: not a bootable disk\nBooting from DVD/CD...\n": False,
    "BdsDxe: failed to load Boot0001 from PciRoot\nBdsDxe: starting Boot0002\n": False,
    "Press ESC in 5 seconds to skip startup.nsh": False,
    "No bootable device.\nSeaBIOS (version 1.16.2)\nLinux version 6.1.0\n": False,
    "---[ end Kernel panic - not syncing: x ]---\nLinux version 6.1.0\n": False,
    REBOOT: False,
    REBOOT + "Linux version 6.1.0\n" + REBOOT: True,
    "web login: ": False,
    "echo 'Kernel panic' is not one": False,
    "": False,
}


@pytest.mark.parametrize("name", CONSOLES)
def test_consoles_that_stand_still(name: str) -> None:
    text = (SAMPLES / f"{name}.txt").read_bytes().decode(errors="replace")
    assert stands_still(text, reached=False, silent=0.0) == (name in STAND_STILL)


@pytest.mark.parametrize("text", STILL)
def test_what_stands_still(text: str) -> None:
    assert stands_still(text, reached=False, silent=0.0) == STILL[text]


def test_a_console_that_died_with_its_kernel() -> None:
    text = "[ 1.0] Kernel panic - not syncing: IO-APIC + timer doesn't work!\n[ 1.1] CPU: 0 PID: 1"
    assert not stands_still(text, reached=False, silent=0.5)
    assert stands_still(text, reached=False, silent=6.0)
    assert diagnose(text, "", "web", reached=False).message.endswith("IO-APIC + timer doesn't work!")


def test_behind_ssh_only_a_panic_counts() -> None:
    assert not stands_still("You are in emergency mode", reached=True, silent=60.0)
    assert stands_still("---[ end Kernel panic - not syncing: Fatal exception ]---", reached=True, silent=0.0)
    assert not stands_still("web login: ", reached=True, silent=60.0)
