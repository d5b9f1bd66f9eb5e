"""Each verb against this machine: what holds, and what is told when it does not."""

from __future__ import annotations

import contextlib
import getpass
import grp
import hashlib
import os
import pwd
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.layers.checks.model import ServiceUnit
from tests.layers.checks.shell import CONTEXT, Shell, part, told
from tests.support.layers import SHELLS

NAME = getpass.getuser()


def test_files(tmp_path: Path) -> None:
    place = tmp_path / "a file's name"
    place.write_text("one\ntwo words\n")
    place.chmod(0o640)
    (tmp_path / "link").symlink_to(place)
    (tmp_path / "dangling").symlink_to("nowhere")
    digest = hashlib.sha256(place.read_bytes()).hexdigest()
    name = str(place)
    assert (
        told(
            part(
                file=name, exists=True, mode="0640", owner=NAME, filetype="file", sha256=digest, contains=["two words"]
            ),
            part(file=name, mode="640", owner=str(os.getuid()), group_of=grp.getgrgid(os.getgid()).gr_name),
            part(file=str(tmp_path), filetype="directory"),
            part(file=str(tmp_path / "link"), filetype="symlink"),
            part(file=str(tmp_path / "link"), filetype="file", mode="0640"),
            part(file=str(tmp_path / "dangling"), filetype="symlink"),
            part(file=str(tmp_path / "none"), exists=False),
            part(file="~/", filetype="directory"),
            part(file="${HOME}", filetype="directory"),
        )
        == ["ok"] * 9
    )
    assert told(
        part(file=name, mode="0755", owner="nobody", filetype="directory", sha256="00", contains=["three", "one"]),
        part(file=name, exists=False),
        part(file=str(tmp_path / "none")),
        part(file=name, contains=[{"matches": "^two"}]),
    ) == [
        f"failed: filetype: expected directory, found regular file; mode: expected '0755', found '0640'; "
        f"owner: expected nobody, found {NAME}; sha256: expected '00', found '{digest}'; "
        f"contains: expected contains 'three', found 'one\\ntwo words\\n'",
        "failed: exists: expected no, found yes",
        "failed: exists: expected yes, found no",
        "failed: contains: expected matches '^two', found 'one\\ntwo words\\n'",
    ]


def test_commands() -> None:
    assert (
        told(
            part(command="true"),
            part(command="exit 3", exit_status=3),
            part(command='echo "$TOOL" "${TOOL}" ${HOME}', stdout={"contains": "a tool a tool /"}),
            part(command="set -euo pipefail\nA='it''s'\necho \"$A ${A:0:1}\"", stdout="its i"),
            part(command="echo out; echo err >&2", stdout=["out"], stderr=[{"contains": "err"}]),
            part(command="cat", stdout=""),  # no stdin
            part(command="sleep 1 & echo started", stdout="started"),
            part(
                command="echo http://127.0.0.1:${HOST_PORT:8080}/", stdout="http://127.0.0.1:8080/"
            ),  # the guest's own
            part(command="printf 'TOKEN 0 status MQ==\\n'; printf '\\377'", stdout={"contains": "TOKEN"}),
        )
        == ["ok"] * 9
    )
    assert told(
        part(command="echo nothing here >&2; exit 4"),
        part(command="id -u", stdout={"lt": 0}),
        part(command="sleep 30", timeout="1s"),
    ) == [
        "failed: exit_status: expected 0, found 4: nothing here",
        f"failed: stdout: expected lt '0', found '{os.getuid()}\\n'",
        "failed: exit_status: expected 0, found 124 (it took too long)",
    ]


def test_floods_binary_output_and_pipes(tmp_path: Path) -> None:
    """Much output, bytes that are no text, and what never ends when it is read."""
    os.mkfifo(tmp_path / "pipe")
    assert told(
        part(command="head -c 20000000 /dev/zero | tr '\\0' x; echo end"),
        part(command="head -c 20000000 /dev/zero", stdout={"not_contains": "x"}),
        part(command="head -c 2000000 /dev/zero >&2; exit 3", exit_status=3, stderr=""),
        part(command="head -c 3000 /dev/urandom", stdout={"not_equals": ""}),
        part(command="printf '\\033[2J\\007bad\\n' >&2; exit 1"),
        part(command="while :; do head -c 2000000 /dev/zero | tr '\\0' ' '; sleep 0.2; done", timeout="1s"),
        part(file=str(tmp_path / "pipe"), contains="x"),
        part(file="/dev/zero", sha256="0" * 64),
    ) == [
        "ok",
        "failed: stdout: expected at most 1048576 bytes, found 20000000",
        "failed: stderr: expected at most 1048576 bytes, found 2000000",
        "ok",
        "failed: exit_status: expected 0, found 1: ?[2J?bad",
        "failed: exit_status: expected 0, found 124 (it took too long)",
        "failed: contains: expected a regular file, found fifo",
        "failed: sha256: expected a regular file, found character special file",
    ]


