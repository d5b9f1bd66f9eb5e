"""Mirrors and the download of ov: the shell that we put into guests, really run."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ovtasks.project.model import CloudInit, Mirrors, Source
from ovtasks.seed.cloud_init import INSTALL_SCRIPT
from ovtasks.seed.distro import detect
from ovtasks.seed.mirrors import PACMAN_LIST, mirrors
from tests.support.programs import attempt, call
from tests.support.specs import UNKNOWN, bootstrap, cloud_image, data, vm

M = "https://m.example/root"
REPOSITORIES = {  # a vendor's line → ours
    "metalink=https://vendor.example/metalink?repo=fedora-$releasever&arch=$basearch": (
        f"baseurl={M}/releases/$releasever/Everything/$basearch/os/"
    ),
    "metalink=https://vendor.example/metalink?repo=updates-released-f$releasever&arch=$basearch": (
        f"baseurl={M}/updates/$releasever/Everything/$basearch/"
    ),
    "metalink=https://vendor.example/metalink?repo=fedora-41&arch=x86_64": (
        f"baseurl={M}/releases/41/Everything/x86_64/os/"
    ),
    "metalink=https://vendor.example/metalink?repo=fedora-debug-$releasever&arch=$basearch": None,
    "metalink=https://vendor.example/metalink?repo=centos-baseos-$stream&arch=$basearch&protocol=https,http": (
        f"baseurl={M}/$stream/BaseOS/$basearch/os/"
    ),
    "metalink=https://vendor.example/metalink?repo=centos-appstream-10-stream&arch=$basearch&protocol=https": (
        f"baseurl={M}/10-stream/AppStream/$basearch/os/"
    ),
    "metalink=https://vendor.example/metalink?repo=centos-baseos-source-$stream&arch=source": None,
    "mirrorlist=https://vendor.example/mirrorlist?arch=$basearch&repo=AppStream-$releasever$rltype": (
        f"baseurl={M}/$releasever/AppStream/$basearch/os/"
    ),
    "mirrorlist=https://vendor.example/mirrorlist/$releasever/baseos": (
        f"baseurl={M}/$releasever/BaseOS/$basearch/os/"
    ),
    "mirrorlist=https://vendor.example/mirrorlist/$releasever/baseos-debug": None,
    "#metalink=https://vendor.example/metalink?repo=fedora-$releasever&arch=$basearch": None,
    "gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-fedora-$releasever-$basearch": None,
}


def run_in(root: Path, command: list[str]) -> None:
    """Run a guest's command with its /etc moved to ``root``."""
    moved = [
        word.replace("/etc/yum", f"{root}/etc/yum").replace("/etc/pacman.conf", f"{root}/p.conf") for word in command
    ]
    call(*moved)


def bootcmd(**wanted: tuple[str, ...]) -> list[str]:
    commands: Any = data(vm(block=CloudInit(mirrors=Mirrors(**wanted))))["bootcmd"]
    assert len(commands) == 1
    command: list[str] = commands[0]
    return command


def test_dnf_repositories_are_turned_to_the_mirror(tmp_path: Path) -> None:
    folder = tmp_path / "etc/yum.repos.d"
    folder.mkdir(parents=True)
    (folder / "a.repo").write_text("[x]\n" + "\n".join(REPOSITORIES) + "\n")
    expected = "[x]\n" + "\n".join(ours or vendors for vendors, ours in REPOSITORIES.items()) + "\n"
    for _boot in range(2):
        run_in(tmp_path, bootcmd(dnf=(M + "/",)))
        assert (folder / "a.repo").read_text() == expected


def test_dnf_takes_several_mirrors_and_odd_characters(tmp_path: Path) -> None:
    folder = tmp_path / "etc/yum.repos.d"
    folder.mkdir(parents=True)
    line = "metalink=https://vendor.example/metalink?repo=fedora-$releasever&arch=$basearch\n"
    (folder / "a.repo").write_text(line)
    run_in(tmp_path, bootcmd(dnf=("http://a/~u/x&y", "http://b")))
    tail = "releases/$releasever/Everything/$basearch/os/"
    assert (folder / "a.repo").read_text() == f"baseurl=http://a/~u/x&y/{tail} http://b/{tail}\n"


