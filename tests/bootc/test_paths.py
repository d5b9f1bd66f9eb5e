"""A project whose path has what podman's options are taken apart at: colons, commas, blanks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bootc.bench import Bench, bootc_vm, make_bench
from tests.bootc.leftovers import Before
from tests.bootc.room import Room
from tests.bootc.test_faults import PATIENCE, builds_cleanly, kill, paused_build
from tests.support.workbench import ran

pytestmark = pytest.mark.slow


@pytest.fixture
def bench(room: Room, clean: Before, tmp_path: Path) -> Bench:
    bench = make_bench(tmp_path / "a:b, c=d" / "project", room)
    bench.write_image("os", "COPY mark /etc/mark", "RUN grep 1 /etc/mark")
    (bench.root / "os" / "mark").write_text("1")
    bench.write({"web": bootc_vm("os")})
    return bench


def test_built_killed_and_built(bench: Bench, clean: Before) -> None:
    process = paused_build(bench)
    kill(bench.room, "ov")
    process.wait(PATIENCE)
    assert any("container" in what for what in clean.leftovers())
    builds_cleanly(bench)


@pytest.mark.parametrize(("transport", "option"), [("oci", "oci-dir"), ("oci-archive", ""), ("dir", "docker-dir")])
def test_image_in_a_file(bench: Bench, tmp_path: Path, transport: str, option: str) -> None:
    """It is loaded, and found to have no bootc; its path becomes no name of an image."""
    archive = bench.root / "Os"
    bench.room.podman("save", "--quiet", "--format", option or transport, "--output", tmp_path / "os", "localhost/root")
    (tmp_path / "os").rename(archive)
    names = bench.room.podman("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    bench.write({"web": bootc_vm("Os")})
    said = bench.ov("vm", "build", "web", "--transport", transport, code=2).stderr
    assert [step.partition(":")[0] for step in ran(said)] == ["image", "install"], said
    assert "has no bootc" in said
    new = {*bench.room.podman("images", "--format", "{{.Repository}}:{{.Tag}}").split()} - {*names}
    assert [name for name in new if not name.startswith("localhost/ovtasks/archive:")] == []
    assert not any((bench.root / "output/.ov/podman").iterdir())
