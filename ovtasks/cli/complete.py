"""What may come next on a command line, for the shells: ``ov __complete WORD…``, up to the word at the cursor.

It must be quick and never fail: names come from the project's cache and from the files' text, nothing is checked, and
nothing is written.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property

from ovtasks.cli.commands import COMMANDS
from ovtasks.cli.parser import CliCommand, Parser, declare
from ovtasks.graph.manifest import LESSER_FILES, ROOT_FILES, find_root
from ovtasks.host.paths import DOMAIN_PREFIX, data_home

TOP = ("-h", "--help", "--version", "-C", "-q", "--quiet")
GOALS = ("build", "create", "deploy", "destroy", "start", "stop")
"""doit's tasks that take a name behind a colon."""
_SECTIONS = {"vms": "vms", "vm": "vms", "images": "images", "image": "images", "deploy": "deployments"}
_KEY = re.compile(r"""( *)(?:"([^"]+)"|'([^']+)'|([^\s#'"{\[-][^\s#]*)):(?:\s|$)""")


class Names:
    """The names in the project that ``folder`` is in."""

    def __init__(self, folder: str) -> None:
        self.root = find_root(folder)

    @cached_property
    def _known(self) -> Mapping[str, set[str]]:
        found: dict[str, set[str]] = {kind: set() for kind in {*_SECTIONS.values(), "layers"}}
        if self.root is None:
            return found
        from ovtasks.project.cache import cached_names

        for kind, names in cached_names(f"{self.root}/output/.ov/spec.cache").items():
            found[kind] |= {*names}
        for name in (*ROOT_FILES, *LESSER_FILES):
            for kind, entry in _entries(f"{self.root}/{name}"):
                found[kind].add(entry)
        return found

    def vms(self) -> set[str]:
        """VMs of the project's files."""
        return self._known["vms"]

    def images(self) -> set[str]:
        """Images of the project's files."""
        return self._known["images"]

    def layers(self) -> set[str]:
        """The folders of layers."""
        place = f"{self.root}/layers"
        return {name for name in _listed(place) if os.path.isfile(f"{place}/{name}/layer.yml")}  # noqa: PTH113

    def deployments(self) -> set[str]:
        """Those of the files, and ``vm:NAME`` for each VM."""
        return self._known["deployments"] | {f"vm:{vm}" for vm in self.vms()}

    def instances(self, vm: str) -> set[str]:
        """Instances of a VM that were made with ``-i``."""
        begin = f"{DOMAIN_PREFIX}{vm}-"
        return {name.removeprefix(begin) for name in _listed(f"{data_home()}/vm") if name.startswith(begin)}

    def snapshots(self, vm: str, instance: str | None) -> set[str]:
        """Snapshots of an instance."""
        import json

        from ovtasks.host.paths import instance_directory
        from ovtasks.instance.record import domain_of

        with open(instance_directory(domain_of(vm, instance)) / "snapshots.json", "rb") as file:
            return {one["name"] for one in json.load(file)["snapshots"]}


def _entries(path: str) -> Iterable[tuple[str, str]]:
    """Section and name of the entries of a file in block style, by the indentation of its lines."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.readlines()
    except OSError:
        return
    section, indent = "", 0
    for line in lines:
        if (match := _KEY.match(line)) is None:
            continue
        depth, name = len(match[1]), match[2] or match[3] or match[4]
        if depth == 0:
            section, indent = _SECTIONS.get(name, ""), 0
        elif section and (not indent or depth == indent):
            indent = depth
            yield section, name


def _listed(place: str) -> list[str]:
    try:
        return os.listdir(place)  # noqa: PTH208
    except OSError:
        return []


def candidates(words: Sequence[str]) -> list[str]:
    """What may stand in place of the last word, which begins it. The first word is the program's name."""
    program, *before, current = words
    names = Names(os.environ.get("OV_PROJECT_DIR", "."))
    if os.path.basename(program) == "doitw":  # noqa: PTH119
        found = _goals(current, names)
    else:
        found = _of_ov(before, current, names)
    return sorted({word for word in found if word.startswith(current)})


