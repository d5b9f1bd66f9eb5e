"""The wheel that is made of the installation that runs."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import io
import zipfile
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

from ovtasks.deploy import own_wheel as module
from ovtasks.deploy.ov_program import program_plan
from ovtasks.deploy.own_wheel import own_files, own_wheel
from ovtasks.errors import OvError, Where
from ovtasks.project.model import CloudInit, Source, VmSpec


def test_the_record_has_every_file_and_the_wheel_is_always_the_same() -> None:
    wheel = own_wheel()
    content = wheel.content()
    assert content == own_wheel().content() and wheel.name.endswith("-py3-none-any.whl") and wheel.python == (3, 11)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        (record,) = (name for name in names if name.endswith(".dist-info/RECORD"))
        lines = dict(line.split(",", 1) for line in archive.read(record).decode().splitlines())
        assert [*lines] == names and lines[record] == ","
        for name in names[:-1]:
            data = archive.read(name)
            expected = urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert lines[name] == f"sha256={expected},{len(data)}"
    assert not [name for name in names if "__pycache__" in name] and len(names) > 300


def test_a_package_that_nobody_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(OvError, match="it is not installed"):
        own_wheel()


def test_another_file_makes_another_digest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = own_wheel().digest
    (tmp_path / "x.py").write_text("")
    monkeypatch.setattr(module, "own_files", lambda: [*own_files(), ("ovtasks/x.py", tmp_path / "x.py")])
    assert own_wheel().digest != before
    monkeypatch.setattr(module, "own_files", lambda: [("ovtasks/y.py", tmp_path / "y.py")])
    with pytest.raises(OvError, match=r"y\.py cannot be read: No such file"):
        own_wheel()


def test_what_pip_is_told_is_part_of_the_step_and_hidden() -> None:
    block = CloudInit()
    vm = VmSpec("web", Source("cloud_image", {}), Where("vms.yml"), cloud_init=block)
    assert program_plan(vm, {}, ()) is None  # not written
    vm = dataclasses.replace(vm, declared={"cloud_init": {"ov_install": {}}})
    plain, told = program_plan(vm, {"EDITOR": "vi"}, ()), program_plan(vm, {"PIP_INDEX_URL": "https://u:p@i/"}, ())
    assert plain is not None and told is not None and plain.digest != told.digest
    (open_step,), (hidden,) = plain.operations, told.operations
    assert "EDITOR" not in open_step.do and not open_step.secret and hidden.secret
    assert "export PIP_INDEX_URL=https://u:p@i/\n" in hidden.do and "u:p" not in hidden.undo + hidden.look + hidden.save
