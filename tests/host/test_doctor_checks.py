"""Single checks of `ov doctor`, on hosts that lack something."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ovtasks.host.doctor import (
    CheckState,
    account,
    machine,
    services,
)
from ovtasks.host.modules import can_mount
from ovtasks.host.packages import package_hint
from ovtasks.host.users import user_name
from tests.host.conftest import script
from tests.host.test_doctor import EMULATOR, alone
from tests.support import leftovers

pytestmark = pytest.mark.slow  # some run whole programs


def test_modules_that_qemu_lacks(bin: Path) -> None:
    script(bin / EMULATOR, "echo 'There is no option group spice'; exit 1")
    found = alone(machine.spice)
    assert (found.state, found.hint) == (CheckState.MISSING, package_hint("qemu-spice"))
    found = alone(machine.virtio_gpu)
    assert (found.state, found.hint) == (CheckState.MISSING, package_hint("qemu-virtio"))


def test_firmware_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("ovtasks.host.firmware.default_folders", lambda: (tmp_path,))
    monkeypatch.setattr("ovtasks.host.firmware.places", lambda *_: iter(()))
    found = alone(machine.uefi_insecure)
    assert found.state == "missing"
    assert found.hint


@pytest.fixture
def nobody_in_particular(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks take us for an ordinary user."""
    monkeypatch.setattr(os, "geteuid", lambda: 65533)


@pytest.mark.usefixtures("nobody_in_particular")
def test_passt_that_dies(bin: Path) -> None:
    script(bin / "passt", "echo 'No external routable interface' >&2; exit 1")
    found = alone(services.passt)
    assert found.state == "broken"
    assert found.detail == "ends at once: No external routable interface"


DEAF = """
import socket, sys
socket_path, forward = sys.argv[sys.argv.index("--socket") + 1], sys.argv[sys.argv.index("-t") + 1]
port = int(forward.split("/")[1].split(":")[0])
tcp = socket.create_server(("127.0.0.1", port))
unix = socket.socket(socket.AF_UNIX)
unix.bind(socket_path)
unix.listen()
guest, _ = unix.accept()
tcp.accept()
if HEARS:
    guest.sendall(b"frame")
    guest.recv(1)
else:
    sys.exit("Bad file descriptor")
"""


@pytest.mark.usefixtures("nobody_in_particular")
@pytest.mark.parametrize("hears", [True, False])
def test_passt_and_its_first_connection(bin: Path, hears: bool) -> None:
    """Some passt dies of it; whether the real one here does depends on its version and the kernel's."""
    (bin / "deaf.py").write_text(DEAF.replace("HEARS", str(hears)))
    script(bin / "passt", f'exec {sys.executable} {bin}/deaf.py "$@"')
    found = alone(services.passt)
    assert found.state == ("ok" if hears else "broken"), found
    if not hears:
        assert found.detail == "a connection to a forwarded port does not arrive: Bad file descriptor"


@pytest.mark.parametrize(
    ("says", "state", "detail"),
    [
        ("exit 0", "ok", "works without a password"),
        ("echo 'sudo: a password is required' >&2; exit 1", "note", "asks for a password; only bootc builds use it"),
        ("echo 'sudo: eve is not in the sudoers file' >&2; exit 1", "note", "not for you: sudo: eve is not in the"),
    ],
)
@pytest.mark.usefixtures("nobody_in_particular")
def test_sudo(bin: Path, says: str, state: str, detail: str) -> None:
    script(bin / "sudo", f'[ "$*" = "-n true" ] || exit 9\n{says}')
    found = alone(account.sudo)
    assert found.state == state
    assert found.detail.startswith(detail)


@pytest.mark.usefixtures("nobody_in_particular")
def test_virtiofsd_of_both_kinds(bin: Path) -> None:
    script(bin / "virtiofsd", "echo virtiofsd 1.13.0")
    assert alone(services.virtiofsd).detail == f"1.13.0, {bin}/virtiofsd"
    script(bin / "virtiofsd", "echo virtiofsd version 7.2.1; echo using FUSE kernel interface version 7.36")
    found = alone(services.virtiofsd)
    assert (found.state, found.hint) == (CheckState.NOTE, package_hint("virtiofsd"))