def _goals(current: str, names: Names) -> Iterable[str]:
    verb, colon, _ = current.partition(":")
    if not colon:
        return [f"{goal}:" for goal in GOALS] + ["bench", "clean", "demo", "forget", "info", "list", "test"]
    return [f"{verb}:{name}" for name in (names.deployments() if verb == "deploy" else names.vms())]


def _of_ov(before: Sequence[str], current: str, names: Names) -> Iterable[str]:
    commands: Sequence[CliCommand] = COMMANDS
    at = 0
    while at < len(before):
        word = before[at]
        at += 1
        if word == "-C" and at < len(before):
            names = Names(before[at])
            at += 1
        elif not word.startswith("-"):
            command = next((one for one in commands if word in (one.name, *one.aliases)), None)
            if command is None:
                return ()
            commands = command.verbs
            if not commands:
                return _of_verb(command, before[at:], current, names)
    if before and before[-1] == "-C":
        return ()
    offered = [name for one in commands for name in (one.name, *one.aliases)]
    return TOP if current.startswith("-") and commands is COMMANDS else offered


def _of_verb(command: CliCommand, before: Sequence[str], current: str, names: Names) -> Iterable[str]:
    """Options, values of options, and arguments of one verb."""
    parser = Parser(prog=command.name)
    declare(parser, command)
    while (groups := parser._subparsers) is not None and before:  # `ov eval libvirt …` has verbs of its own
        parsers = next(one.choices for one in groups._group_actions if isinstance(one.choices, dict))
        if before[0] not in parsers:
            return ()
        parser, before = parsers[before[0]], before[1:]
    options = {text: action for action in parser._actions for text in action.option_strings}
    if "--" in before:
        return ()
    given, option = _given(before, options)
    if option is not None:
        return _values(option, given, names)
    if current.startswith("-"):
        return options
    places = [action for action in parser._actions if not action.option_strings]
    count = len(given[""])
    for action in places:
        if action.nargs in {"*", "+"}:
            return set(_values(action, given, names)) - {*given[""]}
        if count == 0:
            return _values(action, given, names)
        count -= 1
    return ()


def _given(
    before: Sequence[str], options: Mapping[str, argparse.Action]
) -> tuple[dict[str, list[str]], argparse.Action | None]:
    """Arguments (below ``""``) and values of options that are there; and the option that waits for its value."""
    given: dict[str, list[str]] = {"": []}
    waiting: argparse.Action | None = None
    for word in before:
        if waiting is not None:
            given.setdefault(waiting.dest, []).append(word)
            waiting = None
        elif word in options:
            waiting = options[word] if options[word].nargs != 0 else None
        elif not word.startswith("-"):
            given[""].append(word)
    return given, waiting


def _values(action: argparse.Action, given: Mapping[str, list[str]], names: Names) -> Iterable[str]:
    """The values of an option or an argument that can be known."""
    if action.choices:
        return map(str, action.choices)
    vm = next(iter(given[""]), "")
    instance = next(iter(given.get("instance", ())), None)
    known: dict[str, Callable[[], Iterable[str]]] = {
        "NAME": names.vms,
        "VM": names.vms,
        "GOAL": lambda: {*names.vms(), *(f"build:{one}" for one in names.vms())},
        "LAYER": names.layers,
        "INSTANCE": lambda: names.instances(vm),
        "SNAP": lambda: names.snapshots(vm, instance),
        "VM[/INSTANCE][@SNAP]": names.vms,
        "TEMPLATE": _templates,
    }
    if action.dest in {"images", "image"}:
        return names.images()
    if action.dest == "name":
        return {*names.deployments(), *names.vms()}
    if action.dest == "key" and action.metavar == "KEY":
        from ovtasks.host.settings import SETTINGS

        return SETTINGS
    return known.get(str(action.metavar), tuple)()


def _templates() -> Iterable[str]:
    from ovtasks.cli.init import OTHERS
    from ovtasks.project.official import official_images

    return {*OTHERS, *(one.name for one in official_images())}


def main(words: Sequence[str]) -> int:
    """Print the candidates, one a line. A shell must not see an error in the middle of somebody's typing."""
    try:
        found = candidates(words) if len(words) > 1 else []
    except (OSError, ValueError, LookupError, TypeError, EOFError, SystemExit):
        found = []
    sys.stdout.write("".join(f"{one}\n" for one in found))
    return 0
