"""The methods of ``ov eval libvirt guest``: by the guest agent, without SSH."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator
from typing import BinaryIO

from ovtasks.errors import InputError
from ovtasks.host.run import run
from ovtasks.instance.record import Record
from ovtasks.probes.agent import SECONDS, frozen, read_guest_file, run_in_guest, thaw, whole, write_guest_file
from ovtasks.probes.machine import ask_agent
from ovtasks.probes.method import Argument, Method, MethodRun, MethodValues, Said, duration, size

_TIMEOUT = Argument("--timeout", "seconds for the answer (5)", 5.0, duration)


def _ask(command: str) -> MethodRun:
    """A method that passes the agent's answer on."""

    def asked(record: Record, values: MethodValues) -> Said:
        return Said(data=ask_agent(record, command, float(str(values["timeout"]))))

    return asked


def _ping(record: Record, values: MethodValues) -> Said:
    ask_agent(record, "guest-ping", float(str(values["timeout"])))
    return Said(note=f"the guest agent of {record.words} is responsive")


def _time(record: Record, values: MethodValues) -> Said:
    """The delta is against the middle of the question's time."""
    before = time.time()
    found = whole(ask_agent(record, "guest-get-time", float(str(values["timeout"])))) / 1e9
    now = (before + time.time()) / 2
    return Said(data={"guest": round(found, 3), "host": round(now, 3), "delta": round(found - now, 3)})


def _exec(record: Record, values: MethodValues) -> Said:
    words = values["rest"]
    argv = _split(words) if isinstance(words, str) else list(words) if isinstance(words, list) else []
    if not argv:
        hint = f"ov eval libvirt guest exec {record.words} -- uname -r"
        raise InputError("no command is given", hint=hint)
    done = run_in_guest(record, argv, seconds=float(str(values["wait"])), capture=bool(values["capture"]))
    note = "its output is cut off: the guest agent keeps 16 MiB" if done.cut else ""
    return Said(done.out, errors=done.errors, code=done.code, note=note)


def _split(words: str) -> list[str]:
    try:
        return shlex.split(words)
    except ValueError as e:
        hint = "quotes are as in a shell: sh -c 'echo \"a b\"'"
        raise InputError(f"{words[:60]!r} is not a command: {str(e).lower()}", hint=hint) from None


def _fstrim(record: Record, values: MethodValues) -> Said:
    ask_agent(record, "guest-ping", SECONDS)  # without an agent it is known at once
    return Said(data=ask_agent(record, "guest-fstrim", 120.0, {"minimum": int(str(values["minimum"]))}))


def _read(record: Record, values: MethodValues) -> Iterator[Said]:
    for data in read_guest_file(record, str(values["path"])):
        yield Said(data)


def _write(record: Record, values: MethodValues) -> Said:
    source: BinaryIO = sys.stdin.buffer
    count = write_guest_file(record, str(values["path"]), source)
    return Said(note=f"{count} bytes are in {values['path']} of {record.words}")


def _freeze(record: Record, values: MethodValues) -> Said:
    """Frozen as long as the command runs, or for some seconds; then thawed, whatever happened."""
    words = values["rest"]
    argv = [str(word) for word in words] if isinstance(words, list) else []
    with frozen(record) as count:
        if argv:
            done = run(argv, check=False)
            return Said(done.stdout.encode(), errors=done.stderr.encode(), code=done.returncode)
        time.sleep(float(str(values["seconds"])))
    return Said(note=f"{count} file systems were frozen, and are thawed")


def _thaw(record: Record, values: MethodValues) -> Said:
    ask_agent(record, "guest-ping", SECONDS)
    return Said(note=f"{thaw(record)} file systems are thawed")


def _list(name: str, command: str, what: str) -> Method:
    return Method(f"guest/{name}", what, _ask(command), (_TIMEOUT,))


_PATH = Argument("path", "an absolute path in the guest", needed=True)
GUEST = (
    Method("guest/ping", "whether the agent answers", _ping, (_TIMEOUT,)),
    _list("info", "guest-info", "the agent's version and commands"),
    _list("os-info", "guest-get-osinfo", "the guest's operating system"),
    Method("guest/time", "the guest's clock, and how it differs from this host's", _time, (_TIMEOUT,)),
    _list("hostname", "guest-get-host-name", "the guest's name"),
    _list("users", "guest-get-users", "who is logged in"),
    _list("interfaces", "guest-network-get-interfaces", "network interfaces and addresses"),
    _list("disks", "guest-get-disks", "disks"),
    _list("fsinfo", "guest-get-fsinfo", "mounted file systems"),
    _list("vcpus", "guest-get-vcpus", "processors"),
    Method(
        "guest/exec",
        "run a command without a shell; ends with its exit status",
        _exec,
        (
            Argument("--wait", "seconds until it must end (60)", 60.0, duration),
            Argument("--capture", "return its output (yes)", True),
            Argument("rest", "the command", key="command", needed=True),
        ),
        rest=True,
    ),
    Method("guest/fstrim", "free unused blocks", _fstrim, (Argument("--minimum", "bytes (0)", 0, size),)),
    Method("guest/file/read", "print a file of the guest", _read, (_PATH,), checked=False),
    Method("guest/file/write", "write stdin into a file of the guest", _write, (_PATH,), checked=False),
    Method("guest/fsfreeze/status", "frozen or thawed", _ask("guest-fsfreeze-status"), (_TIMEOUT,), checked=False),
    Method(
        "guest/fsfreeze/freeze",
        "freeze the file systems while a command of this host runs, then thaw them",
        _freeze,
        (
            Argument("--seconds", "how long, without a command (10)", 10.0, duration),
            Argument("rest", "the command"),
        ),
        checked=False,
        rest=True,
    ),
    Method("guest/fsfreeze/thaw", "thaw the file systems", _thaw, checked=False),
)
