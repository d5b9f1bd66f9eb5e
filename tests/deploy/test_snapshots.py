"""ov deploy add --snapshots: back to the disk after the last good layer, instead of undoing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ovtasks.deploy import rewind
from ovtasks.deploy.receipts import LayerState, receipts_of
from ovtasks.instance.overlays import kept_states
from tests.deploy.guest import Guest
from tests.deploy.test_deploy import BASE, OTHER, TOOLS
from tests.support.programs import qemu_img

pytestmark = pytest.mark.slow

ENTRY = """deploy:
  web-vm:
    target: vm
    disposable: true
    add_layers: [base, tools, other]
    install_opts: {allow_root_tasks: true, snapshots: true}
"""


def declare(guest: Guest, entry: str = ENTRY) -> None:
    guest.record.folder.disk.unlink()
    qemu_img("create", "-q", "-f", "qcow2", guest.record.folder.disk, "1M")
    guest.layer("base", BASE)
    guest.layer("tools", TOOLS)
    guest.layer("other", OTHER)
    guest.deploy_yml(entry)


def labels(guest: Guest) -> list[str]:
    return [state.label for state in kept_states(guest.record)]


def layers(guest: Guest) -> set[str]:
    return {one.layer for one in receipts_of(guest.record).values() if one.state is LayerState.WHOLE}


def test_edited_failed_and_taken_out(guest: Guest) -> None:
    declare(guest)
    guest.ov("deploy", "add", "web-vm")
    assert labels(guest) == ["before its layers", "after base", "after tools", "after other"]
    guest.ov("deploy", "add", "web-vm")
    assert "nothing to do" in guest.said

    # an edit: what came after the last good state is gone, and so is what the user did since
    (guest.root / "srv/mine").write_text("lost\n")
    guest.layer("tools", TOOLS.replace("one", "two"))
    guest.ov("deploy", "add", "web-vm")
    assert "goes back to its disk after base" in guest.said and "undo" not in guest.said
    assert guest.file("/opt/base/tools") == "two" and guest.file("/srv/mine") is None
    assert guest.file("/srv/other") == "other" and layers(guest) == {"base", "tools", "other"}
    assert labels(guest) == ["before its layers", "after base", "after tools", "after other"]

    # a layer that fails half-way: the next run begins after the last good one
    guest.layer("other", OTHER + '- {cmd: "echo half >/srv/half; false", user: root}\n')
    guest.ov("deploy", "add", "web-vm", code=1)
    assert guest.file("/srv/half") == "half\n" and labels(guest)[-1] == "after tools"
    guest.layer("other", OTHER)
    guest.ov("deploy", "add", "web-vm")
    assert "goes back to its disk after tools" in guest.said
    assert guest.file("/srv/half") is None and guest.file("/srv/other") == "other"

    # taken out: the first one, so everything begins anew
    guest.deploy_yml(ENTRY.replace("base, tools, ", ""))
    guest.ov("deploy", "add", "web-vm")
    assert "goes back to its disk before its layers" in guest.said
    assert guest.file("/etc/motd") is None and guest.file("/srv/other") == "other" and layers(guest) == {"other"}


def test_layers_that_were_there_before(guest: Guest) -> None:
    """The first state has them; what is put in later goes back to it."""
    declare(guest, ENTRY.replace(", snapshots: true", "").replace("base, tools, other", "other"))
    guest.ov("deploy", "add", "web-vm")
    assert labels(guest) == []
    guest.deploy_yml(ENTRY)
    guest.ov("deploy", "add", "web-vm")
    assert labels(guest) == ["after other", "after base", "after tools"]
    guest.layer("base", BASE.replace("hello", "hi"))
    guest.ov("deploy", "add", "web-vm")
    assert "goes back to its disk after other" in guest.said and guest.file("/etc/motd") == "hi"


def test_only_what_may_be_lost(guest: Guest) -> None:
    declare(guest, ENTRY.replace("    disposable: true\n", ""))
    guest.ov("deploy", "add", "web-vm", code=3)
    assert "deploy.yml:2:3: web is not disposable" in guest.said and "--disposable allows" in guest.said
    guest.deploy_yml("deploy: {}\n")
    guest.ov("deploy", "add", "vm:web", "base", "--allow-root-tasks", "--snapshots", code=3)
    guest.ov("deploy", "add", "vm:web", "base", "--allow-root-tasks", "--snapshots", "--disposable")
    assert labels(guest) == ["before its layers", "after base"]
    assert "disposable: true" in (guest.project / "deploy.yml").read_text()


@pytest.mark.parametrize("step", ["stop", "go_back", "drop_receipt"])
def test_killed_while_it_goes_back(step: str, guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run comes to the same end."""
    declare(guest)
    guest.ov("deploy", "add", "web-vm")
    guest.layer("tools", TOOLS.replace("one", "two"))

    def die(*words: object, **more: object) -> None:
        raise KeyboardInterrupt

    guest.settle()
    with monkeypatch.context() as patch:
        patch.setattr(rewind, step, die)
        guest.ov("deploy", "add", "web-vm", code=130)
    guest.ov("deploy", "add", "web-vm")
    assert guest.file("/opt/base/tools") == "two" and layers(guest) == {"base", "tools", "other"}
    assert labels(guest) == ["before its layers", "after base", "after tools", "after other"]
    states = sorted(path.name for path in guest.folder.glob("disk.*"))
    assert states == [f"disk.{number}.qcow2" for number in range(1, 5)] + ["disk.qcow2"]


