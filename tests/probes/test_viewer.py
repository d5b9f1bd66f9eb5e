"""What the viewer is told, and what is told to the user when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.backends.contract import DisplayPlace
from ovtasks.probes.viewer import address, connection_file, unable

SOCKET = DisplayPlace(Path("/run/ov/spice.sock"))
WIDE = DisplayPlace(host="0.0.0.0", port=5901, kind="vnc")


def test_addresses() -> None:
    assert address(SOCKET) == "spice+unix:///run/ov/spice.sock"
    assert address(WIDE) == "vnc://0.0.0.0:5901"
    assert address(DisplayPlace(host="::1", port=5901)) == "spice://[::1]:5901"
    assert address(DisplayPlace(kind="vnc", viewer=("virt-viewer",))) == "vnc"


def test_the_file_of_a_socket_and_of_a_port() -> None:
    assert "\nunix-path=/run/ov/spice.sock\n" in connection_file(SOCKET, "web")
    text = connection_file(WIDE, "web -i dev")
    assert "\nhost=127.0.0.1\nport=5901\n" in text and "\ntitle=web -i dev\n" in text
    assert "password" not in text and "unix-path" not in text


@pytest.mark.parametrize(
    ("password", "written"), [("a b", "a b"), ("  x", r"\s\sx"), ("a\\s", r"a\\s"), ("=#[", "=#[")]
)
def test_passwords_are_what_they_were(password: str, written: str) -> None:
    """GLib takes a backslash for the begin of an escape and drops blanks at the begin."""
    text = connection_file(DisplayPlace(host="127.0.0.1", port=1, password=password), "web")
    assert text.endswith(f"\npassword={written}\n")


def test_what_cannot_be_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DISPLAY", "")
    monkeypatch.setenv("WAYLAND_DISPLAY", "")
    assert "no screen" in (unable(SOCKET) or ("",))[0]
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    why, hint = unable(DisplayPlace(Path("/run/vnc.sock"), kind="vnc")) or ("", "")
    assert "no VNC socket" in why and hint.endswith("vncviewer /run/vnc.sock")
    monkeypatch.setenv("PATH", str(tmp_path))
    away = DisplayPlace(kind="vnc", viewer=("virt-viewer", "--connect", "qemu+ssh://host/session", "--", "ov-web"))
    assert (unable(away) or ("",))[0] == "virt-viewer is not installed"
    (tmp_path / "virt-viewer").write_text("#!/bin/sh\n")
    (tmp_path / "virt-viewer").chmod(0o755)
    assert unable(away) is None
