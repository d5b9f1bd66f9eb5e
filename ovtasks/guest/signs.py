"""What a guest's serial console shows of its boot: how far it has come before its SSH server can be asked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ovtasks.guest.diagnosis import clean
from ovtasks.host.state import StateError, open_log

FIRST_BYTES = 256 << 10
"""So much of the console is read at first, from its end."""

_SIGNS: tuple[tuple[str, str], ...] = (
    (
        "its firmware runs",
        r"SeaBIOS \(version|iPXE|BdsDxe: |UEFI (?:firmware|Interactive)|U-Boot |OpenSBI|Booting from ",
    ),
    (
        "its boot loader runs",
        r"GRUB loading|Welcome to GRUB|GNU GRUB|Booting `|EFI stub: |Loading Linux |ISOLINUX |SYSLINUX ",
    ),
    ("its kernel runs", r"Linux version \d|^\[ +0\.0{6}\]|Copyright \(c\) .*The FreeBSD Project|Command line: "),
    ("its system starts", r"systemd\[1\]: |Welcome to .+!$|OpenRC |^INIT: |Reached target |Running in initrd"),
    (
        "it has a network address",
        r"ci-info: \|[^|]+\| True \| *(?!127\.)\d+\.\d+\.|leased \d+\.\d+\.|bound to \d+\.\d+\.",
    ),
    ("cloud-init runs: {0}", r"Cloud-init v\. \S+ running '([\w:-]+)'"),
    ("cloud-init ends", r"Cloud-init v\. \S+ finished at"),
)
"""Rungs in the order of a boot, each with what a console says then. ``{0}`` is what the pattern's group matched."""
_PATTERNS = tuple((words, re.compile(pattern)) for words, pattern in _SIGNS)
_PRINTK = re.compile(r"\[ *\d+\.\d{6}\] ")
_KERNEL, _SYSTEM = 2, 3


@dataclass
class ConsoleSigns:
    """Reads the console as it grows. ``start`` is where this boot's part of ``log`` begins, in bytes.

    ``rung`` is how far the guest came, in words; empty: nothing known was said. ``last`` is the console's last line.
    """

    log: Path
    start: int = 0
    rung: str = ""
    last: str = ""
    _rank: int = -1
    _at: int = -1
    _left: str = ""

    def look(self) -> list[str]:
        """Read what is new; the rungs that were reached since the last look, in words.

        The first look answers with one rung at most: what came before is over.
        """
        first = self._at < 0
        lines = (self._left + clean(self._new())).split("\n")
        self._left = lines[-1][-4096:]
        found = [rung for line in lines if (rung := self._understand(line))]
        shown = [text for line in lines if (text := "".join(c for c in line if c.isprintable()).strip())]
        self.last = shown[-1] if shown else self.last
        return found[-1:] if first else list(dict.fromkeys(found))

    def _understand(self, line: str) -> str | None:
        for rank, (words, pattern) in enumerate(_PATTERNS):
            match = pattern.search(line)
            if match is None:
                continue
            rung = words.format(*match.groups())
            again = rank <= _KERNEL and self._rank >= _SYSTEM
            if rung == self.rung or (rank < self._rank and not again):
                return None
            self._rank, self.rung = rank, rung
            return f"it boots again: {rung}" if again else rung
        if self._rank < _KERNEL and _PRINTK.match(line):  # its first lines went elsewhere
            self._rank, self.rung = _KERNEL, _SIGNS[_KERNEL][0]
            return self.rung
        return None

    def _new(self) -> str:
        """What was said since the last look; at first the end of what was said since the start."""
        try:
            with open_log(self.log) as file:
                size = file.seek(0, 2)
                if self._at < 0:
                    begin = self.start if self.start <= size else 0  # a long log was moved away and started again
                    self._at = max(begin, size - FIRST_BYTES)
                elif self._at > size:
                    self._at = 0
                file.seek(self._at)
                data = file.read()
        except (FileNotFoundError, StateError):
            self._at = max(self._at, 0)
            return ""
        self._at += len(data)
        return data.decode(errors="replace")
