"""Every verb of ``ov eval libvirt`` and ``ov eval spice``, on both backends: the VM runs, is stopped, is not there.

``pytest -s`` prints the table.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ovtasks.probes.libvirt_methods import LIBVIRT
from ovtasks.probes.spice_methods import SPICE
from tests.probes.test_room import DEVICES, open_room
from tests.support.programs import attempt
from tests.support.rooms import SECONDS, Room, declare

pytestmark = pytest.mark.slow
VM = "{vm}"
NO_AGENT = "no guest agent answers"
ASLEEP = "is not running"
Expected = tuple[int, str]
OK: Expected = (0, "")
NOT: Expected = (1, ASLEEP)

VERBS: dict[str, tuple[tuple[str, ...], Expected, Expected]] = {
    "libvirt list": ((), (0, '"name": "ov-web"'), (0, '"state": "stopped"')),
    "libvirt info": ((VM,), (0, '"state": "running"'), (0, '"state": "stopped"')),
    "libvirt info --format text": ((VM,), (0, "state: running"), (0, "state: stopped")),
    "libvirt screenshot": ((VM, "-"), (0, "PNG"), NOT),
    "libvirt send-key": ((VM, "ctrl+alt", "f1"), (0, "pressed in web"), NOT),
    "libvirt passwd": ((VM, "other words"), (0, "changed until it stops"), NOT),
    "libvirt passwd --persistent": ((VM, "first words"), (0, "`ov vm create` puts back"), (0, "from its next start")),
    "libvirt qmp": ((VM, "query-status"), (0, '"status": "running"'), NOT),
    "libvirt domain-xml": ((VM,), (0, "<domain "), (0, "<domain ")),
    "libvirt domain-xml --config": ((VM,), (0, "<domain "), (0, "<domain ")),
    "libvirt console": ((VM, "--duration", "0.2s"), OK, NOT),
    "libvirt events": ((VM, "--duration", "0.2"), OK, NOT),
    "libvirt snapshot list": ((VM,), (0, "["), (0, "[")),
    "libvirt snapshot info": ((VM, "none"), (2, "no snapshot none"), (2, "no snapshot none")),
    "libvirt snapshot create": (
        (VM, "first", "--desc", "one"),
        (0, "snapshot first made"),
        (2, "has a snapshot first"),
    ),
    "libvirt snapshot revert": ((VM, "first"), (3, "is running"), (0, "what it was at first")),
    "libvirt snapshot delete": ((VM, "none"), (2, "no snapshot none"), (2, "no snapshot none")),
    "libvirt guest exec": ((VM, "--wait", "1s", "--", "true"), (1, NO_AGENT), NOT),
    "libvirt guest file read": ((VM, "/etc/hostname"), (1, NO_AGENT), NOT),
    "libvirt guest file write": ((VM, "/tmp/x"), (1, NO_AGENT), NOT),
    "libvirt guest fsfreeze status": ((VM, "--timeout", "1s"), (1, NO_AGENT), NOT),
    "libvirt guest fsfreeze freeze": ((VM, "--seconds", "0"), (1, NO_AGENT), NOT),
    "libvirt guest fsfreeze thaw": ((VM,), (1, NO_AGENT), NOT),
    "libvirt guest fstrim": ((VM,), (1, NO_AGENT), NOT),
    **{
        f"libvirt guest {name}": ((VM, "--timeout", "1s"), (1, NO_AGENT), NOT)
        for name in (
            *("ping", "info", "os-info", "time", "hostname", "users", "interfaces", "disks", "fsinfo", "vcpus"),
        )
    },
    "spice status": ((VM,), (0, "cursor at"), NOT),
    "spice screenshot": ((VM, "-"), (0, "PNG"), NOT),
    "spice cursor": ((VM,), (0, '"visible"'), NOT),
    "spice click": ((VM, "1", "1"), (1, "takes movements only"), NOT),
    "spice mouse": ((VM, "1", "1"), (1, "takes movements only"), NOT),
    "spice type": ((VM, "abc"), (0, "typed 3 characters"), NOT),
    "spice key": ((VM, "ctrl+c"), (0, "pressed ctrl+c"), NOT),
}
"""Verb: the words after it, how it ends with a VM that runs, and with one that is stopped. For the backend qemu,
``domain-xml`` says that there is none."""


@pytest.fixture(scope="module", params=["qemu", "libvirt"])
def room(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with open_room(request.param, tmp_path_factory.mktemp("table")) as made:
        declare(made, made.project.parent / "empty.qcow2", libvirt=DEVICES)
        made.ov("vm", "create", "web")
        yield made


def carried_out(room: Room, lines: list[list[str]]) -> list[list[Any]]:
    """Exit code, stdout, stderr and seconds of each command line."""
    words = [*room.words[:-1], "from tests.probes.loop import main; main()"]
    done = attempt(*words, cwd=room.project, env=room.env, timeout=SECONDS, stdin=json.dumps(lines))
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def line_of(verb: str, vm: str) -> list[str]:
    return ["eval", *verb.split(), *(vm if word == VM else word for word in VERBS[verb][0])]


def test_the_table_has_every_method() -> None:
    methods = {
        f"{verb} {one.name.replace('/', ' ')}"
        for verb, ones in (("libvirt", LIBVIRT), ("spice", SPICE))
        for one in ones
    }
    assert methods <= VERBS.keys()


def test_every_verb_in_every_state(room: Room) -> None:
    room.project.joinpath("deploy.yml").write_text(json.dumps({"deploy": {"there": {"target": "vm", "vm": "web"}}}))
    rows: list[tuple[str, str, list[Any]]] = []
    for state, vm in (("running", "web"), ("deployed", "there"), ("absent", "wob"), ("stopped", "web")):
        if state == "stopped":
            room.ov("vm", "stop", "--force", "web")
        verbs = [verb for verb in VERBS if state != "deployed" or verb in {"libvirt info", "spice status"}]
        found = carried_out(room, [line_of(verb, vm) for verb in verbs])
        rows += [(verb, state, row) for verb, row in zip(verbs, found, strict=True)]
    for verb, state, (code, out, err, seconds) in rows:
        told = (err.strip() or out.strip()).splitlines()[:1]
        print(f"{room.backend:8} {verb:32} {state:9} {code} {seconds:5.1f} s {''.join(told)[:80]!a}")
    for verb, state, (code, out, err, _) in rows:
        running, stopped = VERBS[verb][1:]
        wanted = {"running": running, "deployed": running, "stopped": stopped}.get(state, (2, "there is no VM wob"))
        if state == "absent" and verb == "libvirt list":
            wanted = running
        if room.backend == "qemu" and "domain-xml" in verb and state != "absent":
            wanted = (1, "has no domain XML")
        assert (code, wanted[1] in out + err) == (wanted[0], True), (verb, state, code, out, err)
        assert "Traceback" not in err and (code == 0 or "hint: " in err), (verb, state, err)


def test_a_kept_password_is_there_after_a_start(room: Room) -> None:
    """Until ``ov vm create`` puts back the one of vms.yml."""
    room.ov("eval", "libvirt", "passwd", "web", "kept words", "--persistent", "--type", "spice")
    assert "9 bytes" in room.ov("eval", "libvirt", "passwd", "web", "123456789", "--type", "vnc", code=2)
    room.ov("vm", "start", "web")
    assert "spice ok" in room.ov("eval", "spice", "status", "web", "--password", "kept words")
    assert "wrong password" in room.ov("eval", "spice", "status", "web", "--password", "first words", code=1)
    room.ov("vm", "stop", "--force", "web")
    room.ov("vm", "create", "web")
    assert "spice ok" in room.ov("eval", "spice", "status", "web", "--password", "first words")


def test_another_connection_and_what_is_not_ours(room: Room) -> None:
    session = "qemu:///session"
    if room.backend == "qemu":
        assert "has no connection" in room.ov("eval", "libvirt", "info", "web", "--uri", session, code=2)
        return
    domain = "<domain type='qemu'><name>other</name><memory>65536</memory><os><type>hvm</type></os></domain>"
    file = room.project / "other.xml"
    file.write_text(domain, encoding="utf-8")
    virsh = [*room.words[:-3], "virsh", "-c", session]
    assert attempt(*virsh, "define", file, env=room.env, timeout=SECONDS).returncode == 0
    try:
        listed = {one["name"]: one for one in json.loads(room.ov("-q", "eval", "libvirt", "list"))}
        assert (listed["other"]["ours"], listed["other"]["state"]) == (False, "stopped")
        assert listed["ov-web"]["ours"] and listed["ov-web"]["uuid"] != listed["other"]["uuid"]
        assert json.loads(room.ov("-q", "eval", "libvirt", "list", "--uri", session)) == [*listed.values()]
    finally:
        attempt(*virsh, "undefine", "other", env=room.env, timeout=SECONDS)
    assert "running" in room.ov("eval", "libvirt", "info", "web", "--uri", session)
    assert "hint: " in room.ov("eval", "libvirt", "qmp", "web", "query-status", "--uri", "nonsense:///x", code=1)
