"""``ov eval libvirt`` and ``ov eval spice``; ``ov vm screenshot | sendkey | type``."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ovtasks.cli.common import add_instance, find_record, note, number, open_project, output_json
from ovtasks.cli.parser import Parser
from ovtasks.errors import EXIT_DONE, InputError

if TYPE_CHECKING:
    from ovtasks.instance.record import Record
    from ovtasks.probes.method import Argument, Method, Said
    from ovtasks.values.jsonvalue import Json

    Group: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]

_FILE = "the PNG file (screenshot.png), or - for stdout"


def screenshot_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm screenshot``."""
    from ovtasks.probes.method import whole

    parser.description = "Save the VM's screen as PNG. The VM needs a display, but no agent and no SSH."
    add_instance(parser)
    parser.add_argument("file", nargs="?", default="screenshot.png", metavar="FILE", help=_FILE)
    parser.add_argument("--screen", type=whole, default=0, metavar="N", help="the number of the display (0)")
    parser.set_defaults(run=run_screenshot)


def sendkey_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm sendkey``."""
    parser.description = "Press keys at the same time: ctrl+alt+delete, or ctrl alt f2, or KEY_ENTER."
    add_instance(parser)
    parser.add_argument("keys", nargs="+", metavar="KEY", help="keys by their names: ctrl, f2, KEY_ENTER")
    parser.add_argument(
        "--hold",
        type=number(60000, "number of milliseconds"),
        default=50,
        metavar="MS",
        help="milliseconds to hold the keys (50)",
    )
    parser.set_defaults(run=run_sendkey)


def type_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm type``."""
    parser.description = "Type text on the VM's keyboard. The guest must use the US layout. - reads stdin."
    add_instance(parser)
    parser.add_argument("text", metavar="TEXT", help="the text, or - for stdin")
    parser.add_argument("--enter", action="store_true", help="press enter after it")
    parser.set_defaults(run=run_type)


def run_screenshot(args: argparse.Namespace) -> int:
    """Write the picture."""
    from ovtasks.probes.machine import picture

    found = picture(find_record(args), args.screen)
    _write(found.png(), args.file)
    note(args).note(f"{args.file}: {found.width}x{found.height}")
    return EXIT_DONE


def run_sendkey(args: argparse.Namespace) -> int:
    """Press the keys."""
    from ovtasks.probes.machine import press
    from ovtasks.values.keys import parse_chord

    chord = parse_chord(args.keys)
    press(find_record(args), [chord], args.hold)
    return EXIT_DONE


def run_type(args: argparse.Namespace) -> int:
    """Type the text."""
    from ovtasks.probes.machine import press
    from ovtasks.values.keys import chords

    text = sys.stdin.read() if args.text == "-" else args.text
    press(find_record(args), chords(text + ("\n" if args.enter else "")))
    return EXIT_DONE


def libvirt_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov eval libvirt``."""
    from ovtasks.cli import snapshot
    from ovtasks.probes.libvirt_methods import LIBVIRT

    parser.description = (
        "Look at a VM from outside. All methods work with both backends, except domain-xml, which needs "
        "libvirt. NAME is a VM or a deployment."
    )
    groups = _offer(parser, LIBVIRT)
    listing = groups[()].add_parser(
        "list", help="list all VMs of this user, including libvirt domains that ov did not make"
    )
    _named(listing, parser, ("list",))
    _add_common(listing)
    listing.set_defaults(run=run_list)
    for name in ("create", "info", "revert", "delete"):
        declare = getattr(snapshot, f"{name}_arguments")
        made = groups["snapshot",].add_parser(name, help=f"as ov vm snapshot {name}")
        declare(_named(made, parser, ("snapshot", name)))


def spice_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov eval spice``."""
    from ovtasks.probes.spice_methods import SPICE

    parser.description = (
        "Talk to a VM's SPICE server. QEMU serves one session at a time, so this disconnects an open "
        "viewer. NAME is a VM or a deployment."
    )
    _offer(parser, SPICE)


def run_list(args: argparse.Namespace) -> int:
    """Print all VMs."""
    from ovtasks.probes.listing import domains

    _say(domains(args.uri), args.format)
    return EXIT_DONE


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=("json", "text"), default="json", help="how data is printed (json)")
    parser.add_argument("--uri", help="libvirt's connection (the VM's own; else $OV_LIBVIRT_URI)")