def test_no_room_for_a_state(guest: Guest) -> None:
    """The layer is in, and the next run goes on."""
    declare(guest)
    path = os.environ["PATH"]
    programs = guest.project.parent / "programs"
    programs.mkdir()
    count = programs / "count"
    full = programs / "qemu-img"
    full.write_text(
        f'#!/bin/sh\n[ "$1" = info ] || echo >>{count}\n'
        f"if [ $(wc -l <{count}) = 2 ]; then echo 'No space left on device' >&2; exit 1; fi\n"
        f'PATH={path} exec qemu-img "$@"\n'
    )
    full.chmod(0o755)
    count.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{programs}:{path}")
        guest.ov("deploy", "add", "web-vm", code=1)
    assert "cannot keep the disk of web" in guest.said and "is full" in guest.said
    assert Path(guest.record.folder.disk).exists() and labels(guest) == ["before its layers"]
    guest.ov("deploy", "add", "web-vm")
    assert layers(guest) == {"base", "tools", "other"} and guest.file("/srv/other") == "other"


def test_layers_of_a_disk_that_went_back(guest: Guest) -> None:
    """``ov vm snapshot revert``: what the host remembers of the disk's layers no longer holds."""
    declare(guest, ENTRY.replace(", snapshots: true", ""))
    guest.ov("vm", "snapshot", "create", "web", "bare")
    guest.ov("deploy", "add", "web-vm")
    guest.ov("vm", "snapshot", "create", "web", "full")
    guest.ov("vm", "snapshot", "revert", "web", "bare", code=3)
    guest.ov("deploy", "add", "web-vm")
    assert "nothing to do" in guest.said, "refused, so nothing is forgotten"
    guest.off()
    guest.ov("vm", "snapshot", "revert", "web", "bare")
    guest.ov("deploy", "add", "web-vm")
    assert "applied base, tools, other" in guest.said and guest.file("/srv/other") == "other"
    guest.ov("deploy", "del", "web-vm", "-y")
    guest.off()
    guest.ov("vm", "snapshot", "revert", "web", "full")
    guest.deploy_yml(ENTRY.replace(", snapshots: true", ""))
    guest.ov("deploy", "add", "web-vm")
    assert (
        "nothing to do" in guest.said
        and guest.file("/srv/other") == "other"
        and layers(guest) == {"base", "tools", "other"}
    )
