"""Image IDs from the storage's own files: names as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.containers.engine import own
from ovtasks.containers.storage import find
from ovtasks.errors import OvError
from ovtasks.host.progress import SilentProgress
from ovtasks.sources.bootc.install import bring
from tests.containers.podman import Podman

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
DIGEST = "sha256:" + "d" * 64
IMAGES = (
    (A, "sha256:" + "1" * 64, ("localhost/os:latest", "localhost/os:v2")),
    (B, DIGEST, ("quay.io/fedora/fedora-bootc:42", "docker.io/library/debian:latest")),
    (C, "sha256:" + "3" * 64, ("registry.example.org:5000/team/os:latest",)),
)


@pytest.mark.parametrize(
    ("reference", "image"),
    [
        ("localhost/os", A),
        ("os", A),
        ("os:v2", A),
        ("localhost/os:v3", None),
        ("quay.io/fedora/fedora-bootc:42", B),
        ("quay.io/fedora/fedora-bootc", None),
        ("debian", B),
        ("registry.example.org:5000/team/os", C),
        (f"quay.io/fedora/fedora-bootc@{DIGEST}", B),
        (f"quay.io/other@{DIGEST}", None),
        ("quay.io/fedora/fedora-bootc@sha256:" + "9" * 64, None),
        (A, A),
        (f"sha256:{C}", C),
        (B[:12], B),
        (B[:11], None),
        ("fedora-bootc:42", None),
    ],
)
def test_a_name_means_what_podman_means(reference: str, image: str | None) -> None:
    assert find(IMAGES, reference) == image


@pytest.mark.root
def test_an_image_that_somebody_replaced_is_not_installed(
    podman: Podman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name would lead to another one than the step before brought."""
    for variable, value in podman.env.items():
        monkeypatch.setenv(variable, value)
    (tmp_path / "Containerfile").write_text("FROM scratch\nLABEL a=1\n")
    podman("build", "--quiet", "--tag", "localhost/os", tmp_path)
    image_id = podman("image", "inspect", "--format", "{{.Id}}", "localhost/os")
    bring(own(), "localhost/os:latest", image_id, tmp_path / "state", SilentProgress())
    for name, problem in (("localhost/os:latest", "another image now"), ("localhost/gone:latest", "gone")):
        with pytest.raises(OvError, match=problem):
            bring(own(), name, "0" * 64, tmp_path / "state", SilentProgress())
