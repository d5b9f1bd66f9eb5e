"""ov deploy del: everything is as it was before; and what can be told about a guest's layers."""

from __future__ import annotations

import io
import json
import re
import sys

import pytest

from ovtasks.deploy.receipts import receipts_of
from tests.deploy.guest import Guest
from tests.deploy.test_deploy import three
from tests.support.layers import print_of

pytestmark = pytest.mark.slow  # each begins with a guest that nobody knows


def system(guest: Guest) -> dict[str, object]:
    """The guest's files, but for our record."""
    found = print_of(guest.root / "etc") | print_of(guest.root / "srv") | print_of(guest.root / "opt")
    return {path: facts for path, facts in found.items() if "ovtasks" not in path}


def test_everything_is_as_it_was(guest: Guest) -> None:
    (guest.root / "etc/motd").write_text("mine")
    before = system(guest)
    three(guest)
    guest.ov("deploy", "add", "web-vm")
    assert system(guest) != before
    assert guest.ov("deploy", "del", "web-vm", "--dry-run").splitlines()[-3:] == [
        "undo base",
        "       mkdir /opt/base",
        "       write /etc/motd",
    ]
    guest.off()
    guest.ov("deploy", "del", "vm:web")
    assert "web: is off; starting it for this, and stopping it afterwards" in guest.said
    order = re.findall(r"^(\w+): .*: undone$", guest.said, re.MULTILINE)
    assert order.index("tools") < order.index("base") and "base: write /etc/motd: undone" in guest.said
    assert system(guest) == before and not (guest.folder / "running").exists()
    assert (guest.project / "deploy.yml").read_text() == "# ours\ndeploy:\n" and not receipts_of(guest.record)
    guest.ov("deploy", "del", "vm:web")
    assert "web: nothing to undo" in guest.said


def test_an_operation_that_cannot_be_undone(guest: Guest) -> None:
    guest.layer("base", "tasks:\n- {cmd: touch /srv/a, uninstall: ['false']}\n- {write: /srv/b, content: b}\n")
    guest.ov("deploy", "add", "vm:web", "base", "--allow-root-tasks")
    found = json.loads(guest.ov("deploy", "del", "vm:web", "--json", code=1))
    assert [one["layer"] for one in found["failed"]] == ["base"] and found["undone"] == []
    assert "1 operation could not be undone; the entry vm:web stays" in guest.said
    assert "vm:web" in (guest.project / "deploy.yml").read_text() and [*receipts_of(guest.record)] == ["base"]
    guest.ov("deploy", "del", "vm:web", "--forget")
    assert not receipts_of(guest.record) and "removed vm:web" in guest.said
    assert not [*guest.folder.glob("layers*")]


def test_keep_and_purge(guest: Guest) -> None:
    service = "service:\n- {name: sleeper, exec: sleep 1000}\n"
    guest.layer("base", f"tasks:\n- {{mkdir: /srv/data}}\n- {{mkdir: /etc/opt}}\n{service}")
    (guest.root / "etc/opt").mkdir()
    (guest.root / "etc/opt/mine").touch()
    words = ("deploy", "add", "vm:web", "base", "--allow-root-tasks")
    guest.ov(*words, code=3)
    assert "--with-services" in guest.said and "service" in guest.said
    guest.layer("base", "tasks:\n- {mkdir: /srv/data}\n- {mkdir: /etc/opt}\n")
    guest.ov(*words)
    (guest.root / "srv/data/more").touch()
    guest.ov("deploy", "del", "vm:web", "base", "--purge", code=2)
    assert "--purge is for all layers" in guest.said
    guest.ov("deploy", "del", "vm:web", "--purge", "--keep-services", "--keep-repo-changes")
    assert not (guest.root / "srv/data").exists() and (guest.root / "etc/opt/mine").exists()
    assert not (guest.root / "var/lib/ovtasks").exists() and not [*guest.folder.glob("layers*")]


def test_asked_on_a_terminal(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    three(guest, "")
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    guest.ov("deploy", "del", "web-vm", code=1)
    assert "undo all layers of web and remove web-vm from deploy.yml? [y/N]" in guest.said
    assert "web-vm" in (guest.project / "deploy.yml").read_text()
    guest.ov("deploy", "del", "web-vm", "-y")
    assert "web-vm" not in (guest.project / "deploy.yml").read_text()


def test_status_list_and_drift(guest: Guest) -> None:
    three(guest)
    assert re.search(r"web-vm +web +not deployed", guest.ov("deploy", "list"))
    guest.ov("deploy", "add", "web-vm")
    assert json.loads(guest.ov("deploy", "list", "--json"))[0]["state"] == "deployed"
    status = guest.ov("deploy", "status", "vm:web", "--drift")
    assert "web-vm: web: deployed" in status and "all is as it was put" in status
    (guest.root / "etc/motd").write_text("somebody else")
    found = json.loads(guest.ov("deploy", "status", "vm:web", "--drift", "--json", code=4))
    assert found["drift"] == [{"layer": "base", "operation": "write /etc/motd", "now": "is no longer as it was put"}]
    assert {one["layer"] for one in found["layers"]} == {"base", "tools", "other"}
    guest.off()
    guest.ov("deploy", "status", "vm:web", "--drift", code=1)
    assert "cannot be inspected\n  hint: ov vm start web" in guest.said


def test_a_vm_that_is_gone(guest: Guest) -> None:
    three(guest)
    guest.ov("deploy", "add", "web-vm")
    guest.deploy_yml("deploy: {}\n")
    (guest.project / "vms.yml").write_text("vms: {db: {source: {kind: cloud_image, url: 'https://x.org/a.qcow2'}}}\n")
    assert "vm:web: web: differs" in guest.ov("deploy", "status", "vm:web")
    guest.ov("deploy", "del", "vm:web", "--forget")
    assert not receipts_of(guest.record)
    guest.ov("deploy", "del", "vm:nobody", code=2)
    assert "'vm:nobody' is not a deployment" in guest.said
    guest.ov("deploy", "del", "vm:db")
    assert "db does not exist: nothing to undo" in guest.said


def test_a_host_that_was_killed_while_it_learned_what_is_there(guest: Guest) -> None:
    three(guest)
    guest.ov("deploy", "add", "web-vm")
    for name in ("layers.facts.json", "layers.stamp.json", "layers/tools.json", "layers/other.json"):
        (guest.folder / name).unlink()
    guest.ov("deploy", "del", "web-vm")
    assert "undone other, tools, base" in guest.said or "undone tools, base, other" in guest.said
    assert not [path for path in ("etc/motd", "opt/base", "srv/other") if (guest.root / path).exists()]
