"""The methods of ``ov eval libvirt`` about the VM. They work for both backends, but for what only libvirt has."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ovtasks.backends.contract import backend
from ovtasks.backends.qemu.qmp import mapping
from ovtasks.errors import InputError, OvError
from ovtasks.instance.display_password import check_password, keep_password
from ovtasks.instance.record import Record
from ovtasks.instance.snapshot_list import snapshots_of, stands_on_snapshot
from ovtasks.instance.status import status
from ovtasks.probes.guest_methods import GUEST
from ovtasks.probes.machine import HOLD, ask_agent, cpu_seconds, domain_xml, monitor_of, picture, press
from ovtasks.probes.method import Argument, Method, MethodValues, Said, duration, whole
from ovtasks.values.jsonvalue import Json, parse
from ovtasks.values.keys import parse_chord

_AGENT_SECONDS = 3.0
_PROTOCOLS = ("spice", "vnc")


def _info(record: Record, values: MethodValues) -> Said:
    now = status(record)
    found: dict[str, Json] = {"name": record.domain, "uuid": record.uuid, "backend": record.backend}
    found |= {"state": now.state.value, "memory": now.memory, "uptime": now.uptime, "pid": now.pid, "note": now.note}
    if now.active:
        monitor = monitor_of(record)
        cpus = monitor.monitor(record.handle, "query-cpus-fast", {})
        sizes = mapping(monitor.monitor(record.handle, "query-memory-size-summary", {}))
        found["memory_max"] = sum(int(str(sizes.get(key) or 0)) for key in ("base-memory", "plugged-memory"))
        found["cpus"] = len(cpus) if isinstance(cpus, list) else None
        found["cpu_seconds"] = cpu_seconds(now.pid)
        found["graphics"] = _graphics(record)
        try:
            ask_agent(record, "guest-ping", _AGENT_SECONDS)
        except OvError as e:
            found |= {"agent": False, "agent_note": e.message}
        else:
            found["agent"] = True
    return Said(data=found)


def _graphics(record: Record) -> list[Json]:
    """The servers of the VM's displays."""
    return [
        {"type": place.kind, "listen": str(place), "port": place.port or None, "password": bool(place.password)}
        for place in monitor_of(record).displays(record.handle)
    ]


def _screenshot(record: Record, values: MethodValues) -> Said:
    return Said(picture(record, int(str(values["screen"]))).png())


def _send_key(record: Record, values: MethodValues) -> Said:
    words = values["keys"]
    chord = parse_chord(words if isinstance(words, list) else [str(words)])
    press(record, [chord], int(str(values["hold"])))
    return Said(note=f"pressed in {record.words}")


def _passwd(record: Record, values: MethodValues) -> Said:
    kind, password = str(values["type"]), values["password"]
    if kind not in _PROTOCOLS:
        raise InputError(f"{kind!r} has no password", hint=f"--type {' or '.join(_PROTOCOLS)}")
    if not isinstance(password, str):
        raise InputError("no password is given", hint="write it on stdin")
    check_password(kind, password)
    until = "it stops"
    if values["persistent"]:
        keep_password(record, kind, password)
        until = "`ov vm create` puts back the one of vms.yml"
        if not status(record).active:
            return Said(note=f"the {kind} password of {record.words} is changed from its next start until {until}")
    try:
        monitor_of(record).monitor(record.handle, "set_password", {"protocol": kind, "password": password})
    except OvError as e:
        later = "; from the next start it has the new one" if values["persistent"] else ""
        hint = f"the {kind} display must have a password when the VM starts: passwd in libvirt.devices.graphics{later}"
        raise OvError(e.message, hint=hint) from e
    return Said(note=f"the {kind} password of {record.words} is changed until {until}")


def _qmp(record: Record, values: MethodValues) -> Said:
    text = values["arguments"]
    try:
        arguments = parse(str(text)) if text else {}
    except ValueError as e:
        raise InputError(f"the arguments are not JSON: {e}", hint="""as in '{"device": "vda"}'""") from None
    if not isinstance(arguments, dict):
        raise InputError("the arguments of a QMP command are an object", hint="""as in '{"device": "vda"}'""")
    return Said(data=monitor_of(record).monitor(record.handle, str(values["command"]), arguments))


def _domain_xml(record: Record, values: MethodValues) -> Said:
    return Said(domain_xml(record, config=bool(values["config"])).encode())


def _console(record: Record, values: MethodValues) -> Iterator[Said]:
    """What the guest says on its serial console for a while."""
    until = time.monotonic() + float(str(values["duration"]))
    with backend(record.backend).console(record.handle) as connection:
        while (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            try:
                data = connection.recv(65536)
            except TimeoutError:
                return
            if not data:
                return
            yield Said(data)


def _events(record: Record, values: MethodValues) -> Iterator[Said]:
    for event in monitor_of(record).events(record.handle, float(str(values["duration"]))):
        yield Said(data=event)


def _snapshots(record: Record, values: MethodValues) -> Said:
    """Those of ``ov vm snapshot``; and while the VM runs those inside of its disks, which QEMU knows."""
    found: list[Json] = [*named_snapshots(record)]
    if not status(record).active:
        return Said(data=found)
    answer = monitor_of(record).monitor(record.handle, "query-block", {})
    for device in map(mapping, answer if isinstance(answer, list) else ()):
        image = mapping(mapping(device.get("inserted")).get("image"))
        inside = image.get("snapshots")
        for one in map(mapping, inside if isinstance(inside, list) else ()):
            found.append({"disk": image.get("filename"), "name": one.get("name"), "date": one.get("date-sec")})
    return Said(data=found)


def named_snapshots(record: Record) -> list[dict[str, Json]]:
    """The snapshots that ``ov vm snapshot`` made, the oldest first."""
    on = stands_on_snapshot(record.folder)
    return [
        {"name": one.name, "created": one.created, "description": one.description, "current": one.name == on}
        for one in snapshots_of(record.folder)
    ]


SCREEN = Argument("--screen", "the number of the display (0)", 0, whole)
_DURATION = Argument("--duration", "seconds (10)", 10.0, duration)
_SHORT = Argument("--duration", "seconds (5)", 5.0, duration)
LIBVIRT = (
    Method("info", "state, memory, processors, graphics, whether the agent answers", _info),
    Method("screenshot", "what the display shows, as PNG", _screenshot, (SCREEN,), picture=True),
    Method(
        "send-key",
        "press keys together: ctrl+alt+delete",
        _send_key,
        (
            Argument("keys", "names of keys", key="key", needed=True, many=True),
            Argument("--hold", f"milliseconds ({HOLD})", HOLD, whole),
        ),
    ),
    Method(
        "passwd",
        "change the password of the display; it is read from stdin",
        _passwd,
        (
            Argument("password", "visible to every user of this host; prefer stdin", key="text"),
            Argument("--type", "spice or vnc", "spice"),
            Argument("--persistent", "also in its definition, so that it survives a restart", False),
        ),
    ),
    Method(
        "qmp",
        "send a command to QEMU's monitor",
        _qmp,
        (
            Argument("command", "for example query-status", key="text", needed=True),
            Argument("arguments", "a JSON object", key="input"),
        ),
    ),
    Method(
        "domain-xml",
        "the domain as libvirt has it",
        _domain_xml,
        (Argument("--config", "as it will start next", False),),
    ),
    Method("console", "the output of the guest's serial console", _console, (_SHORT,)),
    Method("events", "QEMU's events as they come, one JSON object a line", _events, (_DURATION,)),
    Method("snapshot/list", "the snapshots; for a running VM also internal ones of its disks", _snapshots),
    *GUEST,
)
