"""A VM with an empty disk, looked at from outside: the BIOS has a picture and takes keys."""

from __future__ import annotations

import configparser
import json
import shutil
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.support.rooms import Room, declare, libvirt_room, qemu_room
from tests.support.session import session_user

pytestmark = pytest.mark.slow
CHECKS: list[dict[str, Any]] = [
    {"libvirt": "info", "stdout": {"contains": "running"}},
    {"libvirt": "list", "stdout": {"contains": "ov-web"}},
    {"libvirt": "qmp", "text": "query-status", "stdout": {"contains": "running"}},
    {"libvirt": "send-key", "key": "KEY_LEFTCTRL KEY_C"},
    {"libvirt": "snapshot/list", "tag": ["seen"]},
    {"spice": "status", "stdout": {"contains": ["ok", "display"]}},
    {
        "id": "shot",
        "spice": "screenshot",
        "artifact": "shot.png",
        "artifact_min_bytes": 200,
        "artifact_min_dimensions": "640x350",
        "artifact_not_uniform": True,
        "eventually": "120s",
    },
    {"id": "silent", "libvirt": "guest/ping", "timeout": "1s"},
    {"libvirt": "domain-xml", "stdout": {"contains": "<domain"}},
]
DEVICES: dict[str, Any] = {
    "devices": {
        "video": [{"model": "vga"}],
        "graphics": [{"type": "spice", "passwd": "first words"}, {"type": "vnc", "passwd": " \\key "}],
        "input": [{"type": "tablet", "bus": "usb"}],
    }
}


@contextmanager
def open_room(kind: str, folder: Path) -> Iterator[Room]:
    if kind == "qemu":
        with qemu_room(folder) as made:
            yield made
    else:
        with session_user() as user, libvirt_room(user) as made:
            yield made


