"""What README.md says about container images: its commands, with a small image in place of Fedora's."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.containers.podman import Podman
from tests.containers.registry import Registry
from tests.containers.test_steps import a_command
from tests.support.checkout import run
from tests.support.readme import blocks
from tests.support.workbench import Workbench


def a_base(folder: Path) -> Path:
    """A context from which ``RUN echo`` can be built."""
    a_command(folder, "sh")
    shell = folder / "bin" / "sh"
    if not shell.exists():
        shell.parent.mkdir(exist_ok=True)
        shell.symlink_to(shutil.which("sh") or "")
    (folder / "etc").mkdir(exist_ok=True)
    (folder / "Containerfile").write_text("FROM scratch\nCOPY . /\nLABEL containers.bootc=1\n")
    return folder


@pytest.mark.slow
def test_commands(bench: Workbench, podman: Podman, registry: Registry, tmp_path: Path) -> None:
    """The registry of the base image is another one here; everything else is as shown."""
    (bench.root / "image.yml").write_text(blocks("yaml", "images")[0])
    (bench.root / "vms.yml").write_text(blocks("yaml", "bootc")[0])
    text = blocks("dockerfile", "bootc")[0]
    (bench.root / "Containerfile").write_text(text)
    host, _, name = text.splitlines()[0].removeprefix("FROM ").partition("/")
    podman("build", "--quiet", "--tag", "localhost/base", a_base(tmp_path / "base"))
    registry.push(podman, "localhost/base", name)
    podman("rmi", "--force", "localhost/base")
    where = f'[[registry]]\nprefix = "{host}"\nlocation = "{registry.host}"\ninsecure = true\n'
    (podman.root / "registries.conf").write_text(where)
    (script,) = blocks("sh", "images")
    env = {**os.environ, **bench.env, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = run("bash", "-euxc", script, cwd=bench.root, env=env)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.count("localhost/desktop:latest sha256:") == 2
    assert f"/v2/{name.replace(':', '/manifests/')}" in registry.asked
