"""A booted guest, looked at by checks of every kind and by its agent."""

from __future__ import annotations

import json
import re
import shutil
from typing import Any
from xml.etree import ElementTree as ET

from tests.boot.project import Project

WEB = 8080
"""The guest's port that ``network.port_forwards`` leads to."""
SLOW = "300s"
OK: list[dict[str, Any]] = [
    {"file": "/etc/hostname", "contains": ["demo"], "mode": "0644", "owner": "root", "filetype": "file"},
    {"file": "~/no-such-file", "exists": False},
    {"package": "qemu-guest-agent", "installed": True},
    {"package": "no-such-package", "installed": False},
    {"service": "ssh", "running": True, "enabled": True},
    {"process": "sshd", "running": True},
    {"port": 22, "listening": True},
    {"command": "echo naïve; echo two >&2", "stdout": [{"contains": "na"}, {"matches": "^na.ve$"}], "stderr": "two"},
    {"command": "nproc", "stdout": {"ge": 1, "not": {"gt": 64}}},
    {"command": "id -un; exit 3", "exit_status": 3, "stdout": {"equals": "demo", "not_contains": "root"}},
    {"user": "demo", "uid": 1000, "home": "/home/demo", "shell": "/bin/bash"},
    {"group": "demo", "exists": True},
    {"interface": "lo", "mtu": 65536, "addrs": ["127.0.0.1"]},
    {"mount": "/", "filesystem": "ext4", "opts": ["rw"]},
    {"kernel-param": "kernel.ostype", "value": "Linux"},
    {"addr": "127.0.0.1:${HOST_PORT:22}", "reachable": True},
    {"addr": "127.0.0.1:22", "from_host": False},
    {"dns": "localhost", "resolvable": True, "addrs": ["127.0.0.1", "::1"], "from_host": False},
    {"http": f"http://127.0.0.1:${{HOST_PORT:{WEB}}}/", "status": 200, "body": {"contains": "Directory listing"}},
    {"matching": "bookworm", "contains": "book"},
    {
        "id": "later",
        "command": "echo >>~/looks; test $(wc -l <~/looks) -ge 3",
        "eventually": SLOW,
        "retry_interval": "1s",
    },
    {"libvirt": "guest/ping", "stderr": {"contains": "responsive"}, "eventually": SLOW},
    {"libvirt": "guest/info", "stdout": {"contains": "guest-exec"}},
    {"libvirt": "guest/os-info", "stdout": {"contains": ["bookworm", "debian"]}},
    {"libvirt": "guest/time", "stdout": {"matches": '"delta": '}},
    {"libvirt": "guest/hostname", "stdout": {"contains": "demo"}},
    {"libvirt": "guest/users"},
    {"libvirt": "guest/interfaces", "stdout": {"contains": "127.0.0.1"}},
    {"libvirt": "guest/disks", "stdout": {"contains": "/dev/vda"}},
    {"libvirt": "guest/fsinfo", "stdout": {"contains": "ext4"}},
    {"libvirt": "guest/vcpus", "stdout": {"contains": "online"}},
    {"libvirt": "guest/exec", "command": "sh -c 'id -un; exit 4'", "exit_status": 4, "stdout": "root"},
    {"libvirt": "guest/fstrim", "stdout": {"contains": "paths"}, "timeout": SLOW},
    {"libvirt": "snapshot/list"},
]
"""What holds in the demo's guest."""
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"file": "/etc/hostname", "mode": "0600"}, "mode: expected '0600', found '0644'"),
    ({"package": "qemu-guest-agent", "installed": False}, "installed: expected no, found yes"),
    ({"service": "ssh", "running": False}, "running: expected no, found active (running)"),
    ({"process": "sshd", "running": False}, "running: expected no, found yes"),
    ({"port": 22, "listening": False}, "listening: expected no, found yes"),
    ({"command": "echo no >&2; exit 7"}, "exit_status: expected 0, found 7: no"),
    ({"command": "sleep 600", "timeout": "1s"}, "found 124 (it took too long)"),
    ({"user": "demo", "uid": 0}, "uid: expected '0', found '1000'"),
    ({"group": "demo", "exists": False}, "exists: expected no, found yes"),
    ({"interface": "lo", "mtu": 1500}, "mtu: expected '1500', found '65536'"),
    ({"mount": "/", "filesystem": "xfs"}, "filesystem: expected 'xfs', found 'ext4'"),
    ({"kernel-param": "kernel.ostype", "value": {"not": "Linux"}}, "value: expected not equals 'Linux', found 'Linux'"),
    ({"addr": "127.0.0.1:${HOST_PORT:22}", "reachable": False}, "reachable: expected no, found yes"),
    ({"dns": "localhost", "resolvable": False, "from_host": False}, "resolvable: expected no, found yes"),
    (
        {"http": f"http://127.0.0.1:${{HOST_PORT:{WEB}}}/", "status": 404, "timeout": "1s"},
        "status: expected '404', found '200'",
    ),
    ({"matching": "bookworm", "equals": "trixie"}, "matching: expected equals 'trixie', found 'bookworm'"),
    ({"command": "echo never", "stdout": "ever", "eventually": "1s"}, "stdout: expected equals 'ever', found 'never"),
    ({"libvirt": "guest/exec", "command": "false"}, "exit_status: expected 0, found 1"),
    ({"libvirt": "guest/exec", "command": "/no/such"}, "refuses"),
    ({"libvirt": "guest/hostname", "stdout": {"contains": "other"}}, "stdout: expected contains 'other', found"),
]
"""What does not, and what is said about it."""
SKIPPED: list[tuple[dict[str, Any], str]] = [
    ({"mcp": "ping"}, "not carried out"),
    ({"k8s": "nodes", "cluster": "c"}, "not carried out"),
    ({"file": "/none", "skip": True}, "skipped"),
    ({"file": "/none", "exclude_distros": ["debian"]}, "skipped"),
]


