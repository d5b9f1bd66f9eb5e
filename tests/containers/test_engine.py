"""The ways to a container that is root: which is chosen, and why another is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ovtasks.containers.engine import Mode, own, rootful
from ovtasks.errors import InputError
from ovtasks.host.run import MissingProgramError


@pytest.mark.root
def test_root_needs_no_detour() -> None:
    engine = rootful()
    assert (engine.mode, engine.words, engine.root) == (Mode.NATIVE, ("podman",), ())
    assert engine.why == "you are root"
    assert own().mode is Mode.NATIVE


def test_the_setting_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever runs the tests may have to type a password for the real sudo."""
    (tmp_path / "sudo").write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    (tmp_path / "sudo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("OV_ENGINE_ROOTFUL", "sudo")
    engine = rootful()
    assert (engine.mode, engine.words) == (Mode.SUDO, ("sudo", "-n", "podman"))
    assert engine.command == "sudo podman"
    monkeypatch.setenv("SUDO_ASKPASS", "/bin/true")
    assert rootful().words == ("sudo", "-A", "podman")


def test_a_way_that_is_not_there_is_wrong_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OV_ENGINE_ROOTFUL", "machine")
    with pytest.raises(InputError) as caught:
        rootful()
    assert "engine.rootful is machine (OV_ENGINE_ROOTFUL): podman has no connection" in caught.value.message
    assert "podman machine init" in (caught.value.hint or "")


def test_without_podman_its_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingProgramError) as caught:
        rootful()
    assert caught.value.program == "podman"
