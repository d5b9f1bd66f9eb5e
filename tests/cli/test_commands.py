"""The table of commands: each row's module declares it and says what runs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest

from ovtasks.cli.commands import COMMANDS
from ovtasks.cli.main import parser
from ovtasks.cli.parser import CliCommand, Parser


def leaves(commands: tuple[CliCommand, ...] = COMMANDS, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """``("vm", "list")`` for every command that does something."""
    for command in commands:
        words = (*before, command.name)
        if command.verbs:
            yield from leaves(command.verbs, words)
        else:
            yield words


def find(words: tuple[str, ...]) -> Parser:
    """The parser of a command, with its arguments."""
    found = parser().complete()
    for word in words:
        actions = [one for one in found._actions if isinstance(one, argparse._SubParsersAction)]
        found = actions[0].choices[word].complete()
    return found


@pytest.mark.parametrize("words", list(leaves()), ids=" ".join)
def test_every_command_runs_something_and_has_its_own_name(words: tuple[str, ...]) -> None:
    found = find(words)
    run = found.get_default("run")
    assert callable(run)
    assert run.__module__.startswith("ovtasks.cli.")
    assert found.format_help().startswith(f"usage: ov {' '.join(words)}")


def test_a_parser_declares_its_arguments_once() -> None:
    found = find(("vm", "ip"))
    assert found.complete().format_help() == found.format_help()
    assert found.format_help().count("--json") == 2  # usage and list
