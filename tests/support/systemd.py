"""A small Debian whose systemd runs in namespaces of this machine: services, logins and users, without a VM.

It needs root and a cgroup2 file system. Nothing of it is seen outside: it has its own network, processes and mounts.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ovtasks.host.run import run
from tests.support.processes import Server, serve
from tests.support.programs import Ended, attempt

SUITE = "trixie"
PACKAGES = ("dbus", "dbus-user-session", "fish", "libpam-systemd", "openssh-server", "systemd", "systemd-sysv", "zsh")
EXCLUDED = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")
USER = "ada"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# $1: the tree. In namespaces of its own it mounts what a container has, and becomes init.
INIT = """
set -eu
mount --make-rprivate /
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount --rbind /sys "$1/sys"
umount -R -l "$1/sys/fs/cgroup" || :
mount -t tmpfs tmpfs "$1/sys/fs/cgroup" 2>/dev/null || :
mount -t cgroup2 cgroup2 "$1/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$1/dev"
for device in null zero full random urandom tty; do
    : >"$1/dev/$device"
    mount --bind "/dev/$device" "$1/dev/$device"
done
mkdir "$1/dev/pts" "$1/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$1/dev/pts"
ln -s pts/ptmx "$1/dev/ptmx"
mount -t tmpfs tmpfs "$1/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$1/run"
hostname box
ip link set lo up
cd "$1"
pivot_root . mnt  # so that it holds no mount of others
exec chroot . sh -c 'umount -l /mnt; exec env -i container=other PATH=/usr/sbin:/usr/bin /lib/systemd/systemd'
"""
FINISH = f"""
set -eu
useradd --create-home --shell /bin/bash {USER}
rm -f /etc/systemd/system/timers.target.wants/* /etc/ssh/ssh_host_*
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
ssh-keygen -q -t ed25519 -N '' -f /root/key
for home in /root /home/{USER}; do mkdir -p -m 0700 "$home/.ssh"; cp /root/key.pub "$home/.ssh/authorized_keys"; done
chown -R {USER}: /home/{USER}
ln -sf /dev/null /etc/systemd/system/systemd-modules-load.service
"""


@cache
def debian_tar(folder: Path) -> Path:
    """The tree as a tar file in ``folder``; once per process, whoever asks. It takes half a minute."""
    archive = folder / "debian.tar"
    make_root(archive)
    return archive


def make_root(archive: Path) -> None:
    """Make the tree as a tar file."""
    words = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=tar", f"--include={','.join(PACKAGES)}"]
    words += ['--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Languages "none"']
    words += ['--aptopt=Acquire::Retries "3"', "--dpkgopt=force-unsafe-io"]
    words += [f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED]
    finish = archive.with_name(f"{archive.name}.finish")
    finish.write_text(FINISH, encoding="utf-8")
    run([*words, f'--customize-hook=chroot "$1" sh <{finish}', SUITE, archive])


@dataclass
class System:
    """A tree whose systemd runs. ``pid`` is its init, as seen from here."""

    root: Path
    pid: int

    def sh(self, script: str, stdin: str | bytes = b"") -> Ended:
        """Run a script as its root, in its namespaces, with the environment of a bare command."""
        enter = ("nsenter", "-t", str(self.pid), "-m", "-p", "-u", "-i", "-n", "-C", "-r", "-w", "--")
        return attempt(*enter, "env", "-i", f"PATH={PATH}", "sh", "-euc", script, stdin=stdin)

    def out(self, script: str) -> str:
        """What a script says that must not fail."""
        done = self.sh(script)
        assert done.returncode == 0, done
        return done.stdout

    def ssh(self, command: str, user: str = USER) -> str:
        """What ``ssh host command`` says."""
        options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -i /root/key"
        done = self.sh(f'exec ssh {options} {user}@127.0.0.1 "$(cat)"', stdin=command)
        assert done.returncode == 0, done
        return done.stdout


@contextlib.contextmanager
def running(root: Path, log: Path) -> Iterator[System]:
    """Start the tree's systemd, wait until it is up, and end it with all that it started."""
    group = _cgroups() / f"ov-test-{os.getpid()}-{root.name}"
    group.mkdir()
    spaces = ("unshare", "--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup", "--fork", "--kill-child")
    join = ("sh", "-euc", 'echo $$ >"$0/cgroup.procs"; exec "$@"', group)
    with log.open("wb") as said:
        process = serve(*join, *spaces, "sh", "-euc", INIT, "sh", root, log=said)
    try:
        yield _wait(System(root, _child(process)), log)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        _remove(group)


def _wait(system: System, log: Path) -> System:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        state = system.sh("systemctl is-system-running || :").stdout.strip()
        if state in {"running", "degraded"}:
            assert state == "running", system.out("systemctl --failed --no-pager")
            return system
        time.sleep(0.1)
    raise AssertionError(f"systemd does not come up: {log.read_text(encoding='utf-8', errors='replace')}")


def _child(process: Server) -> int:
    """The only child of ``unshare``: init, once it is systemd."""
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError, IndexError):
            pid = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()[0])
            if Path(f"/proc/{pid}/comm").read_text(encoding="ascii").strip() == "systemd":
                return pid
        time.sleep(0.05)
    raise AssertionError("init does not start")


def _cgroups() -> Path:
    """Where the file system cgroup2 is mounted."""
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    raise AssertionError("there is no cgroup2 file system")


def _remove(group: Path) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            for folder in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
                folder.rmdir()
            group.rmdir()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
