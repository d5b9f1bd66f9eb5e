"""ov update with layers in a guest: applied again and checked before the old VM goes; put back if one fails."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.deploy import update
from ovtasks.host.progress import Progress
from ovtasks.instance.access import write_access
from ovtasks.instance.built import Built
from ovtasks.instance.create import Created, CreateOptions
from ovtasks.instance.folder import aside
from ovtasks.instance.record import HostKey, load
from ovtasks.instance.saved_machine import save_machine
from ovtasks.project.model import Project, VmSpec
from tests.deploy.guest import Guest, make_root
from tests.support.machines import machine

pytestmark = pytest.mark.slow  # the guest is new each time

GREETING = "secret_requires: [{name: TOKEN}]\ntasks:\n- {write: /etc/motd, content: 'hello'}\n- {mkdir: /srv/a}\n"
ENTRY = """deploy:
  vm:web:
    disposable: true
    add_layers: [greeting]
    install_opts: {allow_root_tasks: true}
    eval: [{file: /etc/motd, contains: hello}]
"""


@pytest.fixture
def made_anew(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> Guest:
    """The guest, with a create that gives it a fresh root instead of a disk."""

    def create(
        vm: VmSpec, instance: str | None, project: Project, built: Built, options: CreateOptions, progress: Progress
    ) -> Created:
        found = load(guest.record.folder)
        assert found is not None and found.instance_id is None and found.host_key is HostKey.EXPECTED
        shutil.rmtree(guest.root)
        make_root(guest.root)
        accepted = (" ".join(guest.sshd.host_key().split()[:2]),)
        record = replace(found, instance_id="ov-second", built="y", host_key=HostKey.ACCEPTED, accepted=accepted)
        record.save()
        write_access(record)
        save_machine(record.folder.machine, replace(machine(), accel="kvm"))
        record.folder.disk.touch()
        (record.folder.path / "running").touch()
        return Created(record, ("disk made", "started"))

    monkeypatch.setattr(update, "create", create)
    monkeypatch.setattr(update, "built_disk", lambda graph, vm: Built(Path("disk.qcow2"), "y"))
    guest.layer("greeting", GREETING)
    guest.deploy_yml(ENTRY)
    guest.ov("deploy", "add", "vm:web")
    return guest


def test_layers_are_applied_again(made_anew: Guest) -> None:
    guest = made_anew
    (guest.root / "srv" / "data").touch()
    secrets = (guest.folder / "layers.secrets.json").read_text()
    assert "ov-first" in (guest.folder / "instance.json").read_text()
    found = json.loads(guest.ov("update", "web", "--reuse-image", "--timeout", "5", "--json"))
    assert [(one["layer"], one["action"]) for one in found["layers"]] == [("greeting", "apply")]
    assert [one["outcome"] for one in found["checks"]] == ["ok"] and found["seconds"] > 0
    assert guest.file("/etc/motd") == "hello" and guest.file("/srv/data") is None
    assert not aside(guest.folder).exists() and (guest.folder / "layers.secrets.json").read_text() == secrets
    guest.ov("deploy", "add", "vm:web")
    assert "nothing to do" in guest.said

    guest.deploy_yml(ENTRY.replace("contains: hello", "contains: good"))
    guest.ov("update", "web", "--reuse-image", "--timeout", "5", code=1)
    assert "a check fails" in guest.said and not aside(guest.folder).exists()  # the layers are in the new one: it stays
    assert (guest.root / "srv/a").is_dir()


def test_a_layer_that_fails(made_anew: Guest) -> None:
    guest = made_anew
    guest.layer("greeting", GREETING + "- {cmd: echo broken; false}\n")
    guest.ov("update", "web", "--reuse-image", "--timeout", "5", code=1)
    assert "broken" in guest.said and "web: the update failed; the VM is as it was before" in guest.said
    assert "broken" in (guest.folder / "deploy.log").read_text() and str(guest.folder / "deploy.log") in guest.said
    assert "ov-first" in (guest.folder / "instance.json").read_text() and (guest.folder / "running").exists()
    assert not aside(guest.folder).exists() and not (guest.folder / "replaced.json").exists()
    guest.layer("greeting", GREETING)
    assert "nothing to do" in guest.ov("deploy", "plan", "vm:web")
