"""``ov vm list | status | ip | logs``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from ovtasks.cli.common import add_instance, find_record, note, output_json
from ovtasks.cli.streams import say_errors
from ovtasks.errors import EXIT_DONE, EXIT_FAILED, OvError
from ovtasks.values.sizes import format_size

if TYPE_CHECKING:
    from ovtasks.backends.contract import VmStatus
    from ovtasks.instance.record import Record

LOG_LINES = 50
SSH = 22
Endpoint: TypeAlias = "tuple[str, int]"
"""The address and port at which this host reaches a guest's SSH server."""


def list_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm list``."""
    parser.description = "List VMs of all projects."
    parser.add_argument("-a", "--all", action="store_true", help="include stopped VMs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_list)


def status_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm status``."""
    parser.description = "Show everything about one VM."
    add_instance(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_status)


def ip_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm ip``."""
    parser.description = (
        "Print the address of the guest's SSH server: 127.0.0.1:PORT in network mode user, else its own."
    )
    add_instance(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_ip)


def logs_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm logs``."""
    parser.description = "Show the log of the serial console."
    add_instance(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="show new lines until Ctrl-C")
    parser.add_argument("-n", "--lines", type=int, default=LOG_LINES, help=f"how many (default {LOG_LINES})")
    parser.set_defaults(run=run_logs)


def run_list(args: argparse.Namespace) -> int:
    """Print one line per VM. Damaged records, and what cannot be put back after a killed update, go to stderr."""
    from ovtasks.cli.stale import stale
    from ovtasks.instance.address import reached
    from ovtasks.instance.aside import settle, unfinished
    from ovtasks.instance.find import every
    from ovtasks.instance.status import statuses

    damaged: list[OvError] = []
    for domain in unfinished():
        try:
            settle(domain, note(args))
        except OvError as e:
            damaged.append(e)
    records = list(every(damaged))
    states = statuses(records)
    if not args.all:
        records = [record for record in records if states[record.domain].active]
    reasons, places = stale(records, states), reached(records, states)
    seen = [(one, states[one.domain], reasons[one.domain], places.get(one.domain)) for one in records]
    if args.json:
        output_json([facts(*one) for one in seen])
    elif records:
        rows = [_row(*one) for one in seen]
        head: tuple[str, ...] = ("NAME", "INSTANCE", "BACKEND", "STATE", "SSH", "MEMORY", "UPTIME", "STALE")
        if any(record.expires for record in records):
            head = (*head, "EXPIRES")
            rows = [(*row, record.expires or "-") for row, record in zip(rows, records, strict=True)]
        from ovtasks.cli.table import table

        sys.stdout.write(table(head, rows))
    else:
        note(args).note("no VM is running; ov vm list -a shows all" if not args.all else "there are no VMs")
    if not args.json:
        from ovtasks.cli.status import say_emulated

        say_emulated(args, [record for record in records if states[record.domain].active])
    for record in records:
        if text := states[record.domain].note:
            note(args).note(f"ov: {record.words}: {text}")
    say_errors(damaged)
    return EXIT_FAILED if damaged else EXIT_DONE


def _row(record: Record, status: VmStatus, reasons: Sequence[str], place: Endpoint | None) -> tuple[str, ...]:
    return (
        record.vm,
        record.instance or "-",
        record.backend,
        status.state.value,
        ssh_place(record, place) or "-",
        format_size(status.memory) if status.memory else "-",
        duration(status.uptime) if status.uptime is not None else "-",
        reasons[0] if reasons else "-",
    )


def ssh_place(record: Record, place: Endpoint | None) -> str | None:
    """``demo@127.0.0.1:20222``, ``demo@192.168.122.7``; None if the VM has its own address and it is unknown."""
    if place is None:
        return None
    address, port = place
    text = address if port == SSH else f"{address}:{port}"
    return f"{record.user}@{text}" if record.user else text


def duration(seconds: float) -> str:
    """Seconds as text: ``3d 4h``, ``2h 5m``, ``4m 10s``, ``9s``."""
    left = int(seconds)
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        if count := left // size:
            parts.append(f"{count}{unit}")
        left %= size
    return " ".join(parts[:2]) or "0s"


