"""Images in files: what a path means, and when it is another image."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.containers.transports import archive
from ovtasks.errors import InputError, Where

WHERE = Where("vms.yml", 3, 5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "os.tar").write_bytes(b"archive")
    (tmp_path / "layout").mkdir()
    (tmp_path / "layout" / "index.json").write_text("{}", encoding="utf-8")
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "manifest.json").write_text("{}", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("transport", "image", "reference"),
    [
        ("oci-archive", "os.tar", "oci-archive:{0}/os.tar"),
        ("docker-archive", "./os.tar", "docker-archive:{0}/os.tar"),
        ("docker-archive", "os.tar:localhost/os:v2", None),
        ("oci-archive", "os.tar:v2", "oci-archive:{0}/os.tar:v2"),
        ("oci", "layout", "oci:{0}/layout"),
        ("oci", "layout:latest", "oci:{0}/layout:latest"),
        ("dir", "plain", "dir:{0}/plain"),
    ],
)
def test_files_as_podman_takes_them(folder: Path, transport: str, image: str, reference: str | None) -> None:
    if reference is None:
        with pytest.raises(InputError):
            archive(transport, image, folder, WHERE)
    else:
        assert archive(transport, image, folder, WHERE).reference == reference.format(folder)


@pytest.mark.parametrize(
    ("transport", "image", "message", "hint"),
    [
        ("oci-archive", "gone.tar", "gone.tar is not there", "takes a file"),
        ("oci", "os.tar", "os.tar is not a valid oci image", "a folder with index.json"),
        ("dir", "layout", "layout is not a valid dir image", "a folder with manifest.json"),
        ("dir", "plain:tag", "plain:tag is not there", "podman save"),
    ],
)
def test_what_is_no_image_says_what_is_wanted(
    folder: Path, transport: str, image: str, message: str, hint: str
) -> None:
    with pytest.raises(InputError) as caught:
        archive(transport, image, folder, WHERE)
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")
    assert caught.value.where == WHERE


def test_another_content_is_another_signature(folder: Path) -> None:
    layout = archive("oci", "layout", folder, WHERE)
    before = layout.signature()
    (folder / "layout" / "index.json").touch()
    assert layout.signature() == before
    (folder / "layout" / "index.json").write_text("{ }", encoding="utf-8")
    assert layout.signature() != before
