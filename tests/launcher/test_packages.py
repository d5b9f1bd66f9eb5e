"""doitw and the host's packages: named, agreed to, installed.

Distributions that cannot be here have a stand-in for their package manager: a script that notes how it was called and
"installs" by a link. Debian's apt-get is the real one, told to simulate.
"""

from __future__ import annotations

import os
import pty
import signal
from pathlib import Path

import pytest

from ovtasks.host import packages
from ovtasks.host.run import require
from tests.launcher.conftest import Bare, ordinary_user, root

pytestmark = pytest.mark.slow

SHOWN = {
    "apt-get": "apt-get install --no-install-recommends qemu-utils",
    "dnf": "dnf install qemu-img",
    "pacman": "pacman -S --needed qemu-img",
    "zypper": "zypper install --no-recommends qemu-img",
}
CALLED = {
    "dnf": "dnf install -y qemu-img",
    "pacman": "pacman -S --needed --noconfirm qemu-img",
    "zypper": "zypper --non-interactive install --no-recommends qemu-img",
}


def stand_in(bare: Bare, manager: str, *, works: bool = True) -> None:
    install = f"{require('ln')} -sf /bin/true '{bare.bin}/qemu-img'"
    bare.script(bare.bin / manager, install if works else "echo 'E: no such package' >&2; exit 100")


def manager_calls(bare: Bare) -> list[str]:
    return [call for call in bare.calls() if call.split()[0] in SHOWN]


@pytest.mark.parametrize("manager", SHOWN)
def test_without_consent_it_says_the_command_and_refuses(bare: Bare, manager: str) -> None:
    stand_in(bare, manager)
    done = bare.doitw("build:web", user=root(bare))
    package = SHOWN[manager].split()[-1]
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr == (
        f"doitw: needed for build:web:\n  {package} (for qemu-img)\n"
        f"doitw: packages are missing: {package}\n  hint: {SHOWN[manager]}, or run ./doitw --yes …\n"
    )
    assert manager_calls(bare) == []


@pytest.mark.parametrize("manager", CALLED)
@pytest.mark.parametrize("consent", ["--yes", "CI"])
def test_with_consent_it_installs_and_goes_on(bare: Bare, manager: str, consent: str) -> None:
    stand_in(bare, manager)
    if consent == "CI":
        done = bare.doitw("build:web", user=root(bare), CI="true")
    else:
        done = bare.doitw(consent, "build:web", user=root(bare))
    assert done.returncode == 0, done.stderr
    assert manager_calls(bare) == [CALLED[manager]]
    assert done.stdout.splitlines()[-1] == "<build:web>"


def test_package_manager_fails(bare: Bare) -> None:
    stand_in(bare, "dnf", works=False)
    done = bare.doitw("--yes", "build:web", user=root(bare))
    assert done.returncode == 1
    assert "E: no such package" in done.stderr
    assert "doitw: the packages could not be installed\n  hint: see the messages above; by hand: dnf " in done.stderr


def test_package_does_not_bring_the_program(bare: Bare) -> None:
    bare.script(bare.bin / "zypper", "exit 0")
    done = bare.doitw("--yes", "build:web", user=root(bare))
    assert done.returncode == 1
    assert "doitw: the packages are installed, and still something is missing" in done.stderr


def test_apt_update_once_when_install_fails(bare: Bare) -> None:
    """Lists that name packages which are gone: the second try comes after an update."""
    seen = bare.bin.parent / "updated"
    require_update = f"case \"$*\" in *update) : >'{seen}' ;; *) [ -e '{seen}' ] || exit 100; "
    link = f"{require('ln')} -sf /bin/true '{bare.bin}/qemu-img' ;; esac"
    bare.script(bare.bin / "apt-get", require_update + link)
    done = bare.doitw("--yes", "build:web", user=root(bare))
    assert done.returncode == 0, done.stderr
    words = [call.split()[-1] for call in manager_calls(bare)]
    assert words in (["qemu-utils", "update", "qemu-utils"], ["update", "qemu-utils"])


def test_real_apt_get_takes_our_arguments(bare: Bare, tmp_path: Path) -> None:
    """Simulated: apt-get resolves the package and changes nothing, so the program is missing afterwards."""
    (bare.bin / "apt-get").symlink_to(require("apt-get"))
    (bare.bin / "dpkg").symlink_to(require("dpkg"))
    settings = tmp_path / "apt.conf"
    settings.write_text('APT::Get::Simulate "true";\n')
    done = bare.doitw("--yes", "build:web", user=root(bare), APT_CONFIG=str(settings))
    assert done.returncode == 1
    assert "qemu-utils" in done.stderr.partition("Reading package lists")[2], done.stderr
    assert "doitw: the packages are installed, and still something is missing" in done.stderr