def facts(record: Record, status: VmStatus, reasons: Sequence[str], place: Endpoint | None) -> dict[str, object]:
    """One VM as JSON data; sizes in bytes, times in seconds."""
    from ovtasks.values.jsonvalue import plain

    return {
        "name": record.vm,
        "instance": record.instance,
        "domain": record.domain,
        "backend": record.backend,
        "uri": record.uri,
        "state": status.state.value,
        "note": status.note,
        "pid": status.pid,
        "ssh": {"user": record.user, "address": place[0], "port": place[1]} if place else None,
        "memory": status.memory,
        "uptime": status.uptime,
        "stale": list(reasons),
        "project": str(record.project),
        "directory": str(record.folder.path),
        "forwards": plain(record.forwards),
        "overrides": plain(record.overrides),
        "expires": record.expires,
    }


def run_status(args: argparse.Namespace) -> int:
    """Print one VM, one fact per line; returns 0 whether it runs or not."""
    from ovtasks.cli.stale import stale
    from ovtasks.cli.status import machine_facts, machine_lines
    from ovtasks.host.colour import Hue, painted, state
    from ovtasks.instance.address import reached
    from ovtasks.instance.restart import restart_change
    from ovtasks.instance.status import status

    record = find_record(args)
    now = status(record)
    reasons = stale([record], {record.domain: now})[record.domain]
    place = reached([record], {record.domain: now}).get(record.domain)
    machine, restart = machine_facts(record), restart_change(record, now)
    if args.json:
        more: dict[str, object] = {"uuid": record.uuid, "mac": record.mac, "created": record.created}
        more |= {"instance_id": record.instance_id, "identity": str(record.identity) if record.identity else None}
        more |= {"host_key": record.host_key.value, "accepted_host_keys": list(record.accepted)}
        more |= machine
        more["restart"] = {"changes": [*restart.what], "diff": restart.diff} if restart else None
        output_json({**facts(record, now, reasons, place), **more})
        return EXIT_DONE
    lines = {
        "name": record.words,
        "state": state(now.state.value, sys.stdout) + (f" ({now.note})" if now.note else ""),
        "uptime": duration(now.uptime) if now.uptime is not None else None,
        "memory": format_size(now.memory) if now.memory else None,
        **machine_lines(machine, restart),
        "backend": record.backend + (f" {record.uri}" if record.uri else ""),
        "ssh": ssh_place(record, place),
        "identity": record.identity,
        "host key": _host_key(record),
        "forwards": ", ".join(f"{f.address}:{f.host} to {f.guest}/{f.protocol}" for f in record.forwards) or None,
        "overrides": " ".join(record.overrides.words()) or None,
        "stale": painted("; ".join(reasons), Hue.STALE, sys.stdout) if reasons else "no",
        "uuid": record.uuid,
        "mac": record.mac,
        "instance-id": record.instance_id,
        "project": record.project,
        "folder": record.folder.path,
        "created": record.created,
        "expires": f"{record.expires} (ephemeral)" if record.expires else None,
    }
    for key, value in lines.items():
        if value is not None:
            print(f"{key:<12} {value}")
    return EXIT_DONE


def _host_key(record: Record) -> str:
    """The state of the guest's host key in words, with fingerprints if it is another key than the prepared one."""
    from ovtasks.instance.host_key import fingerprint

    prints = ", ".join(fingerprint(key) for key in record.accepted)
    return record.host_key.value + (f" {prints}, not the one prepared for it" if prints else "")


def run_ip(args: argparse.Namespace) -> int:
    """Print the address."""
    from ovtasks.cli.reach import need_running
    from ovtasks.instance.address import address_of

    record = find_record(args)
    need_running(record)
    address, port = address_of(record)
    if args.json:
        output_json({"address": address, "port": port})
    else:
        print(f"{address}:{port}" if record.ssh_port else address)
    return EXIT_DONE


def run_logs(args: argparse.Namespace) -> int:
    """Print the end of the log; with ``-f`` go on with new output."""
    from ovtasks.cli.serial_log import follow, inert, tail

    record = find_record(args)
    log = record.folder.serial_log
    if not log.exists():
        raise OvError(f"{record.words} has printed nothing yet", hint=f"ov vm start {record.words}")
    if args.follow:
        follow(log, sys.stdout.buffer, lines=args.lines)
    else:
        data = tail(log, args.lines)
        sys.stdout.buffer.write(inert(data) if sys.stdout.isatty() else data)
    return EXIT_DONE
