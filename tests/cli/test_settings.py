"""``ov settings`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

from ovtasks.errors import EXIT_INPUT
from tests.support.workbench import Workbench


def test_settings(tmp_path: Path) -> None:
    bench = Workbench(tmp_path)
    file = Path(bench.ov("settings", "path").stdout.strip())
    assert file == tmp_path / "xdg" / "config" / "ov" / "settings.yml" and not file.exists()
    assert bench.ov("settings", "get", "vm.backend").stdout == "auto\n"
    assert bench.ov("settings", "set", "vm.backend", "qemu").stderr == ""
    file.chmod(0o644)
    done = bench.ov("settings", "get", "vm.backend")
    assert done.stdout == "qemu\n" and "has mode 0644" in done.stderr
    bench.env["OV_VM_BACKEND"] = "libvirt"
    assert "OV_VM_BACKEND is set and wins" in bench.ov("settings", "set", "vm.backend", "auto").stderr
    listed = {item["key"]: item for item in json.loads(bench.ov("settings", "list", "--json").stdout)}
    assert listed["vm.backend"] == {
        "key": "vm.backend",
        "value": "libvirt",
        "origin": "environment",
        "source": "OV_VM_BACKEND",
        "flag": None,
    }
    assert listed["vm.accel"]["origin"] == "default" and listed["vm.ram"]["flag"] == "ov vm create --ram"
    table = bench.ov("settings", "list").stdout.splitlines()
    assert table[0].split() == ["KEY", "VALUE", "FROM", "MEANING"] and len(table) == 1 + len(listed)
    bench.ov("settings", "reset", "vm.backend")
    assert file.read_text(encoding="utf-8") == ""
    bench.ov("settings", "reset")
    assert not file.exists()


def test_wrong_words(tmp_path: Path) -> None:
    bench = Workbench(tmp_path)
    error = bench.ov("settings", "set", "vm.backend", "qeum", code=EXIT_INPUT).stderr
    assert "did you mean 'qemu'?" in error and "Traceback" not in error
    assert "did you mean 'vm.accel'?" in bench.ov("settings", "get", "vm.acel", code=EXIT_INPUT).stderr
