"""What a VM's firmware and TPM remember, kept beside a snapshot of its disk and brought back with it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from ovtasks.backends.contract import FirmwareState, backend
from ovtasks.host.files import part_name
from ovtasks.instance.folder import Folder
from ovtasks.instance.record import Record
from ovtasks.instance.saved_machine import load_machine

SUFFIX = ".state"


def state_folder(folder: Folder, file: str) -> Path:
    """Where the state lies that belongs to the held ``file``."""
    return folder.path / (file.removesuffix(".qcow2") + SUFFIX)


def keep_firmware(record: Record, file: str) -> None:
    """Copy NVRAM and TPM to the folder that belongs to ``file``. A VM that is not defined has none."""
    places = _places(record)
    if places is None:
        return
    kept = state_folder(record.folder, file)
    kept.mkdir(mode=0o700, exist_ok=True)
    for name, place in places.items():
        if place.is_dir():
            shutil.copytree(place, kept / name, symlinks=True, ignore=shutil.ignore_patterns(".lock"))
        elif place.exists():
            shutil.copy2(place, kept / name)


def bring_firmware_back(record: Record, file: str) -> None:
    """Make NVRAM and TPM what they were. The VM is off. Where nothing was kept they stay as they are."""
    kept = state_folder(record.folder, file)
    for name, place in ((_places(record) or {}) if kept.is_dir() else {}).items():
        source = kept / name
        if source.is_dir():
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            for old in place.iterdir():
                if not (source / old.name).exists() and old.name != ".lock":
                    old.unlink()
            for one in source.iterdir():
                _copy(one, place / one.name)
        elif source.exists():
            _copy(source, place)
        elif place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)


def drop_states(folder: Folder, wanted: set[str]) -> None:
    """Remove the state that belongs to no file of ``wanted``."""
    keep = {state_folder(folder, file) for file in wanted}
    for path in folder.path.glob(f"disk.*{SUFFIX}"):
        if path not in keep:
            shutil.rmtree(path)


def _copy(source: Path, target: Path) -> None:
    part = target.with_name(part_name(target.name))
    shutil.copy2(source, part)
    part.replace(target)


def _places(record: Record) -> Mapping[str, Path] | None:
    driver, machine = backend(record.backend), load_machine(record.folder.machine)
    if machine is None or not isinstance(driver, FirmwareState):
        return None
    return driver.firmware_state(record.handle, machine)
