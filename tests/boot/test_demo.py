"""The demo VM as built by its command boots with every firmware, takes its seed, and lets its user in."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.host.run import Result, run
from tests.support.demo import Demo
from tests.support.qemu import BOOT_DEADLINE, Guest, boot

pytestmark = pytest.mark.boot
GiB = 1 << 30


def ssh(guest: Guest, demo: Demo, command: str) -> Result:
    """Run a command in the guest as the user ``demo``."""
    options = [
        *("BatchMode=yes", "IdentitiesOnly=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"),
        f"ConnectTimeout={BOOT_DEADLINE / 4:.0f}",
    ]
    words = [word for option in options for word in ("-o", option)]
    argv = ["ssh", "-F", "none", *words, "-i", str(demo.key), "-p", str(guest.ssh_port), "demo@127.0.0.1", command]
    return run(argv, timeout=BOOT_DEADLINE)


def wait_ready(guest: Guest, demo: Demo) -> None:
    """The console says that cloud-init has finished, from the seed disk, as the instance that the seed names."""
    guest.wait_console(rf"demo is ready, instance {demo.instance_id()}$")
    finished = guest.wait_console(r"Cloud-init v\. \S+ finished at .*Datasource (\S+) \[seed=/dev/(\w+)\]")
    assert finished.groups() == ("DataSourceNoCloud", "vdb")


def test_boots_and_lets_its_user_in(demo: Demo, tmp_path: Path) -> None:
    """The built disk and seed as they are, with Secure Boot; test_instances.py boots the other firmware."""
    firmware = "uefi-secure"
    before = [(path.stat().st_mtime_ns, path.stat().st_size) for path in (demo.disk, demo.seed)]
    with boot(demo.disk, demo.seed, tmp_path, firmware=firmware) as guest:
        assert guest.wait_ssh_banner().startswith("SSH-2.0-OpenSSH")
        wait_ready(guest, demo)
        questions = (
            "id -un; sudo id -un; hostname; findmnt -nbo SIZE /; cat /etc/machine-id; ls /etc/ssh/ssh_host_*_key; "
            "test -d /sys/firmware/efi && echo uefi || echo bios; systemctl --failed --plain --no-legend | wc -l; "
            "sudo od -An -tu1 -j4 /sys/firmware/efi/efivars/SecureBoot-* 2>/dev/null || echo 0; "
            "grep -ow no_timer_check /proc/cmdline"
        )
        user, root, hostname, size, machine, *rest = ssh(guest, demo, questions).stdout.split()
    assert (user, root, hostname) == ("demo", "root", "demo")
    assert int(size) > 1.7 * GiB, "the root file system has not grown with the disk"
    assert len(machine) == 32
    assert rest == ["/etc/ssh/ssh_host_ed25519_key", "uefi", "0", "1", "no_timer_check"]
    assert [(path.stat().st_mtime_ns, path.stat().st_size) for path in (demo.disk, demo.seed)] == before


def test_without_seed_it_boots_and_nobody_gets_in(demo: Demo, tmp_path: Path) -> None:
    with boot(demo.disk, None, tmp_path) as guest:
        guest.wait_console(r"Command line: .* no_timer_check ")
        guest.wait_console(r"Cloud-init v\. \S+ finished at .*Datasource DataSourceNone")
        assert "login:" in guest.wait_console(r"^.*login:")[0]
