"""The shell that turns a guest's apt sources, run on vendor-like trees and judged by apt itself."""

from __future__ import annotations

import functools
import http.server
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ovtasks.seed.apt_sources import apt_command
from tests.support.programs import Ended, attempt, call

M = "http://m.example/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
OS_RELEASE = 'PRETTY_NAME="Debian GNU/Linux"\nID=debian\nVERSION_CODENAME=trixie\n'
OURS = "OURS"  # stands for the URI of our list in expected texts

CLOUD_IMAGE = f"""\
Types: deb deb-src
URIs: mirror+file:///etc/apt/mirrors/debian.list
Suites: trixie trixie-updates trixie-backports
Components: main
Signed-By: {KEYRING}

Types: deb deb-src
URIs: mirror+file:///etc/apt/mirrors/debian-security.list
Suites: trixie-security
Components: main
Signed-By: {KEYRING}
"""
CONTAINER = f"""\
# the archive
Types: deb
# http://snapshot.example/debian
URIs: http://vendor.example/debian
  http://second.example/debian
# between
  http://third.example/debian
suites: trixie
  trixie-updates
Components: main non-free-firmware
Signed-By: {KEYRING}

#Types: deb
#URIs: http://vendor.example/debian
#Suites: trixie
#Components: main


Types: deb
URIs: http://vendor.example/debian-security
Suites: trixie-security
Components: main
Signed-By: {KEYRING}

Types: deb
URIs: https://thirdparty.example/debian
Suites: trixie
Components: main
Signed-By: /etc/apt/keyrings/thirdparty-archive-keyring.gpg

Types: deb
URIs: https://inline.example/debian
Suites: trixie
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQ==
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://mixed.example/debian
Suites: trixie trixie-security
Components: main"""
TURNED = CONTAINER.replace(
    "URIs: http://vendor.example/debian\n  http://second.example/debian\n# between\n  http://third.example/debian\n",
    f"URIs: {OURS}\n# between\n",
    1,
)
ONE_LINE = {  # a vendor's line → ours; None: as it is
    "deb http://vendor.example/debian trixie main contrib": f"deb {OURS} trixie main contrib",
    "deb-src http://vendor.example/debian/ trixie main": f"deb-src {OURS} trixie main",
    f"deb [ arch=amd64 signed-by={KEYRING} ] http://v.example/debian trixie-updates main # why": (
        f"deb [ arch=amd64 signed-by={KEYRING} ] {OURS} trixie-updates main # why"
    ),
    f"\tdeb\t[signed-by={KEYRING}]\thttps://v.example/x&y\ttrixie-backports\tmain": (
        f"\tdeb\t[signed-by={KEYRING}]\t{OURS}\ttrixie-backports\tmain"
    ),
    "deb [trusted=yes] http://v.example stable main": f"deb [trusted=yes] {OURS} stable main",
    "# deb http://vendor.example/debian trixie main": None,
    "deb http://vendor.example/debian trixie-security main": None,
    "deb http://vendor.example/debian-security trixie main": None,
    "deb http://security.example/ trixie/updates main": None,
    "deb http://vendor.example/debian trixie contrib # main": None,
    "deb http://vendor.example/debian trixie-pgdg main": None,
    "deb http://vendor.example/debian bookworm main": None,
    "deb https://engine.example/linux/debian trixie stable": None,
    "deb [signed-by=/etc/apt/keyrings/third-archive-keyring.gpg] https://third.example/debian trixie main": None,
    "deb http://flat.example ./": None,
    "deb cdrom:[Debian 13 _Trixie_]/ trixie main": None,
    "deb": None,
    "": None,
}


def guest(root: Path, files: dict[str, str], os_release: str = OS_RELEASE) -> Path:
    (root / "apt/sources.list.d").mkdir(parents=True)
    (root / "os-release").write_text(os_release)
    for name, text in files.items():
        (root / "apt" / name).write_text(text)
    return root


def boot(etc: Path, *urls: str) -> Ended:
    command = apt_command(urls)
    assert command.count("/etc") == 1
    moved = [str(etc) if word == "/etc" else word for word in command]
    return attempt(*moved)


def texts(etc: Path) -> dict[str, str]:
    found = {str(file.relative_to(etc / "apt")): file.read_text() for file in etc.glob("apt/**/*") if file.is_file()}
    return {name: text.replace(f"mirror+file://{etc}/apt/ov-mirrors.list", OURS) for name, text in found.items()}