def _offer(parser: argparse.ArgumentParser, methods: Sequence[Method]) -> dict[tuple[str, ...], Group]:
    """A parser for each method, below those of its groups. Returns where further ones go, by group."""
    parser.set_defaults(run=run_method)
    groups: dict[tuple[str, ...], Group] = {}
    groups[()] = parser.add_subparsers(required=True, metavar="METHOD", parser_class=Parser)
    for method in methods:
        *above, name = method.name.split("/")
        for depth, group in enumerate(above):
            if (words := tuple(above[: depth + 1])) not in groups:
                made = _named(groups[words[:-1]].add_parser(group, help=f"{group}: …"), parser, words)
                groups[words] = made.add_subparsers(required=True, metavar="METHOD")
        one = groups[tuple(above)].add_parser(name, help=method.help, description=method.help)
        _named(one, parser, (*above, name))
        add_instance(one)
        _add_common(one)
        for argument in method.arguments:
            _declare(one, argument)
        if method.picture:
            one.add_argument("file", nargs="?", default="screenshot.png", metavar="FILE", help=_FILE)
        one.set_defaults(method=method)
    return groups


def _named(
    made: argparse.ArgumentParser, parser: argparse.ArgumentParser, words: tuple[str, ...]
) -> argparse.ArgumentParser:
    """Tell a parser below ``parser`` its words, by which its examples are found."""
    if isinstance(made, Parser) and isinstance(parser, Parser):
        made.words = (*parser.words, *words)
    return made


def _declare(parser: argparse.ArgumentParser, one: Argument) -> None:
    if one.field == "rest":
        return  # the words behind --, which argparse never sees
    if isinstance(one.default, bool):
        action = argparse.BooleanOptionalAction if one.default else "store_true"
        parser.add_argument(one.name, action=action, default=one.default, help=one.help)
    elif one.name.startswith("-"):
        parser.add_argument(one.name, type=one.read, default=one.default, help=one.help)
    else:
        many = "+" if one.many else None if one.needed else "?"
        parser.add_argument(one.name, nargs=many, type=one.read, metavar=one.name.upper(), help=one.help)


def run_method(args: argparse.Namespace) -> int:
    """Run the method, and print what it says as it comes."""
    method: Method = args.method
    record = _record(args)
    values = {one.field: getattr(args, one.field, None) for one in method.arguments}
    if method.name == "passwd" and values["password"] is None:
        values["password"] = _password()
    code = EXIT_DONE
    found = method.run(record, values)
    streaming = isinstance(found, Iterator)
    for said in found if isinstance(found, Iterator) else (found,):
        code = said.code or code
        if method.picture:
            _write(said.out, args.file)
            if args.file != "-":
                note(args).note(args.file)
        else:
            _print(said, args.format, line=streaming)
        if said.note:
            note(args).note(said.note)
    return code


def _record(args: argparse.Namespace) -> Record:
    """The instance that NAME means: a VM's, else the one of the deployment called so."""
    from ovtasks.instance.find import find_or_none

    if args.instance is None and find_or_none(args.vm) is None:
        with contextlib.suppress(InputError):  # without a project there are no deployments
            found = open_project(args, [args.vm]).deployments.get(args.vm)
            args.vm, args.instance = (found.vm, found.instance) if found else (args.vm, None)
    record = find_record(args)
    if args.uri is None:
        return record
    if record.backend != "libvirt":
        hint = "leave --uri out: QEMU's own sockets are asked"
        raise InputError(f"{record.words} runs on {record.backend}, which has no connection", hint=hint)
    return replace(record, uri=args.uri)


def _say(data: Json, form: str) -> None:
    if form == "json":
        output_json(data)
    else:
        print("\n".join(_lines(data)) or "none")


def _lines(data: Json) -> Iterator[str]:
    """Data for people: a line for each value, ``name: value``, what belongs together below its name."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            if isinstance(value, Mapping | list) and value:
                yield f"{key}:"
                yield from (f"  {line}" for line in _lines(value))
            else:
                yield f"{key}: {_plain(value)}"
    elif isinstance(data, list):
        for item in data:
            first, *rest = list(_lines(item)) or [""]
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    else:
        yield _plain(data)


def _plain(value: Json) -> str:
    words = {None: "-", True: "yes", False: "no"}
    if value is None or isinstance(value, bool):
        return words[value]
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)


def _print(said: Said, form: str, *, line: bool) -> None:
    if said.data is not None and line:
        print(json.dumps(said.data), flush=True)
    elif said.data is not None:
        _say(said.data, form)
    sys.stdout.flush()
    sys.stdout.buffer.write(said.out)
    sys.stdout.buffer.flush()
    sys.stderr.write(said.errors.decode("utf-8", "replace"))


def _password() -> str:
    if sys.stdin.isatty():
        from getpass import getpass

        return getpass("password: ")
    return sys.stdin.readline().rstrip("\n")


def _write(data: bytes, file: str) -> None:
    if file == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    from ovtasks.probes.output import save

    save(Path(file), data)
