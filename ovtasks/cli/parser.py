"""Makes the parser of a command on demand, so that a command loads and declares its own arguments only."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    _Action = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    _Action = argparse._SubParsersAction  # generic only for type checkers


class CliCommand(NamedTuple):
    """A word of the command line: one line of help, and where its arguments are declared.

    ``arguments`` is ``module:function`` below :mod:`ovtasks.cli`. The function gets the parser, declares the arguments,
    and says by ``set_defaults(run=…)`` what runs. A command that has ``verbs`` has a description in its place.
    ``aliases`` are other words for it. ``group`` is the heading below which help lists it.
    """

    name: str
    help: str
    arguments: str = ""
    description: str | None = None
    verbs: tuple[CliCommand, ...] = ()
    aliases: tuple[str, ...] = ()
    group: str = ""


class _GroupedHelp(argparse.HelpFormatter):
    """Lists commands below the headings of their groups."""

    def _format_action(self, action: argparse.Action) -> str:
        if not isinstance(action, CommandAction):
            return super()._format_action(action)
        parts = []
        for heading, commands in action.grouped():
            if heading:
                parts.append(f"{' ' * self._current_indent}{heading}:\n")
            self._indent()
            parts += [super(_GroupedHelp, self)._format_action(command) for command in commands]
            self._dedent()
        return "".join(parts)


class Parser(argparse.ArgumentParser):
    """A parser that groups commands in its help, and says which word or option was probably meant.

    It also reports when the help text cannot be written, which argparse's own ignores.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": _GroupedHelp, **options})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; what is left over is an error of the command that was reached, whose usage is then printed."""
        found, left = super().parse_known_args(args, namespace)
        if left:
            options = [word for word in left if word.startswith("--")]
            guess = _guess(options[0].partition("=")[0], self._option_string_actions) if options else ""
            self.error(f"unrecognized arguments: {' '.join(left)}{guess}")
        return found, left

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as e:
            e.message += _guess(str(value), [str(choice) for choice in action.choices or ()])
            raise

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print and flush.

        :raises OSError: stdout cannot be written.
        """
        if file is not None and file is sys.stdout:
            file.write(message)
        else:
            super()._print_message(message, file)


class CommandAction(_Action):
    """argparse's subparsers, made on demand: only names and help lines are known before."""

    commands: dict[str, CliCommand]
    _groups: dict[str, list[int]]

    def offer(self, commands: Sequence[CliCommand]) -> None:
        """Offer these commands as the next word."""
        self._groups = {}
        self.commands = {name: command for command in commands for name in (command.name, *command.aliases)}
        for command in commands:
            self._groups.setdefault(command.group, []).append(len(self._choices_actions))
            self._choices_actions.append(self._ChoicesPseudoAction(command.name, command.aliases, command.help))
        for name in self.commands:
            self._name_parser_map[name] = None  # type: ignore[assignment]  # a choice; made by parser_of

    def grouped(self) -> Iterator[tuple[str, list[argparse.Action]]]:
        """Each heading with the lines of help below it."""
        for heading, places in self._groups.items():
            yield heading, [self._choices_actions[place] for place in places]

    def parser_of(self, name: str) -> argparse.ArgumentParser:
        """The parser of one of them, with its arguments."""
        if (made := self._name_parser_map[name]) is None:
            command = self.commands[name]
            made = Parser(prog=f"{self._prog_prefix} {name}", description=command.description)
            self._name_parser_map[name] = made
            declare(made, command)
        return made

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        """The first of ``values`` is the command's name, which argparse has compared with the choices."""
        self.parser_of(values[0])
        super().__call__(parser, namespace, values, option_string)


def add_commands(parser: argparse.ArgumentParser, commands: Sequence[CliCommand], metavar: str) -> None:
    """Offer ``commands`` as the next word."""
    action = parser.add_subparsers(title=f"{metavar.lower()}s", required=True, metavar=metavar, action=CommandAction)
    assert isinstance(action, CommandAction)
    action.offer(commands)


def declare(parser: argparse.ArgumentParser, command: CliCommand) -> None:
    """Declare a command's arguments, or offer its verbs."""
    if command.verbs:
        add_commands(parser, command.verbs, "VERB")
        return
    module, _, function = command.arguments.partition(":")
    getattr(import_module(f"ovtasks.cli.{module}"), function)(parser)


def suggest(action: argparse.Action, words: Iterable[str]) -> None:
    """Let shells offer these words as the value. Others are allowed, too, unlike those beside argparse's choices."""
    vars(action)["words"] = tuple(words)


def _guess(word: str, words: Iterable[str]) -> str:
    from ovtasks.values.words import did_you_mean

    hint = did_you_mean(word, words)
    return f"; {hint}" if hint else ""
