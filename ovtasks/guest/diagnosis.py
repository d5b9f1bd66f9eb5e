"""Finds out why a guest does not get ready, from its serial console and from ssh, with a next step for each reason."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ESCAPES = re.compile(
    r"\x1b(?:\[[0-9;?=]*[A-Za-z]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])|\x1b=|[\x00-\x08\x0b\x0c\x0e-\x1a]"
)


SILENT_SECONDS = 5.0
"""Seconds: if a kernel is silent for so long after its panic, it has said everything."""


@dataclass(frozen=True)
class Diagnosis:
    """A reason. ``kind`` is for programs, ``message`` states a fact, ``hint`` is the next step."""

    kind: str
    message: str
    hint: str


@dataclass(frozen=True)
class GuestSign:
    """A pattern in the text and what it means.

    ``{0}`` in ``message`` is what the pattern's group matched; ``{vm}`` in ``hint`` is the user's name of the VM.
    """

    kind: str
    pattern: str
    message: str
    hint: str


SSH = (
    GuestSign(
        "host-key",
        r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED",
        "the guest shows another host key than the one it had",
        "something else may listen on its port; if the guest itself made a new key: "
        "ov vm ssh {vm} --accept-new-host-key",
    ),
    GuestSign(
        "key-refused",
        r"Permission denied \(|Too many authentication failures",
        "the guest refuses the SSH key",
        "ov vm status {vm} names the user and the key; a key given later reaches an existing disk only at its next "
        "start: ov vm restart {vm}",
    ),
    GuestSign(
        "no-identity",
        r"Load key .*: |Identity file .* not accessible",
        "the private key cannot be used",
        "ov vm status {vm} names the file; ssh-add unlocks a key with a passphrase",
    ),
)
# The last sign counts: a guest that has rebooted has left its panic behind.
SERIAL = (
    GuestSign(
        "panic",
        r"Kernel panic - not syncing: (.*?) ?\]?-*$",
        "the guest's kernel panicked: {0}",
        "ov vm console {vm} --log shows what came before; more --ram helps when it ran out of memory",
    ),
    GuestSign(
        "out-of-memory",
        r"Out of memory: Killed process \d+ \(([^)]*)\)",
        "the guest runs out of memory: it killed {0}",
        "ov vm create {vm} --ram with more than now, then ov vm restart {vm}",
    ),
    GuestSign(
        "emergency",
        r"You are in (emergency|rescue) mode|Give root password for maintenance",
        "the guest is in its emergency shell",
        "ov vm console {vm}; a wrong /etc/fstab or a damaged file system is the usual reason",
    ),
    GuestSign(
        "initramfs",
        r"ALERT!\s+(\S+) does not exist|\(initramfs\)|dracut:/#|Entering emergency mode\. Exit the shell",
        "the guest does not find its root file system",
        "ov vm console {vm}; the disk's kernel may lack virtio drivers, or its root= is wrong",
    ),
    GuestSign(
        "disk-full",
        r"No space left on device",
        "the guest's disk is full",
        "a larger disk_size, then ov vm destroy --disk {vm} and ov vm create {vm}",
    ),
    GuestSign(
        "boot-loader",
        r"grub rescue>|grub>",
        "the guest's boot loader stopped at its prompt",
        "ov vm console {vm}; the disk may be damaged or of the other firmware: see firmware: in vms.yml",
    ),
    GuestSign(
        "no-boot-device",
        r"No bootable device|Boot failed: not a bootable disk|No bootable option or device was found|^Shell> |"
        r"UEFI Interactive Shell|BdsDxe: failed to load Boot",
        "the firmware finds nothing to boot on the disk",
        "the other firmware may: firmware: bios or uefi-insecure in vms.yml, then ov vm create {vm}",
    ),
    GuestSign(
        "no-network",
        r"Failed to start .*[Ww]ait.{0,3}for .*Network|No DHCPOFFERS received|wait-online\.se\S* .*running \(\d+min",
        "the guest got no address: no DHCP lease",
        "cloud_init.network must name the card as the guest does; ov vm console {vm} shows it (ip addr)",
    ),
    GuestSign(
        "no-datasource",
        r"Datasource DataSourceNone|No Datasource found|Used fallback datasource",
        "cloud-init found no seed",
        "ov vm create {vm} renders it anew; the guest's kernel needs virtio-blk and iso9660",
    ),
)


# Where a guest stops until a person helps. A guest that continues prints one of _GOES_ON afterwards.
_STANDS_STILL = re.compile(
    r"end Kernel panic - not syncing"
    r"|You are in (?:emergency|rescue) mode|Give root password for maintenance|the root account is locked"
    r"|^\(initramfs\)|^dracut:/#|Entering emergency mode\. Exit the shell"
    r"|^grub rescue>|^grub>"
    r"|No bootable device|No bootable option or device was found|^Shell> ",
    re.MULTILINE,
)
_ENDED = re.compile(r"end Kernel panic - not syncing")
_PANIC = re.compile(r"Kernel panic - not syncing")
_PANICKED = re.compile(r"(?<!end )Kernel panic - not syncing")
_REBOOTS = re.compile(r"Rebooting in \d+ seconds")
_GOES_ON = re.compile(
    r"Linux version \d|SeaBIOS \(version|BdsDxe: (?:loading|starting) Boot|GRUB loading|Booting `"
    r"|[Rr]etrying in \d+ sec|Reached target .*(?:Multi-User|Graphical)|\S+ login:"
)


def stands_still(serial: str, *, reached: bool, silent: float) -> bool:
    """Whether the guest is stuck: its kernel panicked, or a firmware, boot loader or rescue shell waits for a person.

    A guest that reboots by itself after a panic may do better the second time, but not the third. ``reached``: its SSH
    server has answered, so only a panic counts. ``silent``: how many seconds it has said nothing.
    """
    text = clean(serial)
    if len(_PANICKED.findall(text)) > 1:
        return True
    found = _last_match(_ENDED if reached else _STANDS_STILL, text)
    if found is None and silent >= SILENT_SECONDS and not _REBOOTS.search(text):
        found = _last_match(_PANIC, text)  # the console died with the kernel
    return found is not None and not _GOES_ON.search(text, found)


def _last_match(pattern: re.Pattern[str], text: str) -> int | None:
    """Where the last match ends; None if there is none."""
    ends = [match.end() for match in pattern.finditer(text)]
    return ends[-1] if ends else None


def clean(text: str) -> str:
    """Console text without terminal escapes; line ends are ``\\n``."""
    return _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")


def diagnose(serial: str, ssh_error: str, vm: str, *, reached: bool) -> Diagnosis:
    """The reason, as far as it can be seen.

    ``ssh_error`` is what ssh said last. ``reached``: the guest's SSH server has answered, so early trouble on the
    console is over.
    """
    text = clean(serial)
    found = _last(SSH, ssh_error) or (None if reached else _last(SERIAL, text))
    if found is None and reached:
        found = _last([sign for sign in SERIAL if sign.kind in {"panic", "out-of-memory", "disk-full"}], text)
    if found is not None:
        sign, match = found
        group = next((group for group in match.groups() if group), "") if match.groups() else ""
        return Diagnosis(sign.kind, sign.message.format(group.strip()), sign.hint.format(vm=vm))
    if reached:
        hint = f"ov vm ssh {vm} shows what it does; a longer --timeout helps when it is only slow"
        return Diagnosis("busy", "nothing is wrong that can be seen from here", hint)
    if not text.strip():
        message = "the guest has not said a word on its serial console"
        hint = "its kernel may need console=ttyS0; a longer --timeout helps when it is only slow"
        return Diagnosis("silent", message, hint.format(vm=vm))
    return Diagnosis("booting", "the guest is still at it", f"ov vm console {vm} shows it; or a longer --timeout")


def _last(signs: tuple[GuestSign, ...] | list[GuestSign], text: str) -> tuple[GuestSign, re.Match[str]] | None:
    """The sign that matches last in the text. If several match there, the first one in the table."""
    best: tuple[GuestSign, re.Match[str]] | None = None
    for sign in signs:
        for match in re.finditer(sign.pattern, text, re.MULTILINE):
            if best is None or match.start() > best[1].end():
                best = (sign, match)
    return best
