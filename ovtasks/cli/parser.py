"""A parser that declares its arguments when it is first used: a command loads and declares its own ones only."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple


class CliCommand(NamedTuple):
    """A word of the command line: one line of help, and where its arguments are declared.

    ``arguments`` is ``module:function`` below :mod:`ovtasks.cli`. The function gets the parser, declares the arguments,
    and says by ``set_defaults(run=…)`` what runs. A command that has ``verbs`` has a description in its place.
    """

    name: str
    help: str
    arguments: str = ""
    description: str | None = None
    verbs: tuple[CliCommand, ...] = ()


class Parser(argparse.ArgumentParser):
    """Calls ``declare`` with itself before it parses or prints anything."""

    def __init__(self, *, declare: Callable[[Parser], None] | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self._declare = declare

    def add_commands(self, commands: Sequence[CliCommand], metavar: str) -> None:
        """One of ``commands`` has to follow."""
        words = self.add_subparsers(required=True, metavar=metavar)
        for command in commands:
            words.add_parser(
                command.name, help=command.help, description=command.description, declare=partial(_declare, command)
            )

    def complete(self) -> Parser:
        """Itself, with all its arguments; those of its verbs are still to come."""
        declare, self._declare = self._declare, None
        if declare is not None:
            declare(self)
        return self

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # as argparse's, for every overload
        """argparse calls this of the command that was asked for, and of no other."""
        self.complete()
        return super().parse_known_args(args, namespace)

    def format_help(self) -> str:
        """The whole help text."""
        self.complete()
        return super().format_help()


def _declare(command: CliCommand, parser: Parser) -> None:
    if command.verbs:
        parser.add_commands(command.verbs, "VERB")
        return
    module, _, function = command.arguments.partition(":")
    getattr(import_module(f"ovtasks.cli.{module}"), function)(parser)
