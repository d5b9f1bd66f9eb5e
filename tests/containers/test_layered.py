"""The layers of the showcase in a container image: ``base:`` and ``layers:`` of ``image.yml``, by the real podman."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.containers.podman import Podman
from tests.support.server import serve
from tests.support.showcase import edit_service, site_of, write_layers
from tests.support.systemd import USER, debian_tar
from tests.support.workbench import Workbench, new_bench

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.xdist_group("systemd")]

BASE = "localhost/debian:1"
IMAGE = {"base": BASE, "layers": ["services"], "user": USER}


@pytest.fixture
def bench(tmp_path: Path, podman: Podman, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A project whose image ``x`` has the layers, and podman has the base."""
    podman("import", debian_tar(tmp_path_factory.getbasetemp()), BASE)
    bench = new_bench(tmp_path / "project", podman.env, vms="vms: {}\n")
    with serve(site_of(tmp_path)) as site:
        write_layers(bench.root, site.url, site.url.partition("//")[2], site)
        declare(bench, IMAGE)
        yield bench


def declare(bench: Workbench, image: Mapping[str, object]) -> None:
    (bench.root / "image.yml").write_text(json.dumps({"image": {"x": image}}))


def inside(podman: Podman, script: str) -> str:
    """What a script says in a container of the image."""
    return podman("run", "--rm", "localhost/x", "sh", "-euc", script)


def test_layers_in_an_image(bench: Workbench, podman: Podman) -> None:
    first = bench.ov("image", "build", "x").stdout
    said = inside(
        podman,
        f"cat /opt/ov-hello /etc/ov-hello.conf /home/{USER}/said /etc/motd; stat -c %a:%U /etc/motd "
        f"/home/{USER}/.config/deep/below /home/{USER}/.config/deep/settings; /home/{USER}/.npm-global/bin/left; "
        "systemctl is-enabled ov-services-sleeper; ls /opt/tool; grep OV_BASE /etc/environment; "
        "ls -A /run/ovtasks* 2>/dev/null || :",
    )
    assert said.splitlines() == [
        *("1ov-hello 1", "the tool here and now", "made by layers", "640:root", f"700:{USER}", f"644:{USER}"),
        *("enabled", "README", "tool", "OV_BASE='here and now'"),
    ]
    again = bench.ov("image", "build", "x")
    assert again.stdout == first and "nothing to do" in again.stderr
    (bench.root / "layers/tools/layer.yml").write_text("# why\n" + (bench.root / "layers/tools/layer.yml").read_text())
    assert "nothing to do" in bench.ov("image", "build", "x").stderr
    edit_service(bench.root, 1000002)
    assert "content.services: " in bench.ov("why", "image:x").stdout
    assert bench.ov("image", "build", "x").stdout != first
    log = next((bench.root / "output/.ov/log").glob("image*")).read_text()
    assert log.count("Using cache") == 3 and "ovtasks: doing service ov-services-sleeper.service" in log
    assert inside(podman, "grep -c 1000002 /etc/systemd/system/ov-services-sleeper.service") == "1"


def test_mistakes(bench: Workbench) -> None:
    declare(bench, {**IMAGE, "layers": ["srvices"]})
    done = bench.ov("image", "build", "x", code=2)
    assert "there is no layer 'srvices'" in done.stderr and "did you mean 'services'?" in done.stderr
    declare(bench, {**IMAGE, "user": "nobodyhere"})
    done = bench.ov("image", "build", "x", code=1)
    assert "nobodyhere" in done.stderr and "must be one of its accounts" in done.stderr
    folder = bench.root / "layers/only"
    folder.mkdir()
    (folder / "layer.yml").write_text("distros: {fedora: {packages: [x]}}\ntasks:\n- cmd: echo out; exit 3\n")
    declare(bench, {**IMAGE, "layers": ["only"]})
    done = bench.ov("image", "build", "x", code=2)
    assert "layers/only/layer.yml:1:" in done.stderr and "skip_incompatible: true" in done.stderr
    declare(bench, {**IMAGE, "layers": ["only"], "skip_incompatible": True})
    done = bench.ov("image", "build", "x", code=1)
    assert "left out" in done.stderr and "out" in done.stderr and "failed" in done.stderr
