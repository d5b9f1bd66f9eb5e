"""Images seen from the command line: what a build says and keeps when its image cannot be had."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ovtasks.errors import EXIT_FAILED, EXIT_INPUT
from ovtasks.images.store import Store
from tests.images.conftest import NAME
from tests.support.programs import qemu_img
from tests.support.server import Site, serve
from tests.support.workbench import Workbench, ran

pytestmark = pytest.mark.slow  # many runs of whole programs


def vm(url: str, checksum: dict[str, str] | None = None, **source: str) -> dict[str, Any]:
    image = {"kind": "cloud_image", "url": url, "checksum": checksum or {"type": "none"}, **source}
    return {"source": image, "disk_size": "1G", "ssh": {"key_source": "none"}}


def images(root: Path) -> list[str]:
    return [entry.sha256 for entry in Store(root).entries()]


def test_offline_after_the_first_build(bench: Workbench, image: bytes, sha256: str, tmp_path: Path) -> None:
    with serve(Site({f"/{NAME}": image})) as site:
        bench.write({"a": vm(f"{site.url}/{NAME}")})
        said = bench.ov("vm", "build").stderr
    assert "nothing was verified: checksum.type is none" in said
    assert "nothing to do" in bench.ov("vm", "build").stderr
    bench.write({"a": {**vm(f"{site.url}/{NAME}"), "disk_size": "2G"}, "b": vm(f"{site.url}/{NAME}")})
    assert {name.partition(":")[0] for name in ran(bench.ov("vm", "build").stderr)} == {"disk", "seed"}
    shutil.rmtree(bench.root / "output")
    bench.ov("vm", "build")
    shutil.rmtree(tmp_path / "xdg" / "cache")
    assert "nothing to do" in bench.ov("vm", "build").stderr, "output/ needs no cache"
    qemu_img("check", "-q", bench.root / "output/a/qcow2/disk.qcow2")


def test_cache_of_a_vm(bench: Workbench, site: Site, sha256: str, tmp_path: Path) -> None:
    bench.write({"a": vm(f"{site.url}/{NAME}", cache=str(tmp_path / "own"))})
    bench.ov("vm", "build")
    assert images(tmp_path / "own") == [sha256]
    assert not (tmp_path / "xdg/cache/ov/images/sha256").exists()


def test_errors_and_the_way_back(bench: Workbench, site: Site, sha256: str, tmp_path: Path) -> None:
    url = f"{site.url}/{NAME}"
    bench.write({"a": vm(f"{site.url}/none.qcow2")})
    gone = bench.ov("vm", "build", code=EXIT_FAILED)
    assert "404" in gone.stderr and "hint: there is no such file" in gone.stderr and "Traceback" not in gone.stderr
    assert gone.stdout == ""
    bench.write({"a": vm(str(tmp_path))})
    assert "is a directory, not an image" in bench.ov("vm", "build", code=EXIT_INPUT).stderr
    bench.write({"a": vm(url, {"type": "sha256"})})
    assert "no checksum found for" in bench.ov("vm", "build", code=EXIT_INPUT).stderr
    bench.write({"a": vm(url, {"type": "sha256", "value": "a" * 64})})
    wrong = bench.ov("vm", "build", code=EXIT_FAILED).stderr
    assert "a" * 64 in wrong and sha256 in wrong and "the bad file was removed" in wrong
    assert images(tmp_path / "xdg/cache/ov/images") == [] and bench.leftovers() == []
    bench.write({"a": vm(url, {"type": "sha256", "value": sha256})})
    bench.ov("vm", "build")
    assert images(tmp_path / "xdg/cache/ov/images") == [sha256] and bench.leftovers() == []


def test_proxy_of_the_environment(bench: Workbench, site: Site) -> None:
    bench.env = {"http_proxy": site.url, "no_proxy": ""}
    bench.write({"a": vm(f"http://images.invalid/{NAME}")})
    bench.ov("vm", "build")
    assert site.gets(f"/{NAME}")


def test_missing_qemu_img_names_its_package_and_wastes_no_download(
    bench: Workbench, site: Site, tmp_path: Path
) -> None:
    bench.write({"a": vm(f"{site.url}/{NAME}")})
    empty = tmp_path / "bin"
    empty.mkdir()
    for program in ("prlimit", "setpriv"):
        found = shutil.which(program)
        assert found, f"{program} is needed: package util-linux"
        (empty / program).symlink_to(found)
    bench.env = {"PATH": str(empty)}
    if any((Path(folder) / "qemu-img").exists() for folder in ("/usr/sbin", "/sbin")):
        pytest.fail("qemu-img lies in a system directory: this test cannot hide it")
    said = bench.ov("vm", "build", code=EXIT_FAILED).stderr
    assert "qemu-img is not installed" in said and "qemu" in said.partition("hint:")[2]
    bench.env = {"PATH": os.environ["PATH"]}
    bench.ov("vm", "build")
    assert len(site.gets(f"/{NAME}")) == 1
