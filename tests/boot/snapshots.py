"""A booted guest goes back to a snapshot: to its disk, and to what it had in memory."""

from __future__ import annotations

import json

from tests.boot.project import Project

DECLARED = "    snapshots: [{name: fresh, quiesce: true}]"
"""For the VM's entry in vms.yml. The demo's guest has an agent."""


def names(project: Project) -> list[str]:
    return [one["name"] for one in json.loads(project.ov("vm", "snapshot", "list", "demo", "--json").stdout)]


def go_back(project: Project) -> None:
    """The declared snapshot is made once; the guest goes on from the one with memory, past the merge of the other."""
    assert names(project) == ["fresh"]
    project.ov("vm", "snapshot", "delete", "demo", "fresh")
    project.ov("vm", "wait", "demo")
    assert names(project) == []
    assert project.ssh("echo one | tee state /dev/shm/state; sync; cat /proc/sys/kernel/random/boot_id > boot") == "one"
    project.ov("vm", "snapshot", "create", "--quiesce", "demo", "cold")
    project.ov("vm", "snapshot", "create", "--memory", "demo", "warm")
    assert project.ssh("echo two | tee state /dev/shm/state; sync") == "two"
    project.ov("vm", "snapshot", "delete", "demo", "cold")
    project.ov("vm", "snapshot", "revert", "--force", "demo", "warm")
    assert project.ssh("cat state /dev/shm/state; cmp boot /proc/sys/kernel/random/boot_id && echo same") == (
        "one\none\nsame"
    )
    assert names(project) == ["warm"]
