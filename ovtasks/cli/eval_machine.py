"""``ov eval libvirt`` and ``ov eval spice``; ``ov vm screenshot | sendkey | type``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.cli.common import add_instance, find_record, note, number, output_json
from ovtasks.errors import EXIT_DONE

if TYPE_CHECKING:
    from ovtasks.probes.method import Argument, Method, Said

_FILE = "the PNG file (screenshot.png), or - for stdout"


def screenshot_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm screenshot``."""
    parser.description = "Write what the VM shows as PNG. It needs no agent and no SSH, but a VM with a display."
    add_instance(parser)
    parser.add_argument("file", nargs="?", default="screenshot.png", metavar="FILE", help=_FILE)
    parser.add_argument("--screen", type=int, default=0, metavar="N", help="the number of the display (0)")
    parser.set_defaults(run=run_screenshot)


def sendkey_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm sendkey``."""
    parser.description = "Press keys together: ctrl+alt+delete, or ctrl alt f2, or KEY_ENTER."
    add_instance(parser)
    parser.add_argument("keys", nargs="+", metavar="KEY")
    parser.add_argument("--hold", type=number(60000, "number of milliseconds"), default=50, metavar="MS", help="50")
    parser.set_defaults(run=run_sendkey)


def type_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm type``."""
    parser.description = "Type text on the VM's keyboard, which the guest must take for a US one. - reads stdin."
    add_instance(parser)
    parser.add_argument("text", metavar="TEXT")
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

    parser.description = "Look at a VM from outside. Both backends answer, but domain-xml needs libvirt."
    groups = _offer(parser, LIBVIRT)
    groups[()].add_parser("list", help="all VMs of this user").set_defaults(run=run_list)
    for name in ("create", "info", "revert", "delete"):
        declare = getattr(snapshot, f"{name}_arguments")
        declare(groups["snapshot",].add_parser(name, help=f"as ov vm snapshot {name}"))


def spice_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov eval spice``."""
    from ovtasks.probes.spice_methods import SPICE

    parser.description = (
        "Talk to a VM's SPICE server. QEMU has one session at a time: a viewer that is connected is thrown out."
    )
    _offer(parser, SPICE)


def run_list(args: argparse.Namespace) -> int:
    """Print all VMs."""
    from ovtasks.probes.listing import domains

    output_json(domains())
    return EXIT_DONE


def _offer(
    parser: argparse.ArgumentParser, methods: Sequence[Method]
) -> dict[tuple[str, ...], argparse._SubParsersAction[argparse.ArgumentParser]]:
    """A parser for each method, below those of its groups. Returns where further ones go, by group."""
    parser.set_defaults(run=run_method)
    groups: dict[tuple[str, ...], argparse._SubParsersAction[argparse.ArgumentParser]] = {}
    groups[()] = parser.add_subparsers(required=True, metavar="METHOD", parser_class=argparse.ArgumentParser)
    for method in methods:
        *above, name = method.name.split("/")
        for depth, group in enumerate(above):
            if (words := tuple(above[: depth + 1])) not in groups:
                made = groups[words[:-1]].add_parser(group, help=f"{group}: …")
                groups[words] = made.add_subparsers(required=True, metavar="METHOD")
        one = groups[tuple(above)].add_parser(name, help=method.help, description=method.help)
        add_instance(one)
        for argument in method.arguments:
            _declare(one, argument)
        if method.picture:
            one.add_argument("file", nargs="?", default="screenshot.png", metavar="FILE", help=_FILE)
        one.set_defaults(method=method)
    return groups


def _declare(parser: argparse.ArgumentParser, one: Argument) -> None:
    if one.field == "rest":
        return  # the words behind --, which argparse never sees
    if one.default is False:
        parser.add_argument(one.name, action="store_true", help=one.help)
    elif one.name.startswith("-"):
        parser.add_argument(one.name, type=one.of, default=one.default, help=one.help)
    else:
        many = "+" if one.many else None if one.needed else "?"
        parser.add_argument(one.name, nargs=many, type=one.of, metavar=one.name.upper(), help=one.help)


def run_method(args: argparse.Namespace) -> int:
    """Run the method, and print what it says as it comes."""
    method: Method = args.method
    record = find_record(args)
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
            note(args).note(args.file)
        else:
            _print(said, line=streaming)
        if said.note:
            note(args).note(said.note)
    return code


def _print(said: Said, *, line: bool) -> None:
    if said.data is not None and line:
        print(json.dumps(said.data), flush=True)
    elif said.data is not None:
        output_json(said.data)
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
