"""What the stamp of a deployment must not hide, and an update that was killed before a deployment."""

from __future__ import annotations

import pytest

from ovtasks.deploy.receipts import receipts_of
from ovtasks.deploy.stamp import is_current
from ovtasks.host.progress import SilentProgress
from ovtasks.instance.aside import set_aside
from ovtasks.project.load import load_project
from tests.deploy.guest import Guest
from tests.deploy.test_deploy import BASE, OTHER

pytestmark = pytest.mark.slow  # each begins with a guest that nobody knows

VERIFIED = "install_opts: {allow_root_tasks: true, verify: true}"


def current(guest: Guest) -> bool:
    project = load_project(guest.project)
    return is_current(guest.record, project.deployments["web-vm"], project.vms["web"])


def settled(guest: Guest) -> bool:
    """Whether nothing is to be done. The first stamp may be of files that are too young."""
    guest.ov("deploy", "add", "web-vm")
    guest.ov("deploy", "add", "web-vm")
    return current(guest)


def test_changes_that_leave_the_operations_as_they_are(guest: Guest) -> None:
    check = "eval:\n- {file: /etc/motd, contains: hello}\n"
    guest.layer("base", BASE + check)
    guest.layer("other", OTHER)
    entry = f"deploy:\n  web-vm: {{target: vm, add_layers: [base, other], {VERIFIED}}}\n"
    guest.deploy_yml(entry)
    assert settled(guest)
    # the same entry elsewhere and in another order
    guest.deploy_yml(
        f"# ours\ndeploy:\n  x: {{target: local}}\n  web-vm: {{{VERIFIED}, add_layers: [base, other], target: vm}}\n"
    )
    guest.connections()
    assert current(guest)
    # a check that was edited is carried out, until it passes
    guest.layer("base", BASE + check.replace("hello", "good night"))
    for _ in range(2):
        guest.ov("deploy", "add", "web-vm", code=1)
        assert "a check fails" in guest.said and not current(guest)
    guest.layer("base", BASE + check)
    assert settled(guest)
    # a check that fails now counts, though it has passed before
    (guest.root / "etc/motd").write_text("gone")
    guest.ov("deploy", "add", "web-vm", "--verify", code=1)
    assert not current(guest)
    (guest.root / "etc/motd").write_text("hello")
    assert settled(guest)
    # what stands before --from is not hidden by it
    guest.layer("base", BASE.replace("/opt/base", "/opt/new") + check)
    guest.ov("deploy", "add", "web-vm", "--from", "other")
    assert guest.file("/opt/new") is None and not current(guest)
    assert settled(guest)
    # memory and processors that the entry gives: the domain is defined again, or it is said why not
    assert "stays defined as it was" not in guest.said
    guest.deploy_yml(entry.replace("target: vm,", "target: vm, ram: 3G,"))
    assert not current(guest)
    guest.ov("deploy", "add", "web-vm")
    assert "stays defined as it was: a stand-in makes no machines" in guest.said and current(guest)


def test_a_file_for_this_machine_follows_its_declaration(guest: Guest) -> None:
    artifact = "{name: config, path: /srv/other, retrieve_to: here, rewrite: [{find: other, replace: ONE}]}"
    guest.layer("other", f"{OTHER}artifacts: [{artifact}]\n")
    guest.deploy_yml("deploy:\n  web-vm: {target: vm, add_layers: [other], install_opts: {allow_root_tasks: true}}\n")
    assert settled(guest)
    assert (guest.project / "here").read_text() == "ONE"
    guest.layer("other", f"{OTHER}artifacts: [{artifact.replace('ONE', 'two')}]\n")
    guest.ov("deploy", "add", "web-vm")
    assert (guest.project / "here").read_text() == "two"
    # killed between the layers and the file
    (guest.folder / "layers.stamp.json").unlink()
    (guest.project / "here").write_text("old")
    guest.ov("deploy", "add", "web-vm")
    assert (guest.project / "here").read_text() == "two"


def test_an_update_that_was_killed_is_settled_first(guest: Guest) -> None:
    guest.layer("base", BASE)
    guest.layer("other", OTHER)
    set_aside(guest.record, SilentProgress(), timeout=0)
    guest.ov("deploy", "add", "vm:web", "base", "other", "--allow-root-tasks")
    assert "an update of it was killed; the VM is put back as it was before" in guest.said
    assert guest.file("/etc/motd") == "hello" and [*receipts_of(guest.record)] == ["base", "other"]
    # what remains must be allowed before anything is written
    guest.layer("other", OTHER.replace("content: other", "content: new"))
    before = (guest.project / "deploy.yml").read_text()
    guest.ov("deploy", "del", "vm:web", "base", code=3)
    assert (guest.project / "deploy.yml").read_text() == before and guest.file("/etc/motd") == "hello"
    guest.ov("deploy", "del", "vm:web", "--forget", "--purge", code=2)
    assert "--forget undoes nothing" in guest.said
    assert guest.ov("deploy", "del", "vm:web", "--forget", "--dry-run") == "forget all layers of web\n"
    # a VM that was destroyed without its disk is made again, when there is something to do
    guest.record.folder.machine.unlink()
    plan = guest.ov("deploy", "plan", "vm:web")
    assert "web: is not defined: it is created again" in plan and "redo" in plan
    assert "disk:web" in guest.ov("plan", "deploy:vm:web")