def test_ordinary_user_without_sudo(bare: Bare) -> None:
    stand_in(bare, "pacman")
    done = bare.doitw("--yes", "build:web", user=ordinary_user(bare))
    assert done.returncode == 3
    assert done.stderr.endswith(
        "doitw: packages are missing, and you are not root and have no sudo\n"
        "  hint: as root: pacman -S --needed qemu-img\n"
    )
    assert manager_calls(bare) == []


def test_ordinary_user_with_sudo(bare: Bare) -> None:
    """sudo must not ask for a password where nobody could type it."""
    stand_in(bare, "dnf")
    bare.script(bare.bin / "sudo", 'shift; exec "$@"')
    done = bare.doitw("--yes", "build:web", user=ordinary_user(bare))
    assert done.returncode == 0, done.stderr
    assert "doitw: sudo dnf install qemu-img\n" in done.stderr
    assert "sudo -n dnf install -y qemu-img" in bare.calls()


def test_sudo_asks_for_a_password_that_nobody_can_type(bare: Bare) -> None:
    stand_in(bare, "dnf")
    bare.script(bare.bin / "sudo", 'echo "sudo: a password is required" >&2; exit 1')
    done = bare.doitw("--yes", "build:web", user=ordinary_user(bare))
    assert done.returncode == 3
    assert done.stderr.endswith(
        "doitw: packages are missing, and sudo asks for a password, which nobody can type here\n"
        "  hint: sudo dnf install qemu-img\n"
    )
    assert manager_calls(bare) == []


def test_no_package_manager(bare: Bare) -> None:
    done = bare.doitw("--yes", "build:web")
    assert done.returncode == 3
    assert "doitw: none of apt-get, dnf, pacman, zypper is here\n  hint: install by hand: " in done.stderr


def test_nothing_brings_the_program(bare: Bare) -> None:
    """Not the launcher's to decide: the step that needs it says so."""
    stand_in(bare, "pacman")
    (bare.bin / "qemu-img").symlink_to("/bin/true")
    distro = {"ubuntu": "ubuntu"}.get(packages.os_release().get("ID", ""), "debian")  # no keys of another one
    (bare.directory / "vms.yml").write_text(f"vms: {{web: {{source: {{kind: bootstrap, distro: {distro}}}}}}}\n")
    for name in ("dpkg-deb", "mke2fs", "debugfs", "mkfs.fat", "mcopy", "sfdisk", "unshare", "newuidmap"):
        (bare.bin / name).symlink_to("/bin/true")
    done = bare.doitw("build:web", user=root(bare))
    assert done.returncode == 0
    assert done.stderr.strip() == "doitw: not found, and no package is known here: mmdebstrap"


def answer_on_a_terminal(bare: Bare, answer: bytes, goal: str = "build:web") -> tuple[int, str]:
    """Run ``doitw GOAL`` on a pseudo-terminal, type ``answer`` at its question; exit status and all it said."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(bare.directory)
        argv = [*root(bare), "./doitw", goal]
        os.execvpe(argv[0], argv, bare.env())
    said = b""
    try:
        while chunk := _read(terminal):
            said += chunk
            if said.endswith(b"[Y/n] "):
                os.write(terminal, answer)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.close(terminal)
        status = os.waitpid(pid, 0)[1]
    return os.waitstatus_to_exitcode(status), said.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux: the other end is closed
        return b""


@pytest.mark.parametrize("answer", [b"\n", b"yes\n"])
def test_question_answered_with_yes(bare: Bare, answer: bytes) -> None:
    stand_in(bare, "dnf")
    status, said = answer_on_a_terminal(bare, answer)
    assert status == 0, said
    assert 'doitw: run "dnf install qemu-img"? [Y/n] ' in said
    assert manager_calls(bare) == [CALLED["dnf"]]


@pytest.mark.parametrize("answer", [b"n\n", b"what\n", b"\x04"])
def test_question_answered_with_no(bare: Bare, answer: bytes) -> None:
    stand_in(bare, "dnf")
    status, said = answer_on_a_terminal(bare, answer)
    assert status == 3
    assert "doitw: not installed\n  hint: dnf install qemu-img\n" in said
    assert manager_calls(bare) == []