def test_the_system() -> None:
    me = pwd.getpwuid(os.getuid())
    mtu = int(Path("/sys/class/net/lo/mtu").read_text())
    assert (
        told(
            part(user=NAME, uid=me.pw_uid, gid=me.pw_gid, home=me.pw_dir, shell=me.pw_shell),
            part(user=NAME, groups=[grp.getgrgid(me.pw_gid).gr_name]),
            part(user="nobody-at-all", exists=False),
            part(group="root", gid=0),
            part(interface="lo", mtu=mtu),
            part(interface="no0", exists=False),
            part(mount="/proc", filesystem="proc"),
            part(mount="/proc/", opts="rw"),
            part(mount="/nowhere", exists=False),
            part(kernel_param="kernel.hostname", value={"matches": ".+"}),
            part(kernel_param="kernel.ostype", value="Linux"),
            part(process="sh"),
            part(process="no-such-process", running=False),
        )
        == ["ok"] * 13
    )
    assert told(
        part(user="nobody-at-all"),
        part(user=NAME, uid=4711, groups=["no-group"]),
        part(group="no-group"),
        part(interface="lo", mtu=7, addrs=["192.0.2.1"]),
        part(mount="/proc", filesystem="xfs", mount_source="/dev/vdz"),
        part(kernel_param="kernel.ostype", value="Plan 9"),
        part(kernel_param="no.such.thing", value="1"),
        part(matching="arch", equals="debian"),
        part(matching="arch-host in list", contains={"contains": "arch"}),
    )[2:] == [
        "failed: exists: expected yes, found no",
        told(part(interface="lo", mtu=7, addrs=["192.0.2.1"]))[0],
        "failed: mount_source: expected '/dev/vdz', found 'proc'; filesystem: expected 'xfs', found 'proc'",
        "failed: value: expected equals 'Plan 9', found 'Linux'",
        "failed: value: expected a parameter that can be read, found none",
        "failed: matching: expected equals 'debian', found 'arch'",
        "ok",
    ]


def test_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert (
            told(
                part(port=port),
                part(port=f"tcp:{port}"),
                part(port=port, listening=True, ip="127.0.0.1"),
                part(addr=f"127.0.0.1:{port}", reachable=True, timeout="5s"),
                part(addr=f"127.0.0.1:${{HOST_PORT:{port}}}", reachable=True),  # no forward: inside of the guest
                part(addr=f"127.0.0.1:{port}", scope="build"),
                part(addr=f"127.0.0.1:{port}", from_host=False),
            )
            == ["ok"] * 7
        )
        assert told(part(port=port, ip="127.0.0.9")) == ["failed: ip: expected 127.0.0.9, found 127.0.0.1"]
        assert told(part(port=port, listening=False)) == ["failed: listening: expected no, found yes"]
    with socket.socket() as bound:  # taken, and nobody listens
        bound.bind(("127.0.0.1", 0))
        closed = bound.getsockname()[1]
        assert told(
            part(port=closed, listening=False),
            part(addr=f"127.0.0.1:{closed}", reachable=False),
            part(addr=f"127.0.0.1:${{HOST_PORT:{closed}}}", reachable=False),
            part(addr=f"127.0.0.1:{closed}"),
        ) == ["ok"] * 3 + ["failed: reachable: expected yes, found Connection refused"]


def test_a_forwarded_port_is_reached_from_this_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        context = replace(CONTEXT, forwards={8080: server.getsockname()[1]})
        shell = Shell()
        assert told(part(addr="127.0.0.1:${HOST_PORT:8080}"), context=context, shell=shell) == ["ok"]
        assert not shell.scripts


