"""Walks the parsers of all commands, for what describes them: manual pages, docs/commands.md, the shells."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ovtasks.cli.parser import CliCommand, CommandAction

_COLOURS = re.compile(r"\x1b\[[\d;]*m")


def walk(
    parser: argparse.ArgumentParser, words: tuple[str, ...] = (), command: CliCommand | None = None
) -> Iterator[tuple[tuple[str, ...], CliCommand, argparse.ArgumentParser]]:
    """Each command and those below it: its words without ``ov``, its row, its parser. Aliases come as commands, too."""
    yield words, command or CliCommand("ov", parser.description or ""), parser
    for one in below(parser):
        for name in (one.name, *one.aliases):
            yield from walk(parser_of(parser, one.name), (*words, name), one)


def below(parser: argparse.ArgumentParser) -> Sequence[CliCommand]:
    """The commands that may follow."""
    action = _commands(parser)
    if action is None or isinstance(action, CommandAction):
        return action.offered if action is not None else ()
    return [CliCommand(one.dest, one.help or "") for one in action._choices_actions]


def parser_of(parser: argparse.ArgumentParser, name: str) -> argparse.ArgumentParser:
    """The parser of a command that may follow."""
    action = _commands(parser)
    assert action is not None
    return action.parser_of(name) if isinstance(action, CommandAction) else action.choices[name]


def _commands(parser: argparse.ArgumentParser) -> argparse._SubParsersAction[argparse.ArgumentParser] | None:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action
    return None


def parameters(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Options and arguments."""
    return [one for one in parser._actions if not isinstance(one, argparse._SubParsersAction)]


def help_of(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """The help of an option or argument, as ``--help`` has it, in one line."""
    return " ".join(parser._get_formatter()._expand_help(action).split()) if action.help else ""


class CommandManual(NamedTuple):
    """What there is to say about a command.

    ``below`` are the commands that may follow, by heading. ``arguments`` and ``options`` are terms and their meanings.
    """

    words: tuple[str, ...]
    command: CliCommand
    usage: str
    description: str
    below: dict[str, list[CliCommand]]
    arguments: list[tuple[str, str]]
    options: list[tuple[str, str]]
    epilog: str
    examples: dict[str, str]


def manuals() -> Iterator[CommandManual]:
    """One for each command, in the order of help; aliases have none of their own."""
    from ovtasks.cli.examples import examples_of
    from ovtasks.cli.main import parser

    for words, command, made in walk(parser()):
        if words and words[-1] != command.name:
            continue
        headings: dict[str, list[CliCommand]] = {}
        for one in below(made):
            headings.setdefault(one.group, []).append(one)
        terms = [(one, (_term(made, one), help_of(made, one))) for one in parameters(made)]
        yield CommandManual(
            words,
            command,
            " ".join(_COLOURS.sub("", made.format_usage()).removeprefix("usage: ").split()),
            " ".join((made.description or f"{command.help}.").split()),
            headings,
            [term for one, term in terms if not one.option_strings],
            [term for one, term in terms if one.option_strings],
            " ".join((made.epilog or "").split()),
            dict(examples_of(words)),
        )


def _term(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """``-i, --instance INSTANCE``, or the name of an argument."""
    formatter = parser._get_formatter()
    names = ", ".join(action.option_strings)
    if names and action.nargs == 0:
        return names
    default = formatter._get_default_metavar_for_optional if names else formatter._get_default_metavar_for_positional
    return f"{names} {formatter._format_args(action, default(action))}".strip()
