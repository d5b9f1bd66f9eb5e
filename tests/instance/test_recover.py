"""A lost record: every backend that can recall a VM is asked, the plugins of other packages, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks import registry
from ovtasks.backends.contract import Recalled
from ovtasks.instance import recover
from ovtasks.instance.folder import Folder


class Forgetful:
    """A backend that cannot recall."""


class Foreign:
    """Another package's backend."""

    def recall(self, domain: str, directory: Path, uri: str | None) -> Recalled | None:
        return Recalled("a-uuid", mac="52:54:00:00:00:01") if domain == "ov-web" else None


@pytest.mark.parametrize(("name", "kind", "uuid"), [("ov-web", "foreign", "a-uuid"), ("ov-other", "qemu", None)])
def test_another_package_s_backend_is_asked(
    name: str, kind: str, uuid: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "names", lambda group: ("libvirt", "qemu", "foreign"))
    monkeypatch.setattr(recover, "backend", lambda kind: Foreign() if kind == "foreign" else Forgetful())
    folder = Folder(tmp_path / name)
    folder.make()
    folder.disk.write_bytes(b"disk")
    found = recover.rebuild(folder, None, None, tmp_path)
    assert found.backend == kind and (uuid is None or found.uuid == uuid)
