"""The plugin of docs/plugins.md, installed as a package of its own, builds a disk from a real NBD server."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.processes import serve
from tests.support.programs import Ended, attempt, qemu_img

pytestmark = pytest.mark.slow

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
    server = serve(*argv)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"nbd://127.0.0.1:{port}/disk"
    finally:
        server.terminate()
        server.wait(60)


def install_plugin(folder: Path) -> Path:
    """Lay the plugin out as an installed distribution: a module and its metadata, as pip does."""
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


@dataclass
class Stranger:
    """A project with a VM of the plugin, and the plugin installed. ``bin``: all of PATH, where it is given."""

    project: Path
    site: Path

    @property
    def vms(self) -> Path:
        return self.project / "vms.yml"

    def python(self, *words: str, **env: str) -> Ended:
        env = {"PYTHONPATH": f"{self.site}:{ROOT}", "XDG_DATA_HOME": str(self.project.parent / "data"), **env}
        return attempt(sys.executable, *words, cwd=self.project, env={**os.environ, **env}, timeout=120)

    def ov(self, *words: str) -> Ended:
        return self.python("-c", "import sys; from ovtasks.cli import main; sys.exit(main())", *words)

    def doit(self, *words: str) -> Ended:
        return self.python("-c", "import sys; from ovtasks.cli import doit; sys.exit(doit())", *words)


@pytest.fixture
def stranger(tmp_path: Path) -> Stranger:
    site = install_plugin(tmp_path)
    project = tmp_path / "project"
    project.mkdir()
    (project / "vms.yml").write_text(code_block("yaml"), encoding="utf-8")
    (project / "pyproject.toml").write_text('[tool.doit]\nloader = "ovtasks"\n', encoding="utf-8")
    return Stranger(project, site)


def test_third_party_source_builds_and_is_incremental(stranger: Stranger, nbd_server: str) -> None:
    project, ov = stranger.project, stranger.ov
    vms = stranger.vms.read_text(encoding="utf-8").replace("nbd://127.0.0.1:10809/disk", nbd_server)
    stranger.vms.write_text(vms, encoding="utf-8")
    built = ov("vm", "build", "box")
    assert built.returncode == 0, built.stderr
    assert built.stdout.splitlines() == ["output/box/qcow2/disk.qcow2", "output/box/qcow2/seed.iso"]
    info = json.loads(qemu_img("info", "--output=json", project / "output/box/qcow2/disk.qcow2").stdout)
    assert info["virtual-size"] == 1 << 30
    assert info["backing-filename"].startswith("../base-")
    again = ov("vm", "build", "box")
    assert again.returncode == 0 and "nothing to do" in again.stderr

    asked = json.loads(ov("why", "pull:box", "--export", "spare", "--json").stdout)
    assert asked["inputs"]["export"] == "spare"
    assert "NBD export: disk → spare" in ov("why", "pull:box", "--export", "spare").stdout
    for refused in (ov("vm", "build", "box", "--export", "spare"), stranger.doit("build:box", "--export=spare")):
        assert refused.returncode != 0
        said = refused.stdout + refused.stderr
        assert "vms.yml:2:3: nbd://" in said and "has no export spare\n  hint: it has disk" in said, said

    stranger.vms.write_text(vms.replace("size: 16777216", "sise: 16777216"), encoding="utf-8")
    wrong = ov("vm", "build", "box")
    assert wrong.returncode == 2
    assert "vms.yml:3:" in wrong.stderr and "sise" in wrong.stderr and "did you mean" in wrong.stderr


def test_its_option_is_everywhere_and_of_no_use_to_others(stranger: Stranger) -> None:
    text = "--export EXPORT"
    for words in (("vm", "build"), ("plan",), ("why",)):
        shown = stranger.ov(*words, "--help").stdout
        assert text in shown and "another export than the one in source.uri" in shown
    assert "--export=ARG" in stranger.doit("help", "build:box").stdout
    stranger.vms.write_text("vms: {web: {source: {kind: cloud_image, url: /x.qcow2}}}", encoding="utf-8")
    refused = stranger.ov("plan", "web", "--export", "disk")
    assert refused.returncode == 2
    assert "--export has no meaning for web, whose source is cloud_image\n  hint: leave --export out" in refused.stderr


@pytest.mark.parametrize(("installed", "line"), [((), "missing qemu-utils qemu-nbd"), (("qemu-nbd",), "found ")])
def test_its_program_is_named_when_it_is_missing(
    stranger: Stranger, tmp_path: Path, installed: tuple[str, ...], line: str
) -> None:
    bin = tmp_path / "bin"
    bin.mkdir()
    for program in ("qemu-img", *installed):
        (bin / program).symlink_to("/bin/true")
    for goal in ("build:box", "pull", "disk:box"):
        needs = stranger.python("-m", "ovtasks.cli.needs", "--manager", "apt-get", "--", goal, PATH=str(bin)).stdout
        assert f"found {bin}/qemu-img" in needs.splitlines()
        assert next(found for found in needs.splitlines() if "qemu-nbd" in found).startswith(line)
    look = (
        "from pathlib import Path; from ovtasks.cli.doctor import source_checks\n"
        "from ovtasks.host import packages; packages.os_release = lambda: {'ID': 'fedora'}\n"
        "for finding in (check.look(Path()) for check in source_checks() if check.name == 'source nbd'):\n"
        "    print(finding.state, finding.detail, finding.hint, sep='|')"
    )
    state, detail, hint = stranger.python("-c", look, PATH=str(bin)).stdout.strip().split("|")
    if installed:
        assert (state, detail) == ("ok", "all programs are here: qemu-img, qemu-nbd")
    else:
        assert (state, hint) == ("missing", "dnf install qemu-img")
        assert detail == "qemu-nbd is not installed; only VMs of source.kind nbd need that"


def test_the_public_face_loads_nothing_heavy(stranger: Stranger) -> None:
    heavy = {"doit", "requests", "paramiko", "libvirt", "pycdlib", "jsonschema", "yaml", "rich", "cryptography"}
    heavy |= {"zstandard"}
    done = stranger.python("-c", f"import sys, ovtasks.plugin; print({heavy} & {{*sys.modules}})")
    assert done.stdout == "set()\n", done.stdout + done.stderr
    assert len((ROOT / "ovtasks/plugin.py").read_text(encoding="utf-8").splitlines()) <= 40
