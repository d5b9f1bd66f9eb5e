"""The boot matrix: instances of the demo VM, by both backends and with both kinds of firmware, as an ordinary user."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from ovtasks.graph.receipt import sha256_of
from tests.boot.clones import clone_beside
from tests.boot.probes import WEB, look_by_agent, look_by_checks
from tests.boot.project import Project
from tests.boot.snapshots import DECLARED, go_back
from tests.support.qemu import free_port
from tests.support.tmux import terminal

pytestmark = pytest.mark.boot
GiB = 1 << 30
SECONDS = 300.0  # for what is on a screen, while two guests boot
MATRIX = [("libvirt", "bios"), ("libvirt", "uefi-insecure"), ("qemu", "bios"), ("qemu", "uefi-secure")]
"""Backend and firmware; tests/bootc boots by qemu and uefi-insecure."""
UDP = 5353
SERVER = (
    "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 5353)); "
    "data, peer = s.recvfrom(99); s.sendto(data[::-1], peer)"
)


def declare(project: Project, backend: str, firmware: str) -> None:
    fields = f"    disk_size: 2G\n    backend: {backend}\n    firmware: {firmware}"
    if firmware != "bios":
        fields += f"\n{DECLARED}"
    project.edit(r"(?m)^    disk_size: 2G$", fields)
    forwards = [f"{free_port()}:{UDP}/udp", f"{free_port()}:{WEB}"]
    network = f"    network: {{port_forwards: {json.dumps(forwards)}}}"
    project.edit(r"(?m)^    cpus: 2$", f"    cpus: 1\n{network}")  # a second one costs more than it gives without KVM


def check_guest(project: Project, firmware: str, vm: dict[str, Any]) -> None:
    """Logged in as the declared user with the injected key, past the host key that was made before the first boot."""
    questions = (
        "id -un; sudo id -un; hostname; findmnt -nbo SIZE /; cat /var/lib/cloud/data/instance-id; "
        "cloud-init status | head -1; test -d /sys/firmware/efi && echo uefi || echo bios; "
        "systemctl --failed --plain --no-legend | wc -l; sudo cut -d' ' -f2 /etc/ssh/ssh_host_ed25519_key.pub; "
        "cat /etc/machine-id; ls /etc/ssh/ssh_host_*_key; grep -ow no_timer_check /proc/cmdline; "
        "grep -o 'NoCloud \\[.*' /var/lib/cloud/instance/datasource; "
        "sudo od -An -tu1 -j4 /sys/firmware/efi/efivars/SecureBoot-* 2>/dev/null || echo none"
    )
    login, root, hostname, size, instance_id, *rest = project.ssh(questions).splitlines()
    assert (login, root, hostname, instance_id) == ("demo", "root", "demo", vm["instance_id"])
    assert int(size) > 1.7 * GiB, "the root file system has not grown with the disk"
    public = (Path(vm["directory"]) / "ssh_host_ed25519_key.pub").read_text().split()[1]
    assert rest[:4] == ["status: done", "bios" if firmware == "bios" else "uefi", "0", public]
    machine, keys, argument, source, secure_boot = (line.strip() for line in rest[4:])
    assert len(machine) == 32
    assert (keys, argument) == ("/etc/ssh/ssh_host_ed25519_key", "no_timer_check")
    assert source.startswith("NoCloud [seed=/dev/")
    assert (secure_boot == "1") == (firmware == "uefi-secure")
    log = (Path(vm["directory"]) / "serial.log").read_text(encoding="utf-8", errors="replace")
    assert f"demo is ready, instance {vm['instance_id']}" in log, "the user's command has run"
    assert project.status()["host_key"] == "confirmed"


def nothing_is_left(project: Project) -> None:
    assert json.loads(project.ov("vm", "list", "-a", "--json").stdout) == []
    data = project.user.home / ".local/share/ov"
    assert not [*data.glob("vm/*")]
    assert project.user.run("virsh", "-c", "qemu:///session", "list", "--all", "--name").stdout.strip() == ""
    assert not project.user.pids("qemu-system-x86_64")


@pytest.mark.parametrize(("backend", "firmware"), MATRIX, ids=lambda word: str(word))
def test_boots(backend: str, firmware: str, project: Project, tmp_path: Path) -> None:
    declare(project, backend, firmware)
    made = project.ov("vm", "create", "demo")
    assert f"backend {backend}:" in made.stderr
    project.ov("vm", "wait", "demo", "--for", "cloud-init")
    vm = project.status()
    assert (vm["backend"], vm["state"]) == (backend, "running")
    check_guest(project, firmware, vm)
    if (backend, firmware) == ("qemu", "uefi-secure"):
        assert echo(project) == b"gnip"
        clone_beside(project)
    if firmware != "bios":
        go_back(project)
    else:
        look_by_checks(project)
        look_by_agent(project)
        life_goes_on(project, vm, tmp_path)
    project.ov("vm", "destroy", "--disk", "demo")
    nothing_is_left(project)


def life_goes_on(project: Project, vm: dict[str, Any], terminals: Path) -> None:
    """Seen on the console, built anew while it runs, stopped, started with an edited seed."""
    look_at_console(project, terminals)
    folder = Path(vm["directory"])
    stands_on = [*folder.glob("base-*"), *folder.glob("built/*")]
    before = {path: (path.stat().st_ino, sha256_of(path)) for path in stands_on}
    project.ssh("echo kept > mark")

    project.ov("vm", "build", "demo", "--size", "3G")
    assert (project.root / "output/demo/qcow2/disk.qcow2").stat().st_ino != (folder / "built/disk.qcow2").stat().st_ino
    assert {path: (path.stat().st_ino, sha256_of(path)) for path in stands_on} == before
    assert project.ssh("cat mark") == "kept"

    project.ov("vm", "stop", "demo")
    seed = sha256_of(folder / "seed.iso")
    project.edit(r"(?m)^    cloud_init:\n", "    cloud_init:\n      timezone: Etc/GMT+7\n")
    again = project.ov("vm", "create", "demo")
    assert "demo: seed rendered anew, started" in again.stderr
    assert sha256_of(folder / "seed.iso") != seed
    assert project.status()["state"] == "running"
    if vm["backend"] == "libvirt":
        look_at_both(project, vm)


def look_at_both(project: Project, vm: dict[str, Any]) -> None:
    """What was started again has kept its disk; a second instance beside it has a name and a disk of its own."""
    project.ov("vm", "create", "demo", "-i", "second", "--ram", "768M")
    for options in ((), ("-i", "second")):
        project.ov("vm", "wait", "demo", *options)
    assert project.ssh("cat mark") == "kept"
    assert project.ssh("cat /var/lib/cloud/data/instance-id") == vm["instance_id"]
    assert project.ssh("hostname; cat mark 2>/dev/null || echo no", "-i", "second") == "demo-second\nno"
    assert [one["state"] for one in json.loads(project.ov("vm", "list", "--json").stdout)] == ["running"] * 2
    project.ov("vm", "destroy", "--disk", "demo", "-i", "second")


def echo(project: Project) -> bytes:
    """What the guest answers to a datagram through the forward."""
    port = int(re.findall(rf'"(\d+):{UDP}/udp"', (project.root / "vms.yml").read_text(encoding="utf-8"))[0])
    words = ("vm", "ssh", "demo", "--", f'python3 -c "{SERVER}"')
    code = "import sys; from ovtasks.cli import main; sys.exit(main())"
    server = project.user.popen(project.user.python, "-c", code, *words, cwd=project.root)
    end = time.monotonic() + SECONDS
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1.0)
        while time.monotonic() < end:
            client.sendto(b"ping", ("127.0.0.1", port))
            with contextlib.suppress(TimeoutError):
                answer = client.recv(99)
                server.communicate(timeout=SECONDS)
                return answer
    raise AssertionError("no answer")


def look_at_console(project: Project, folder: Path) -> None:
    """In a real terminal: what was said before, then what is typed reaches the guest, and ^] leaves."""
    with terminal(folder) as screen:
        screen.line(project.shell_line("vm", "console", "demo"))
        screen.expect("connected to demo", seconds=SECONDS)
        screen.type("Enter")
        screen.expect("login:", seconds=SECONDS)
        screen.type("C-]")
        screen.expect("left demo", seconds=SECONDS)
