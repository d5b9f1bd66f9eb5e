"""A fresh minimal Debian: a root folder made from packages, with what somebody has who clones a repository.

It is entered with processes and mounts of its own. Its network is this machine's, and so is what apt and pip need for
it.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from ovtasks.host.run import run
from tests.support.programs import attempt

INCLUDE = "ca-certificates,git,python3,sudo"
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
CERTIFICATES = Path("/usr/local/share/ca-certificates")
PASSED = (
    "PIP_",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
)
# $1: the root folder; then a command. pivot_root, not chroot: in a chroot the kernel refuses user namespaces.
ENTER = """set -eu
cd "$1"; shift
mount --rbind . .
cd "$PWD"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p .before
pivot_root . .before
umount --lazy /.before
status=0
"$@" || status=$? # not exec: the first process has to take the orphans in
exit $status
"""


@dataclass(frozen=True)
class Machine:
    """``root`` is its file system."""

    root: Path

    def run(self, *argv: str, user: str | None = None, log: Path, **env: str) -> int:
        """Run a command in it, as root or as ``user``; what it says goes to ``log``. Returns its exit status."""
        home = f"/home/{user}" if user else "/root"
        kept = {
            name: value for name, value in os.environ.items() if name.startswith(PASSED) and name != "PIP_CACHE_DIR"
        }
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        values = {**kept, "HOME": home, "USER": user or "root", "PATH": path, "TERM": "dumb", **env}
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--"] if user else []
        words = [*become, "env", "-i", *(f"{name}={value}" for name, value in values.items()), *argv]
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--"]
        with log.open("ab") as file:
            inside = [*namespaces, "bash", "-c", ENTER, "bash", str(self.root), *words]
            return attempt(*inside, output=file, timeout=None).returncode


def make(folder: Path, suite: str) -> Machine:
    """A minute's work; nothing starts services in it."""
    root = folder / "root"
    run(["mmdebstrap", "--quiet", "--variant=minbase", f"--include={INCLUDE}", suite, root], timeout=1800)
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
    policy.chmod(0o755)
    for path in (Path("/etc/resolv.conf"), Path("/etc/hosts"), Path("/etc/pip.conf"), BUNDLE):
        if path.exists():
            shutil.copyfile(path, root / path.relative_to("/"))
    if CERTIFICATES.is_dir():
        shutil.copytree(CERTIFICATES, root / CERTIFICATES.relative_to("/"), dirs_exist_ok=True)
    (root / "etc/apt/apt.conf.d/99this-machine").write_text(_apt_settings(), encoding="utf-8")
    return Machine(root)


def _apt_settings() -> str:
    """How apt gets at its mirrors here."""
    lines = run(["apt-config", "dump", "Acquire"]).stdout.splitlines()
    wanted = ("Acquire::http::", "Acquire::https::", "Acquire::Check-", "Acquire::Retries")
    return "".join(f"{line}\n" for line in lines if line.startswith(wanted))


def add_user(machine: Machine, name: str, log: Path) -> None:
    """An ordinary user who may use sudo without a password."""
    script = (
        f"useradd --create-home --shell /bin/bash {name}; echo '{name} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{name}"
    )
    assert machine.run("sh", "-c", script, log=log) == 0, log.read_text(encoding="utf-8")
