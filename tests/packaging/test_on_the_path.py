"""The package found on the path and not installed: no entry point tells doit, or us, what is in it."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.support.checkout import ROOT, environment, run
from tests.support.programs import Ended

pytestmark = pytest.mark.slow

OV = "import sys; from ovtasks.cli import main; sys.exit(main())"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """All that is installed here, but for ovtasks."""
    folder = tmp_path / "site"
    folder.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "ovtasks" not in path.name and path.suffix != ".pth":
            (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    run("qemu-img", "create", "-q", "-f", "qcow2", tmp_path / "tiny.qcow2", "64M", cwd=tmp_path, check=True)
    source = f"{{kind: cloud_image, url: {tmp_path}/tiny.qcow2, checksum: {{type: none}}}}"
    vm = f"{{source: {source}, ssh: {{key_source: none}}}}"
    (folder / "vms.yml").write_text(f"vms: {{web: {vm}}}\n", encoding="utf-8")
    (folder / "image.yml").write_text("images: {desktop: {ref: 'quay.io/example/os:1'}}\n", encoding="utf-8")
    (folder / "dodo.py").write_text("from ovtasks import load_tasks\nload_tasks(globals())\n", encoding="utf-8")
    return folder


def test_sources_images_verbs_and_backends_are_found(site: Path, project: Path) -> None:
    def python(*words: str) -> Ended:
        homes = {name: str(project.parent / name) for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME")}
        env = environment(PYTHONPATH=f"{site}{os.pathsep}{ROOT}", **homes)
        return run(sys.executable, "-S", *words, cwd=project, env=env)

    absent = python("-c", "from importlib.metadata import distribution; distribution('ovtasks')")
    assert "PackageNotFoundError" in absent.stderr
    listed = {line.split()[0] for line in python("-m", "doit", "list", "--all").stdout.splitlines()}
    assert {"build:web", "disk:web", "image:desktop", "create:web"} <= listed
    built = python("-c", OV, "vm", "build", "web")
    assert built.returncode == 0, built.stderr
    assert built.stdout.splitlines() == ["output/web/qcow2/disk.qcow2", "output/web/qcow2/seed.iso"]
    again = python("-m", "doit", "build:web")
    assert again.returncode == 0, again.stderr
    assert {line.split()[0] for line in again.stdout.splitlines()} == {"--"}, "nothing runs again"
    shown = python("-c", OV, "vm", "argv", "web")
    assert shown.returncode == 0 and "qemu-system" in shown.stdout, shown.stderr
