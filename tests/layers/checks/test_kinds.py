"""Every kind of check that a file may have: it runs, or is left out by its name. ``pytest -s`` prints the table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ovtasks.layers.checks.model import ProbeFacts
from ovtasks.layers.checks.verbs import VERBS as CARRIED_OUT
from ovtasks.project.layer_parts import VERBS
from tests.layers.checks.shell import CONTEXT, FastClock, Shell, part, run_checks

TRUE: dict[str, dict[str, Any]] = {
    "file": {"file": "/etc/passwd", "exists": True, "mode": "0644", "contains": ["root:"]},
    "package": {"package": "no-such-package", "installed": False},
    "service": {"service": "no-such-service", "running": False},
    "port": {"port": 1, "listening": False},
    "process": {"process": "no-such-process", "running": False},
    "command": {"command": "exit 3", "exit_status": 3, "stdout": ""},
    "http": {"http": "http://127.0.0.1:1/", "skip": True},  # test_run.py has a server
    "dns": {"dns": "no-such-name.invalid", "resolvable": False},
    "user": {"user": "root", "uid": 0},
    "group": {"group": "root", "gid": 0},
    "interface": {"interface": "lo", "exists": True},
    "kernel-param": {"kernel-param": "kernel.ostype", "value": "Linux"},
    "mount": {"mount": "/proc", "filesystem": "proc"},
    "addr": {"addr": "127.0.0.1:1", "reachable": False, "timeout": "1s"},
    "matching": {"matching": "sway", "equals": "sway"},
    "libvirt": {"libvirt": "info", "stdout": {"contains": "running"}},
    "spice": {"spice": "status", "stdout": {"contains": ["ok"]}},
}
LEFT_OUT: dict[str, dict[str, Any]] = {
    "mcp": {"mcp": "call", "tool": "list", "input": "{}", "stdout": {"contains": "x"}, "timeout": "30s"},
    "k8s": {"k8s": "get", "cluster": "c", "k8s_kind": "pod", "namespace": "n", "k8s_count": 3},
    # of desktops in containers
    "cdp": {"cdp": "eval", "tab": "1", "expression": "1+1", "stdout": {"contains": ["2"]}},
    "wl": {"wl": "screenshot", "artifact": "/tmp/wl.png", "artifact_min_bytes": 1024},
    "dbus": {"dbus": "list", "stdout": {"contains": ["org.example"]}},
    "vnc": {"vnc": "status", "stdout": {"contains": ["ok"]}},
    "record": {"record": "start", "record_name": "r", "record_mode": "terminal"},
    "adb": {"adb": "devices"},
    "appium": {"appium": "status"},
    "summarize": {"summarize": "x"},
}


def ask(*_: object) -> ProbeFacts:
    return {"status": b"0", "stdout": b"spice ok, running"}


def test_every_kind() -> None:
    assert TRUE.keys() | LEFT_OUT.keys() == {*VERBS} and TRUE.keys() == CARRIED_OUT.keys()
    parts = [part(**check) for check in (*TRUE.values(), *LEFT_OUT.values())]
    results = run_checks(Shell(), parts, replace(CONTEXT, ask_machine=ask), clock=FastClock(longer=100))
    for one in results:
        print(f"{one.verb:13} {one.outcome:16} {one.told}")
    outcomes = {one.verb: str(one.outcome) for one in results}
    assert outcomes == {
        **dict.fromkeys(TRUE, "ok"),
        "http": "skipped",
        **dict.fromkeys(LEFT_OUT, "not carried out"),
    }
    assert all(one.verb in one.told for one in results if one.verb in LEFT_OUT)
