"""What a deployment says about an instance arrives in its machine and its disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest

from ovtasks.backends.contract import Backend, Capabilities
from ovtasks.errors import InputError
from ovtasks.instance.assemble import assemble
from ovtasks.instance.disk import make_disk
from ovtasks.instance.folder import Folder
from ovtasks.instance.record import new_record
from ovtasks.machine.machine import Machine
from ovtasks.machine.xml.domain import domain_xml
from ovtasks.project.load import load_project
from ovtasks.values.sizes import GiB
from tests.support.machines import HOST
from tests.support.programs import qemu_img
from tests.support.projects import CLOUD, write


class Able:
    """A backend that can do everything."""

    def capabilities(self, arch: str, machine: str, uri: str | None = None) -> Capabilities:
        return Capabilities(("tcg",))


def assembled(folder: Path, instance: str | None) -> Machine:
    vm = load_project(folder, cache=False).vms["web"]
    return assemble(vm, new_record("web", instance, folder, "qemu", None, None), cast(Backend, Able()), (), ())


def test_size_and_flags_of_the_instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    write(tmp_path, f"vms: {{web: {{source: {CLOUD}, ram: 2G, cpus: 1}}}}\n")
    web = "web-vm: {target: vm, cpus: 3, ram: 1G, disposable: true, lifecycle: dev}"
    write(tmp_path, f"deploy: {{{web}, 'vm:web/big': {{ram: 3G, disposable: false}}}}\n", "deploy.yml")
    first, big, other = (assembled(tmp_path, instance) for instance in (None, "big", "other"))
    assert (first.cpus, first.ram, first.disposable, first.lifecycle) == (3, GiB, True, "dev")
    assert (big.cpus, big.ram, big.disposable, big.lifecycle) == (1, 3 * GiB, False, None)
    assert (other.cpus, other.ram, other.disposable, other.lifecycle) == (1, 2 * GiB, None, None)
    assert 'disposable="true" lifecycle="dev"' in domain_xml(first, HOST)


def test_size_of_the_disk(tmp_path: Path) -> None:
    built = tmp_path / "output" / "disk.qcow2"
    built.parent.mkdir()
    qemu_img("create", "-q", "-f", "qcow2", built, "16M")
    folder = Folder(tmp_path / "instance")
    folder.path.mkdir()
    make_disk(folder, built, 32 << 20)
    assert json.loads(qemu_img("info", "--output=json", folder.disk).stdout)["virtual-size"] == 32 << 20
    with pytest.raises(InputError, match="disk_size 8M is smaller than the built disk") as caught:
        make_disk(folder, built, 8 << 20)
    assert "at least 16M" in (caught.value.hint or "")