def test_a_guest_without_dnf_or_pacman_is_left_alone(tmp_path: Path) -> None:
    run_in(tmp_path, bootcmd(dnf=(M,)))
    run_in(tmp_path, bootcmd(pacman=(M,)))
    assert list(tmp_path.iterdir()) == []


def test_pacman_gets_a_list_of_its_own(tmp_path: Path) -> None:
    conf = tmp_path / "p.conf"
    conf.write_text("[core]\nInclude = /etc/pacman.d/mirrorlist\n[x]\nInclude = /etc/pacman.d/other\n")
    for _boot in range(2):
        run_in(tmp_path, bootcmd(pacman=(M,)))
        assert conf.read_text() == f"[core]\nInclude = {PACMAN_LIST}\n[x]\nInclude = /etc/pacman.d/other\n"
    wanted = Mirrors(pacman=(M + "/", "http://b/$repo/os/x86_64"))
    (file,) = data(vm(block=CloudInit(mirrors=wanted)))["write_files"]
    assert file["path"] == PACMAN_LIST
    assert file["content"] == f"Server = {M}/$repo/os/$arch\nServer = http://b/$repo/os/x86_64\n"


def test_apt_on_ubuntu_is_cloud_inits_own_module() -> None:
    ubuntu = detect(bootstrap(distro="ubuntu"))
    assert mirrors(Mirrors(apt=("http://a/ubuntu",)), ubuntu) == {
        "apt": {"preserve_sources_list": False, "primary": [{"arches": ["default"], "uri": "http://a/ubuntu"}]}
    }
    several: Any = mirrors(Mirrors(apt=("http://a", "http://b")), ubuntu)
    assert several["apt"]["primary"] == [{"arches": ["default"], "search": ["http://a", "http://b"]}]


@pytest.mark.parametrize("source", [bootstrap(), cloud_image(UNKNOWN), cloud_image()])
def test_apt_elsewhere_is_a_command_and_names_only_the_wanted_hosts(source: Source) -> None:
    made: Any = mirrors(Mirrors(apt=("http://a.example/debian", "http://b.example")), detect(source))
    assert made["apt"] == {"preserve_sources_list": True}
    (command,) = made["bootcmd"]
    assert command[:2] == ["sh", "-c"]
    assert command[3:5] == ["ov-mirrors", "/etc"]
    assert command[6:] == ["http://a.example/debian", "http://b.example"]
    assert set(re.findall(r"https?://[^\"' ]*", json.dumps(made))) == {"http://a.example/debian", "http://b.example"}


def test_bootcmd_of_the_user_comes_after_the_mirrors() -> None:
    made = data(vm(block=CloudInit(bootcmd=("mine",), mirrors=Mirrors(dnf=(M,)))))
    assert [command if isinstance(command, str) else command[3] for command in made["bootcmd"]] == [
        "ov-mirrors",
        "mine",
    ]


PROGRAM = b"#!/bin/sh\necho ov\n"
DIGEST = hashlib.sha256(PROGRAM).hexdigest()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "ov").write_bytes(PROGRAM)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


def install(url: str, digest: str, target: Path) -> int:
    return attempt("sh", "-c", INSTALL_SCRIPT, "ov-install", url, digest, target).returncode


@pytest.mark.parametrize("digest", [DIGEST, ""])
def test_ov_is_downloaded_and_executable(server: str, tmp_path: Path, digest: str) -> None:
    target = tmp_path / "usr/local/bin/ov"
    assert install(f"{server}/ov", digest, target) == 0
    assert target.read_bytes() == PROGRAM
    assert target.stat().st_mode & 0o777 == 0o755
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(("path", "digest"), [("ov", "0" * 64), ("none", DIGEST), ("none", "")])
def test_a_wrong_or_missing_program_leaves_the_old_one(server: str, tmp_path: Path, path: str, digest: str) -> None:
    target = tmp_path / "bin/ov"
    target.parent.mkdir()
    target.write_text("old")
    assert install(f"{server}/{path}", digest, target) != 0
    assert target.read_text() == "old"
    assert list(target.parent.iterdir()) == [target]
