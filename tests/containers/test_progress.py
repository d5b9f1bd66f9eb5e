"""How far a build or a pull is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ovtasks.containers.builder import Workshop, percent
from ovtasks.containers.engine import own
from ovtasks.containers.storage import storage
from tests.containers.podman import Podman
from tests.containers.registry import Registry

pytestmark = pytest.mark.slow  # podman is started


@pytest.mark.parametrize(
    ("line", "done"),
    [
        ("STEP 1/4: FROM a", 0),
        ("STEP 3/4: RUN x", 50),
        ("[1/2] STEP 2/2: RUN x", 25),
        ("[2/2] STEP 3/4: COPY x /", 75),
        ("--> Using cache", None),
        ("echo STEP 1/2:", None),
    ],
)
def test_how_far_a_build_is(line: str, done: int | None) -> None:
    assert percent(line) == done


class Meter:
    """Keeps what a worker says."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def note(self, text: str) -> None:
        """Nothing is asked of it here."""

    def update(self, done: int, total: int | None, unit: str = "B") -> None:
        self.counts.append(done)


def test_a_pull_counts_bytes(
    podman: Podman, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in podman.env.items():
        monkeypatch.setenv(variable, value)
    size = 1 << 20
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "noise").write_bytes(os.urandom(size))
    (tmp_path / "files" / "Containerfile").write_text("FROM scratch\nCOPY noise /\n")
    podman("build", "--quiet", "--tag", "localhost/base", tmp_path / "files")
    registry.push(podman, "localhost/base", "a/b:1")
    podman("rmi", "localhost/base")
    registry.pace = 0.25
    meter = Meter()
    folder = tmp_path / "state" / "work"
    shop = Workshop(own(), storage(own(), tmp_path / "state"), folder, meter)
    shop.pull(f"{registry.host}/a/b:1", tls_verify=False)
    assert any(size // 10 < count for count in meter.counts)
    shop.done()
    assert not folder.exists()