LIST = {"ov-mirrors.list": f"{M}\tpriority:1\n"}
CASES = {
    "cloud image": (
        {
            "sources.list.d/debian.sources": CLOUD_IMAGE,
            "sources.list": "# See /etc/apt/sources.list.d/debian.sources\n",
        },
        {"sources.list.d/debian.sources": CLOUD_IMAGE.replace("mirror+file:///etc/apt/mirrors/debian.list", OURS)},
    ),
    "stanzas": ({"sources.list.d/debian.sources": CONTAINER + "\n"}, {"sources.list.d/debian.sources": TURNED + "\n"}),
    "one line": (
        {"sources.list": "\n".join(ONE_LINE) + "\n"},
        {"sources.list": "\n".join(ours or vendors for vendors, ours in ONE_LINE.items()) + "\n"},
    ),
    "names of files": (
        {
            "sources.list.d/a b.list": "deb http://v.example/debian trixie main\n",
            "sources.list.d/security.list": "deb http://v.example/debian trixie main\n",
            "sources.list.d/old.list.save": "deb http://v.example/debian trixie main\n",
        },
        {"sources.list.d/a b.list": f"deb {OURS} trixie main\n"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_main_archive_only_and_once(tmp_path: Path, name: str) -> None:
    before, changed = CASES[name]
    etc = guest(tmp_path, before)
    for _boot in range(2):
        done = boot(etc, M)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert texts(etc) == {**before, **changed, **LIST}


def test_later_boots_leave_the_guests_own_changes_and_take_new_mirrors(tmp_path: Path) -> None:
    etc = guest(tmp_path, {"sources.list": "deb http://v.example/debian trixie main\n"})
    boot(etc, M)
    own = "deb http://own.example/debian trixie-backports main\n"
    (etc / "apt/sources.list.d/own.list").write_text(own)
    boot(etc, "http://b.example/~u/x&y", M)
    assert texts(etc) == {
        "sources.list": f"deb {OURS} trixie main\n",
        "sources.list.d/own.list": own,
        "ov-mirrors.list": f"http://b.example/~u/x&y\tpriority:1\n{M}\tpriority:2\n",
    }


def test_a_first_boot_cut_short_is_made_good(tmp_path: Path) -> None:
    etc = guest(tmp_path, {"sources.list": "deb http://v.example/debian trixie main\n"})
    boot(etc, M)
    (etc / "apt/ov-mirrors.list").unlink()
    (etc / "apt/sources.list.d/more.list").write_text("deb http://v.example/debian trixie-updates main\n")
    assert boot(etc, M).returncode == 0
    assert texts(etc)["sources.list.d/more.list"] == f"deb {OURS} trixie-updates main\n"
    assert texts(etc)["ov-mirrors.list"] == f"{M}\tpriority:1\n"


def test_modes_are_kept(tmp_path: Path) -> None:
    etc = guest(tmp_path, {"sources.list": "deb http://v.example/debian trixie main\n"})
    (etc / "apt/sources.list").chmod(0o640)
    boot(etc, M)
    assert (etc / "apt/sources.list").stat().st_mode & 0o777 == 0o640
    assert (etc / "apt/ov-mirrors.list").stat().st_mode & 0o777 == 0o644


def test_a_guest_without_apt_is_left_alone(tmp_path: Path) -> None:
    assert boot(tmp_path, M).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_turn_is_said(tmp_path: Path) -> None:
    before = {"sources.list": "deb http://v.example/other strange main\n"}
    etc = guest(tmp_path, before)
    done = boot(etc, M)
    assert done.returncode == 1
    assert done.stderr == "ov-mirrors: no entry of the main archive of debian trixie in apt's sources\n"
    assert texts(etc) == before


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[str]:
    """An archive with one package, as far as ``apt-get update`` looks."""
    index = tmp_path / "www/debian/dists/trixie/main/binary-amd64/Packages"
    index.parent.mkdir(parents=True)
    index.write_text(
        "Package: ov-probe\nVersion: 1\nArchitecture: amd64\nMaintainer: x <x@m.example>\nDescription: x\n"
        f"Filename: pool/p.deb\nSize: 1\nSHA256: {'0' * 64}\n"
    )
    release = tmp_path / "www/debian/dists/trixie/Release"
    release.write_text("Suite: stable\nCodename: trixie\nArchitectures: amd64\nComponents: main\n")
    handler = functools.partial(Quiet, directory=tmp_path / "www")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


def test_apt_falls_back_from_a_dead_mirror(tmp_path: Path, archive: str) -> None:
    stanza = """\
        Types: deb
        URIs: http://127.0.0.1:1/debian
        Suites: trixie
        Components: main
        Trusted: yes
    """
    etc = guest(tmp_path / "etc", {"sources.list.d/debian.sources": textwrap.dedent(stanza)})
    boot(etc, f"{archive}/gone", f"{archive}/debian")
    (tmp_path / "status").touch()
    options = [
        f"Dir::Etc={etc}/apt",
        f"Dir::State={tmp_path}/state",
        f"Dir::State::status={tmp_path}/status",
        f"Dir::Cache={tmp_path}/cache",
        "APT::Architecture=amd64",
        "APT::Architectures=amd64",
        "APT::Sandbox::User=",
        "Acquire::Languages=none",
        "Acquire::AllowInsecureRepositories=true",
        "Acquire::http::Proxy=DIRECT",
    ]
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (tmp_path / folder).mkdir(parents=True)
    flags = [word for option in options for word in ("-o", option)]
    call("apt-get", *flags, "-q", "update")
    assert "Candidate: 1" in call("apt-cache", *flags, "policy", "ov-probe").stdout
