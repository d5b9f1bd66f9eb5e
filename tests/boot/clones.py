"""A clone boots beside the VM that it begins with, as a machine of its own."""

from __future__ import annotations

from tests.boot.project import Project

WHO = (
    "sudo awk 1 /etc/machine-id /sys/class/net/e*/address /etc/ssh/ssh_host_ed25519_key.pub "
    "/var/lib/cloud/data/instance-id /proc/sys/kernel/random/boot_id"
)
"""One line each; no two machines share one."""


def clone_beside(project: Project) -> None:
    """Of a running VM; both have what was on the disk, and the first one goes on as it was."""
    project.ssh("echo common | tee common; sync")
    before = project.ssh(WHO).splitlines()
    said = project.ov("vm", "clone", "twin", "--from", "demo").stderr
    assert "demo: snapshot for-twin made" in said
    project.ov("vm", "create", "twin")
    project.ov("vm", "wait", "twin", "--for", "cloud-init")
    twin = project.ov("vm", "ssh", "twin", "--", f"{WHO}; hostname; cat common").stdout.splitlines()
    assert twin[-2:] == ["twin", "common"]
    now = project.ssh(f"{WHO}; hostname; cat common").splitlines()
    assert now == [*before, "demo", "common"]
    assert len(before) == 5 and not {*before} & {*twin}
    project.ov("vm", "destroy", "--disk", "twin")
    project.ov("vm", "snapshot", "delete", "demo", "for-twin")