def test_names() -> None:
    assert (
        told(
            part(dns="localhost", resolvable=True, addrs=["127.0.0.1", "::1"]),
            part(dns="localhost", scope="build"),
            part(dns="no-such-name.invalid", resolvable=False),
            part(dns="no-such-name.invalid", resolvable=False, scope="build"),
        )
        == ["ok"] * 4
    )
    assert told(part(dns="localhost", addrs=["192.0.2.1"]))[0].startswith("failed: addrs: expected 192.0.2.1, found ")


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_that_is_sh_somewhere(shell: str, tmp_path: Path) -> None:
    (tmp_path / "a b").write_text("x'y")
    assert (
        told(
            part(file=f"{tmp_path}/a b", contains="x'y", owner=NAME, sha256=hashlib.sha256(b"x'y").hexdigest()),
            part(file="/none", exists=False),
            part(command='echo "it\'s"; exit 2', stdout="it's", exit_status=2, timeout="137s"),
            part(user=NAME),
            part(interface="lo"),
            part(mount="/proc"),
            part(process=SHELLS[shell][0]),
            part(kernel_param="kernel.ostype", value="Linux"),
            part(dns="localhost", scope="build"),
            shell=Shell(shell=SHELLS[shell]),
        )
        == ["ok"] * 9
    )
    while shell == "busybox" and watchers(b"137"):  # its timeout looks once a second whether the command is there
        time.sleep(0.1)


def watchers(seconds: bytes) -> list[bytes]:
    """Processes of timeout(1) with this limit."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes())
    return [words for words in found if words.startswith(b"timeout\0-k\0") and seconds in words.split(b"\0")]


SYSTEMCTL = """#!/bin/sh
case $*" $XDG_RUNTIME_DIR" in
"show -p ActiveState -p SubState -p LoadState -- "*) ;;
"--user show"*) test -n "$XDG_RUNTIME_DIR" ;;
esac
for unit do :; done
case $unit in
ov-web-app.service) echo ActiveState=active; echo SubState=running; echo LoadState=loaded ;;
broken) echo ActiveState=failed; echo SubState=failed; echo LoadState=loaded ;;
*) echo ActiveState=inactive; echo SubState=dead; echo LoadState=not-found ;;
esac
"""
IS_ENABLED = SYSTEMCTL.replace("for unit", 'if [ "$1" = is-enabled ]; then echo enabled; exit; fi\nfor unit')


@pytest.mark.parametrize("user", [False, True])
def test_services(tmp_path: Path, user: bool) -> None:
    """A service of a layer has a unit of ours; others are the distribution's."""
    (tmp_path / "systemctl").write_text(IS_ENABLED.replace('"$1" = is', '"${2:-}" = is') if user else IS_ENABLED)
    (tmp_path / "systemctl").chmod(0o755)
    context = replace(CONTEXT, units={"app": ServiceUnit("ov-web-app.service", user=user)})
    shell = Shell(tmp_path)
    assert told(part(service="app", running=True, enabled=True), context=context, shell=shell) == ["ok"]
    assert told(part(service="app", running=False), context=context, shell=shell) == [
        "failed: running: expected no, found active (running)"
    ]
    assert ("--user" in shell.scripts[0]) is user
    if not user:
        assert told(part(service="broken"), part(service="none", running=True), shell=shell) == [
            "failed: running: expected yes, found failed (failed)",
            "failed: running: expected yes, found not-found",
        ]


PACKAGES = {
    "dpkg-query": 'test "$5" = rg && echo "13.0-4 installed"\ntest "$5" = left && echo "1.0 config-files"',
    "pacman": 'test "$3" = rg && echo "rg 13.0-4"',
    "apk": "case $2-$4 in -e-rg) ;; -ev-rg) echo rg-13.0-r4 ;; *) exit 1 ;; esac",
    "rpm": 'case "$*" in *" rg") echo 13.0 ;; *) echo "package is not installed"; exit 1 ;; esac',
}


@pytest.mark.parametrize("tool", PACKAGES)
def test_packages(tmp_path: Path, tool: str) -> None:
    """Of each package manager its own words; the real ones are in the roots' tests."""
    for name in ("sh", "base64", "tr", "head", "sed", "id", "printf", "cat"):
        (tmp_path / name).symlink_to(Path(os.path.realpath(f"/usr/bin/{name}")))
    (tmp_path / tool).write_text(f"#!/bin/sh\n{PACKAGES[tool]}\n")
    (tmp_path / tool).chmod(0o755)

    class Alone(Shell):
        def run(self, script: str, /):  # type: ignore[no-untyped-def]
            return super().run(f"PATH={tmp_path}\n{script}")

    names = {"fedora": "x", "debian:13": "rg", "debian": "y"}
    assert (
        told(
            part(package="rg", installed=True, versions=["13.0"]),
            part(package="ripgrep", package_map=names),
            part(package="left", installed=False),
            part(package="rg", versions=["12"]),
            part(package="none"),
            shell=Alone(),
        )[:3]
        == ["ok"] * 3
    )
