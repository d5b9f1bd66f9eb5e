"""The table of commands: each row's module declares it and says what runs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest

from ovtasks.cli.commands import COMMANDS
from ovtasks.cli.main import parser
from ovtasks.cli.parser import CliCommand, CommandAction


def leaves(commands: tuple[CliCommand, ...] = COMMANDS, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """``("vm", "list")`` for every command that does something."""
    for command in commands:
        words = (*before, command.name)
        if command.verbs:
            yield from leaves(command.verbs, words)
        else:
            yield words


def find(words: tuple[str, ...]) -> argparse.ArgumentParser:
    """The parser of a command, with its arguments."""
    found = parser()
    for word in words:
        found = next(one for one in found._actions if isinstance(one, CommandAction)).parser_of(word)
    return found


@pytest.mark.parametrize("words", list(leaves()), ids=" ".join)
def test_every_command_runs_something_and_has_its_own_name(words: tuple[str, ...]) -> None:
    found = find(words)
    run = found.get_default("run")
    assert callable(run)
    assert run.__module__.startswith("ovtasks.cli.")
    assert found.format_help().startswith(f"usage: ov {' '.join(words)}")


def test_a_command_is_declared_once() -> None:
    found = next(one for one in parser()._actions if isinstance(one, CommandAction))
    assert found.parser_of("doctor") is found.parser_of("doctor")
    assert found.parser_of("doctor").format_help().count("--json") == 2  # usage and list


@pytest.mark.parametrize("words", [(), ("vm",)], ids=["ov", "ov vm"])
def test_help_lists_every_command_below_the_heading_of_a_group(words: tuple[str, ...]) -> None:
    found = find(words)
    offered = next(one for one in found._actions if isinstance(one, CommandAction))
    headings = dict(offered.grouped())
    assert "" not in headings
    text = found.format_help()
    for heading, commands in headings.items():
        below = text.partition(f"  {heading}:\n")[2]
        for command in commands:
            assert f"\n    {command.metavar or command.dest}" in f"\n{below}"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("vm biuld web", "did you mean 'build'?"),
        ("plna", "did you mean 'plan'"),
        ("vm build web --contineu", "did you mean '--continue'"),
    ],
)
def test_a_misspelt_verb_or_option_is_answered_with_the_right_one(
    words: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(words.split())
    assert caught.value.code == 2
    assert hint in capsys.readouterr().err
