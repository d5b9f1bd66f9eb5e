"""What several tests of this room share."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from ovtasks.errors import OvError
from ovtasks.host.firmware import Files, find
from ovtasks.values.firmware import Firmware
from ovtasks.values.jsonvalue import Json

INSECURE, SECURE = Firmware.UEFI_INSECURE, Firmware.UEFI_SECURE
SECURE_FEATURES = ["enrolled-keys", "requires-smm", "secure-boot"]


class Host:
    """A host of files: three folders of descriptors, and a root for the tables."""

    def __init__(self, base: Path) -> None:
        self.root = base / "root"
        self.folders = [base / "user", base / "etc", base / "usr"]
        self.images = base / "images"
        for folder in (self.root, self.images, *self.folders):
            folder.mkdir()

    def pair(self, name: str) -> tuple[str, str]:
        """A code and a template that exist."""
        files = [self.images / f"{name}_{part}.fd" for part in ("CODE", "VARS")]
        for file in files:
            file.write_text(file.name)
        return str(files[0]), str(files[1])

    def files(self, name: str) -> Files:
        code, template = self.pair(name)
        return Files(Path(code), Path(template))

    def describe(
        self,
        name: str,
        *,
        folder: int = 2,
        arch: str = "x86_64",
        machines: tuple[str, ...] = ("pc-q35-*",),
        features: tuple[str, ...] | list[str] = (),
        image: str | None = None,
        change: Mapping[str, Json] | None = None,
        **mapping: Json,
    ) -> Path:
        """Write a descriptor; ``change`` replaces top-level members, ``mapping`` those of the mapping."""
        code, template = self.pair(image or name)
        data: dict[str, Json] = {
            "description": name,
            "interface-types": ["uefi"],
            "mapping": {
                "device": "flash",
                "executable": {"filename": code, "format": "raw"},
                "nvram-template": {"filename": template, "format": "raw"},
                **{key.replace("_", "-"): value for key, value in mapping.items()},
            },
            "targets": [{"architecture": arch, "machines": list(machines)}],
            "features": list(features),
            "tags": [],
            **(change or {}),
        }
        path = self.folders[folder] / f"{name}.json"
        path.write_text(json.dumps(data))
        return path

    def install(self, *names: str) -> None:
        """Files below /usr/share."""
        for name in names:
            path = self.root / "usr/share" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)

    def found(self, firmware: Firmware = INSECURE, arch: str = "x86_64", machine: str = "q35", **more: str) -> Files:
        files = find(firmware, arch, machine, self.folders, root=self.root, family=more.get("family", "debian"))
        assert files is not None
        return files

    def name(self, firmware: Firmware = INSECURE, arch: str = "x86_64", machine: str = "q35") -> str:
        """The name of the descriptor that was chosen."""
        descriptor = self.found(firmware, arch, machine).descriptor
        assert descriptor is not None
        return descriptor.stem

    def nothing(self, firmware: Firmware = INSECURE, arch: str = "x86_64", machine: str = "q35") -> None:
        with pytest.raises(OvError, match=f"no {firmware} firmware for {arch} machines is installed"):
            self.found(firmware, arch, machine)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first folder of PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
