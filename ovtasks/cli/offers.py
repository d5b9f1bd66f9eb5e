"""What a shell can offer in any project: commands, options, fixed values.

It is made from the parsers once for each version of this package and its plugins, and kept in the user's cache:
making all parsers takes longer than a person waits for a key.
"""

from __future__ import annotations

import marshal
import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ovtasks import __version__
from ovtasks.graph.manifest import USELESS, private

if TYPE_CHECKING:
    from argparse import ArgumentParser

PACKAGE = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120


class Parameter(NamedTuple):
    """An option or an argument. ``takes``: a value follows; ``many``: it may come again; ``words``: known values."""

    dest: str
    metavar: str
    takes: bool
    many: bool
    words: tuple[str, ...]
    help: str


class Verb(NamedTuple):
    """A command: its help line, the words that may follow with their help lines, its options, and its arguments."""

    help: str
    verbs: Mapping[str, str]
    options: Mapping[str, Parameter]
    arguments: tuple[Parameter, ...]


class Offers(NamedTuple):
    """Commands by their words (``("vm", "ssh")``), and what else is fixed: words with a line of help, by kind.

    ``lists`` has settings, templates and keys. ``steps`` has the verbs of a source's steps, by ``source.kind``.
    ``values`` has the words that a setting may be set to.
    """

    commands: Mapping[tuple[str, ...], Verb]
    lists: Mapping[str, Mapping[str, str]]
    steps: Mapping[str, tuple[str, ...]]
    values: Mapping[str, tuple[str, ...]]


def offers() -> Offers:
    """From the cache if that is of this version, else made, and kept for the next time."""
    path, identity = _place(), _identity()
    try:
        saved, commands, lists, steps, values = marshal.loads(private(path))
        if saved == identity:
            return Offers({words: _unpacked(verb) for words, verb in commands.items()}, lists, steps, values)
    except USELESS:
        pass
    made = _make()
    _save(path, identity, made)
    return made


def _unpacked(saved: tuple[str, dict[str, str], dict[str, tuple[Any, ...]], tuple[tuple[Any, ...], ...]]) -> Verb:
    options = {name: Parameter(*one) for name, one in saved[2].items()}
    return Verb(saved[0], saved[1], options, tuple(Parameter(*one) for one in saved[3]))


def _place() -> str:
    from ovtasks.host.paths import cache_home

    return f"{cache_home()}/completion"


def _identity() -> tuple[object, ...]:
    """Changes with the version, with what is installed beside this package, and with the code of a checkout."""
    stamps = [os.stat(path).st_mtime_ns for path in sys.path if path.endswith("-packages") and os.path.isdir(path)]  # noqa: PTH112, PTH116
    newest = max(os.stat(path).st_mtime_ns for path in _folders(PACKAGE))  # noqa: PTH116
    return (__version__, sys.hexversion, PACKAGE, newest, *stamps)


def _folders(top: str) -> Iterator[str]:
    """The folders and the files of the package's code."""
    with os.scandir(top) as found:
        for entry in found:
            if entry.name.endswith((".py", ".yml")):
                yield entry.path
            elif "." not in entry.name and entry.name != "__pycache__" and entry.is_dir():
                yield from _folders(entry.path)


def _save(path: str, identity: tuple[object, ...], made: Offers) -> None:
    from pathlib import Path

    from ovtasks.host.beneath import UnsafeError
    from ovtasks.host.files import write_atomic

    commands = {
        words: (*verb[:2], {name: tuple(one) for name, one in verb.options.items()}, tuple(map(tuple, verb.arguments)))
        for words, verb in made.commands.items()
    }
    content: tuple[object, ...] = (identity, commands, *made[1:])
    try:
        write_atomic(Path(path), marshal.dumps(content), mode=0o600)  # type: ignore[arg-type]
    except (OSError, UnsafeError):
        return  # the next key is slow again


def _make() -> Offers:
    from ovtasks.cli.init import OTHERS
    from ovtasks.cli.main import parser
    from ovtasks.cli.tree import walk
    from ovtasks.graph import plugins
    from ovtasks.host.settings_table import SETTINGS
    from ovtasks.project.official import official_images
    from ovtasks.registry import names

    official = {one.name: one.title for one in official_images()}
    lists = {
        "settings": {key.name: key.meaning for key in SETTINGS.values()},
        "templates": {**{name: what for name, (_, what) in OTHERS.items()}, **official},
    }
    values = {
        key.name: tuple(dict.fromkeys((*key.allowed, *(names(key.plugins) if key.plugins else ()))))
        for key in SETTINGS.values()
    }
    steps = {plugin.kind: tuple(plugin.verbs) for plugin in plugins.sources()}
    commands = {words: _verb(command.help, made) for words, command, made in walk(parser())}
    return Offers(commands, lists, steps, values)


def _verb(help: str, parser: ArgumentParser) -> Verb:
    from ovtasks.cli.tree import below, help_of, parameters

    options, arguments = {}, []
    for action in parameters(parser):
        known = map(str, action.choices or vars(action).get("words", ()))
        many = action.nargs in {"*", "+"} or type(action).__name__ == "_AppendAction"
        metavar = action.metavar if isinstance(action.metavar, str) else ""
        text = help_of(parser, action)
        value = Parameter(action.dest, metavar, action.nargs != 0, many, tuple(known), text)
        options.update(dict.fromkeys(action.option_strings, value))
        if not action.option_strings:
            arguments.append(value)
    verbs = {name: one.help for one in below(parser) for name in (one.name, *one.aliases)}
    return Verb(help, verbs, options, tuple(arguments))