def test_podman_that_fails(bin: Path) -> None:
    script(bin / "podman", "echo 'exec: \"newuidmap\": executable file not found' >&2; exit 125")
    found = alone(services.podman)
    assert (found.state, found.hint) == (CheckState.BROKEN, package_hint("newuidmap"))


@pytest.mark.usefixtures("nobody_in_particular")
def test_subordinate_numbers(bin: Path) -> None:
    for program in ("newuidmap", "unshare"):
        script(bin / program, "echo 'unshare: Operation not permitted' >&2; exit 1")
    found = alone(account.subordinate)
    assert found.state == "missing"
    assert "usermod --add-subuids" in str(found.hint)
    script(bin / "unshare", "exit 0")
    assert alone(account.subordinate).state == "ok"


def test_numbers_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "subuid"
    assert account._count(path) == 0
    path.write_text(f"else:1:70000\n{user_name()}:100000:65000\n{os.geteuid()}:200000:536\n\nbad:line\n:::\n")
    assert account._count(path) == 65536


def test_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "not" / "yet"
    monkeypatch.setattr(account, "LITTLE", 0)
    for scarce, state in ((0, "ok"), (1 << 60, "note")):
        monkeypatch.setattr(account, "SCARCE", scarce)
        found = alone(account.space(place))
        assert found.state == state
        assert found.detail.endswith(f"GiB free for {place}")
    monkeypatch.setattr(account, "LITTLE", 1 << 60)
    assert alone(account.space(place)).state == "broken"
    assert not place.parent.exists()
    found = alone(account.space(Path("/proc/self/none")))
    assert found.state == "broken"
    assert found.detail.startswith("nothing can be written in /proc/self: ")


@pytest.mark.parametrize("mode", [0o700, 0o711])
def test_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    with leftovers.folder("ov-", "/var/tmp") as folder:
        folder.chmod(mode)
        monkeypatch.setenv("HOME", str(folder))
        found = alone(account.home)
        assert found.state == ("ok" if mode & 1 else "note")
        assert str(folder) in found.detail


def test_loop_device_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "LOOP", tmp_path / "none")
    found = alone(account.loop)
    assert (found.state, found.hint) == (CheckState.MISSING, "as root: modprobe loop")


def test_a_file_system_of_the_kernel(tmp_path: Path, bin: Path) -> None:
    """In its list, or by a module."""
    script(bin / "modprobe", 'test "$3" = vfat')
    known = tmp_path / "filesystems"
    for text, kind, expected in (
        ("nodev\tproc\n\text4\n", "vfat", True),  # by modprobe
        ("nodev\tproc\n\text4\n", "ext4", True),
        ("nodev\tproc\n\text4\n", "xfs", False),
        ("nodev\tvfat2\n", "vfat2", True),
    ):
        known.write_text(text)
        assert can_mount(kind, known) is expected
    script(bin / "modprobe", "exit 1")
    known.write_text("\text4\n")
    assert not can_mount("vfat", known) and not can_mount("vfat", tmp_path / "none")


@pytest.mark.parametrize(("have", "state"), [(True, "ok"), (False, "missing")])
def test_fat_in_the_kernel(monkeypatch: pytest.MonkeyPatch, have: bool, state: str) -> None:
    monkeypatch.setattr(account, "can_mount", lambda kind: have)
    found = alone(account.vfat)
    assert found.state == state and (have or "modprobe vfat" in (found.hint or ""))


def test_udev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bin: Path) -> None:
    monkeypatch.setattr(account, "UDEV", tmp_path / "none")
    script(bin / "udevadm", "exit 0")
    found = alone(account.udev)
    assert found.state == "missing" and "udev does not run" in found.detail
    monkeypatch.setattr(account, "UDEV", tmp_path)
    assert alone(account.udev).state == "ok"
    script(bin / "udevadm", "echo no >&2; exit 1")
    assert (alone(account.udev).state, alone(account.udev).detail) == ("note", "udevadm settle: no")
