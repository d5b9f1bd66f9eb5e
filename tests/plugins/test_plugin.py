"""The plug-in of docs/plugins.md, installed as a package of its own, builds a disk from a real NBD server."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DISK_BYTES = 16 << 20


def code_block(language: str) -> str:
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    found = re.search(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert found, f"docs/plugins.md has no {language} block"
    return found[1]


@pytest.fixture
def nbd_server(tmp_path: Path) -> Iterator[str]:
    """A read-only NBD export of a raw disk on a loopback port."""
    disk = tmp_path / "export.raw"
    disk.write_bytes(os.urandom(1 << 20) + bytes(DISK_BYTES - (1 << 20)))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    argv = [
        "qemu-nbd",
        "--read-only",
        "--persistent",
        "-f",
        "raw",
        "-b",
        "127.0.0.1",
        "-p",
        str(port),
        "-x",
        "disk",
        str(disk),
    ]
    server = subprocess.Popen(argv)
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"nbd://127.0.0.1:{port}/disk"
    finally:
        server.terminate()
        server.wait(10)


def install_plugin(folder: Path) -> Path:
    """Lay the plug-in out as an installed distribution: a module and its metadata, as pip does."""
    site = folder / "site"
    info = site / "ov_nbd-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "ov_nbd.py").write_text(code_block("python"), encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ov-nbd\nVersion: 1.0\n", encoding="utf-8")
    entry = code_block("toml").replace('[project.entry-points."ovtasks.sources"]', "[ovtasks.sources]")
    (info / "entry_points.txt").write_text(entry.replace('"', ""), encoding="utf-8")
    return site


def test_plugin_is_under_60_lines() -> None:
    assert len(code_block("python").splitlines()) < 60


def test_third_party_source_builds_and_is_incremental(tmp_path: Path, nbd_server: str) -> None:
    site = install_plugin(tmp_path)
    project = tmp_path / "project"
    project.mkdir()
    vms = code_block("yaml").replace("nbd://127.0.0.1:10809/disk", nbd_server)
    (project / "vms.yml").write_text(vms, encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": f"{site}:{ROOT}", "XDG_DATA_HOME": str(tmp_path / "data")}

    def ov(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-c", "import sys; from ovtasks.cli import main; sys.exit(main())", *words]
        return subprocess.run(argv, cwd=project, env=env, capture_output=True, text=True, timeout=120, check=False)

    built = ov("vm", "build", "box")
    assert built.returncode == 0, built.stderr
    assert built.stdout.splitlines() == ["output/box/qcow2/disk.qcow2", "output/box/qcow2/seed.iso"]
    info = json.loads(
        subprocess.check_output(
            ["qemu-img", "info", "--output=json", project / "output/box/qcow2/disk.qcow2"], text=True
        )
    )
    assert info["virtual-size"] == 1 << 30
    assert info["backing-filename"].startswith("../base-")
    again = ov("vm", "build", "box")
    assert again.returncode == 0 and "nothing to do" in again.stderr

    (project / "vms.yml").write_text(vms.replace("size: 16777216", "sise: 16777216"), encoding="utf-8")
    wrong = ov("vm", "build", "box")
    assert wrong.returncode == 2
    assert "vms.yml:3:" in wrong.stderr and "sise" in wrong.stderr and "did you mean" in wrong.stderr