@pytest.fixture(scope="module", params=["qemu", "libvirt"])
def room(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with open_room(request.param, tmp_path_factory.mktemp("probes")) as made:
        image = made.project.parent / "empty.qcow2"
        declare(made, image, libvirt=DEVICES, eval=CHECKS)
        made.ov("vm", "create", "web")
        yield made


def answer(room: Room, *words: str) -> Any:
    return json.loads(room.ov("-q", "eval", "libvirt", *words))


def test_the_screen_is_a_png_of_known_size(room: Room) -> None:
    said = room.ov("vm", "screenshot", "web", "screen.png")
    data = (room.project / "screen.png").read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    assert data.startswith(b"\x89PNG") and width >= 640 and height >= 350
    assert f"screen.png: {width}x{height}" in said
    assert "cannot write" in room.ov("vm", "screenshot", "web", "/dev/null/screen.png", code=1)


def test_keys_arrive(room: Room) -> None:
    room.ov("vm", "sendkey", "web", "ctrl+alt+f1")
    room.ov("vm", "type", "web", "Hi", "--enter")
    assert "did you mean 'enter'" in room.ov("vm", "sendkey", "web", "entr", code=2)


def test_qemu_answers(room: Room) -> None:
    assert answer(room, "qmp", "web", "query-status")["status"] == "running"
    assert "refuses" in room.ov("eval", "libvirt", "qmp", "web", "no-such-command", code=1)
    assert "not JSON" in room.ov("eval", "libvirt", "qmp", "web", "query-status", "{", code=2)
    found = answer(room, "info", "web")
    assert (found["state"], found["cpus"], found["agent"]) == ("running", 1, False)
    assert found["graphics"][0]["type"] == "spice"


def test_what_a_backend_or_guest_cannot_is_said(room: Room) -> None:
    assert "guest agent" in room.ov("eval", "libvirt", "guest", "ping", "web", "--timeout", "1", code=1)
    said = room.ov("eval", "libvirt", "domain-xml", "web", code=1 if room.backend == "qemu" else 0)
    assert ("no domain XML" if room.backend == "qemu" else "<domain") in said


def test_the_spice_server_is_greeted_and_takes_input(room: Room) -> None:
    said = room.ov("eval", "spice", "status", "web")
    assert "spice ok" in said and "inputs ready" in said
    assert "display " in said and "display not ready" not in said
    room.ov("eval", "spice", "screenshot", "web", "spice.png")
    assert (room.project / "spice.png").read_bytes().startswith(b"\x89PNG")
    room.ov("eval", "spice", "type", "web", "abc")
    room.ov("eval", "spice", "key", "web", "ctrl+alt+f2")
    assert json.loads(room.ov("-q", "eval", "spice", "cursor", "web"))["width"] >= 0
    assert "takes movements only" in room.ov("eval", "spice", "click", "web", "1", "1", code=1)
    assert "cannot be reached" in room.ov("eval", "spice", "status", "web", "--socket", "/nowhere", code=1)


def test_checks_of_the_vm_need_no_login(room: Room) -> None:
    found = json.loads(room.ov("-q", "eval", "live", "web", "--json", "--junit", "junit.xml", code=1))
    assert found["failed"] == 1
    outcomes = {one["name"]: one["outcome"] for one in found["checks"]}
    assert [name for name, outcome in outcomes.items() if outcome == "failed"] == ["silent"]
    other = "not carried out" if room.backend == "qemu" else "ok"
    assert outcomes["libvirt domain-xml"] == other
    assert (room.project / "shot.png").read_bytes().startswith(b"\x89PNG")
    assert ET.parse(room.project / "junit.xml").getroot().get("failures") == "1"
    tagged = room.ov("eval", "live", "web", "--tag", "seen", "--tag", "other")
    assert "1 checks, 0 failed" in tagged
    assert "no checks" in room.ov("eval", "live", "web", "--tag", "none")
    assert "is not a deployment" in room.ov("eval", "live", "wob", code=2)


def test_events_and_the_console_come_as_they_happen(room: Room) -> None:
    """A reset makes an event. It is asked for again and again, since nothing says when the watching has begun."""
    watching = room.start("eval", "libvirt", "events", "web", "--duration", "10")
    while watching.poll() is None:
        answer(room, "qmp", "web", "system_reset")
    out, _ = watching.communicate()
    assert "RESET" in [json.loads(line)["event"] for line in out.splitlines()]
    room.ov("eval", "libvirt", "console", "web", "--duration", "1")


def test_words_behind_two_dashes_are_the_guests(room: Room) -> None:
    assert "no command" in room.ov("eval", "libvirt", "guest", "exec", "web", code=2)
    said = room.ov("eval", "libvirt", "guest", "exec", "web", "--", "uname", "-r", "--json", code=1)
    assert "agent" in said and "usage" not in said


def test_a_guest_with_a_tablet_is_clicked_at_a_place(room: Room) -> None:
    """A guest's driver would make QEMU take the tablet; here QEMU is told to."""
    mice = answer(room, "qmp", "web", "human-monitor-command", '{"command-line": "info mice"}')
    number = next(line.split("#")[1].split(":")[0] for line in mice.splitlines() if "Tablet" in line)
    answer(room, "qmp", "web", "human-monitor-command", json.dumps({"command-line": f"mouse_set {number}"}))
    assert "clicked at 10 20" in room.ov("eval", "spice", "click", "web", "10", "20")
    assert "moved to 30 40" in room.ov("eval", "spice", "mouse", "web", "30", "40")
    assert "no button" in room.ov("eval", "spice", "click", "web", "1", "1", "--button", "fourth", code=2)


def test_a_changed_password_is_asked_for(room: Room) -> None:
    """The last test: the password stays until the VM stops. Until now it was the one of vms.yml."""
    file = room.project / "password"
    file.write_text("secret words\n", encoding="utf-8")
    file.chmod(0o644)
    room.ov("eval", "libvirt", "passwd", "web", "secret words")
    assert "wrong password" in room.ov("eval", "spice", "status", "web", code=1)
    assert "spice ok" in room.ov("eval", "spice", "status", "web", "--password-file", "password")


VIEWER = """#!/bin/sh
# As remote-viewer: reads the file, removes it when the file says so, and ends when its window is closed.
here=$(dirname "$0")
printf '%s\\n' "$@" > "$here/argv"
stat -c %a "$1" > "$here/mode"
cp "$1" "$here/file"
if grep -q '^delete-this-file=1$' "$1"; then rm "$1"; fi
exit 7
"""


@pytest.fixture
def viewer(room: Room, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a stand-in for remote-viewer, which is on the path of a user with a screen."""
    folder = room.project.parent / "viewer"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    (folder / "remote-viewer").write_text(VIEWER)
    (folder / "remote-viewer").chmod(0o755)
    monkeypatch.setitem(room.env, "PATH", f"{folder}:{room.env['PATH']}")
    monkeypatch.setitem(room.env, "DISPLAY", ":0")
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("kind", ["spice", "vnc"])
def test_the_display_opens_in_a_viewer(room: Room, viewer: Path, kind: str) -> None:
    """The viewer's file says where, and has the password, which no command line has; nothing is left."""
    room.ov("vm", "view", "web", "--type", kind, code=7)
    (given,) = (viewer / "argv").read_text().splitlines()
    assert given.endswith(".vv") and not Path(given).exists()
    assert (viewer / "mode").read_text() == "600\n"
    parser = configparser.RawConfigParser()
    parser.read_string((viewer / "file").read_text())
    found = dict(parser["virt-viewer"])
    assert (found["type"], found["title"], found["delete-this-file"]) == (kind, "web", "1")
    assert found["password"] == {"spice": "first words", "vnc": "\\s\\\\key"}[kind]
    address = room.ov("vm", "view", "web", "--type", kind, "--address").strip()
    if "unix-path" in found:
        assert address == f"spice+unix://{found['unix-path']}" and Path(found["unix-path"]).is_socket()
        return
    assert address == f"{kind}://{found['host']}:{found['port']}"
    with socket.create_connection((found["host"], int(found["port"])), 60) as peer:
        assert kind == "spice" or peer.recv(4) == b"RFB "


def test_without_a_viewer_or_a_screen_the_address_is_printed(room: Room, viewer: Path) -> None:
    room.env["DISPLAY"] = ""
    said = room.ov("vm", "view", "web", code=1)
    assert "spice" in said and "no screen" in said and "first words" not in said
    room.env["DISPLAY"] = ":0"
    (viewer / "remote-viewer").unlink()
    said = room.ov("vm", "view", "web", code=1)
    assert "remote-viewer is not installed" in said and "virt-viewer" in said


def test_what_a_killed_viewer_left_is_removed(room: Room, viewer: Path) -> None:
    left = Path(room.record()["sockets"]) / "view-99999999.vv"
    left.write_text("password=x")
    room.ov("vm", "view", "web", code=7)
    assert not left.exists()