def named(checks: list[dict[str, Any]], prefix: str) -> list[dict[str, Any]]:
    return [{"id": f"{prefix}-{n}", "scope": "deploy", **check} for n, check in enumerate(checks)]


def look_by_checks(project: Project) -> None:
    """Every kind of check, true and false: in ``vms.yml``, in a layer and in the deployment."""
    project.ssh(f"sudo systemd-run --quiet --unit=ov-web python3 -m http.server {WEB} --directory /etc/skel")
    layer = {"layer": {"name": "looked", "eval": named([one for one, _ in WRONG], "wrong")}}
    entry = {"add_layers": ["looked"], "eval": named([one for one, _ in SKIPPED], "skipped")}
    files = {"layers/looked/layer.yml": layer, "deploy.yml": {"deploy": {"vm:demo": entry}}}
    for name, content in files.items():
        (project.root / name).parent.mkdir(parents=True, exist_ok=True)
        (project.root / name).write_text(json.dumps(content), encoding="utf-8")
    vms = project.root / "vms.yml"
    before = vms.read_text(encoding="utf-8")
    assert before.count("    ram: 1G\n") == 1
    vms.write_text(before.replace("    ram: 1G\n", f"    ram: 1G\n    eval: {json.dumps(named(OK, 'ok'))}\n"), "utf-8")
    project.user.owned(project.root / "layers")
    found = json.loads(project.ov("eval", "live", "demo", "--json", "--junit", "live.xml", code=1).stdout)
    rows = {one["name"]: one for one in found["checks"]}
    assert [one for name, one in rows.items() if name.startswith("ok-") and one["outcome"] != "ok"] == []
    assert rows["later"]["outcome"] == "ok" and int(project.ssh("wc -l <looks")) >= 3
    for n, (check, told) in enumerate(WRONG):
        row = rows[f"wrong-{n}"]
        assert row["outcome"] == "failed" and told in row["told"], (check, row)
    assert [rows[f"skipped-{n}"]["outcome"] for n in range(len(SKIPPED))] == [outcome for _, outcome in SKIPPED]
    assert (found["failed"], len(rows)) == (len(WRONG), len(OK) + len(WRONG) + len(SKIPPED))
    root = ET.parse(project.root / "live.xml").getroot()
    assert (root.get("tests"), root.get("failures")) == (str(len(rows)), str(len(WRONG)))
    vms.write_text(before, encoding="utf-8")
    (project.root / "deploy.yml").unlink()
    shutil.rmtree(project.root / "layers")


def look_by_agent(project: Project) -> None:
    """Commands, files and frozen file systems, by the agent alone."""

    def guest(*words: str, code: int = 0) -> str:
        verb = words[:2] if words[0] in {"file", "fsfreeze"} else words[:1]
        done = project.ov("eval", "libvirt", "guest", *verb, "demo", *words[len(verb) :], code=code)
        return done.stdout + done.stderr

    assert guest("exec", "--", "echo", "a  b", "$HOME") == "a  b $HOME\n"
    assert "kill" in guest("exec", "--", "sh", "-c", "echo kill >&2; kill -9 $$", code=137)
    endless = guest("exec", "--wait", "1s", "--", "sleep", "1234567", code=1)
    (process,) = re.findall(r"goes on in the guest as process (\d+)", endless)
    guest("exec", "--", "kill", process)
    guest("exec", "--", "sh", "-c", "seq 100000 >/root/big")
    assert guest("file", "read", "/root/big").splitlines() == [str(n) for n in range(1, 100_001)]
    assert guest("file", "read", "/etc/hostname") == "demo\n"
    assert "No such file" in guest("file", "read", "/none/such", code=1)
    assert "thawed" in guest("fsfreeze", "status", "--timeout", SLOW)
    assert "and are thawed" in guest("fsfreeze", "freeze", "--seconds", "0")
    assert guest("fsfreeze", "freeze", "--", "sh", "-c", "echo held; exit 5", code=5) == "held\n"
    assert "thawed" in guest("fsfreeze", "status", "--timeout", SLOW)
    flood = guest("exec", "--wait", "600s", "--", "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x")
    assert flood == "x" * 3000000
    assert "responsive" in guest("ping", "--timeout", SLOW)
