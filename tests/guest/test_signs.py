"""The rungs that a console shows: real boots, in one look and as they grow, and a guest that boots again."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.guest.signs import ConsoleSigns

SAMPLES = Path(__file__).parent / "samples"
BOOT = [
    b"SeaBIOS (version 1.16.3)\r\n",
    b"GRUB loading.\r\nBooting `Debian GNU/Linux'\r\n",
    b"[    0.000000] Linux version 6.1.0-18-cloud-amd64\r\n[    0.000000] Command line: ro\r\n",
    b"[    3.1] systemd[1]: Detected virtualization qemu.\r\nWelcome to \x1b[1mDebian GNU/Linux 12\x1b[0m!\r\n",
    b"[   9.1] cloud-init[9]: Cloud-init v. 22.4.2 running 'init' at Tue. Up 9.0 seconds.\r\n",
    b"ci-info: |   lo   | True |         127.0.0.1         |\r\nci-info: |  ens3  | True |   10.0.2.15   |\r\n",
    b"[  20.1] cloud-init[9]: Cloud-init v. 22.4.2 running 'modules:final' at Tue. Up 20 seconds.\r\n",
    b"[  21.1] cloud-init[9]: Cloud-init v. 22.4.2 finished at Tue. Up 21 seconds\r\nweb login: ",
]
RUNGS = [
    "its firmware runs",
    "its boot loader runs",
    "its kernel runs",
    "its system starts",
    "cloud-init runs: init",
    "cloud-init runs: modules:final",
    "cloud-init ends",
]


def test_each_rung_once(tmp_path: Path) -> None:
    log = tmp_path / "serial.log"
    signs = ConsoleSigns(log)
    assert signs.look() == []
    seen = []
    for part in BOOT:
        half = len(part) // 2
        for text in (part[:half], part[half:]):
            with log.open("ab") as file:
                file.write(text)
            seen += signs.look()
    assert seen == RUNGS and signs.rung == "cloud-init ends" and signs.last == "web login:"


def test_a_guest_that_boots_again(tmp_path: Path) -> None:
    log = tmp_path / "serial.log"
    log.write_bytes(b"".join(BOOT))
    signs = ConsoleSigns(log)
    assert signs.look() == ["cloud-init ends"], "what came before the first look is one rung"
    with log.open("ab") as file:
        file.write(b"\r\n" + BOOT[0] + BOOT[2])
    assert signs.look() == ["it boots again: its firmware runs", "its kernel runs"]
    log.write_bytes(BOOT[3])  # moved away, and begun anew
    assert signs.look() == ["its system starts"]


def test_an_earlier_boot_does_not_count(tmp_path: Path) -> None:
    log = tmp_path / "serial.log"
    log.write_bytes(b"".join(BOOT))
    signs = ConsoleSigns(log, log.stat().st_size)
    assert signs.look() == [] and (signs.rung, signs.last) == ("", "")


@pytest.mark.parametrize(
    ("name", "rung"),
    [
        ("panic-root.txt", "its kernel runs"),
        ("emergency.txt", "its system starts"),
        ("seabios-blank.txt", "its firmware runs"),
        ("ovmf.txt", "its firmware runs"),
        ("noseed.txt", "cloud-init ends"),
        ("no-dhcp.txt", "cloud-init runs: init"),
    ],
)
def test_real_consoles(name: str, rung: str) -> None:
    signs = ConsoleSigns(SAMPLES / name)
    assert signs.look() == [rung] and signs.last and signs.last.isprintable()
