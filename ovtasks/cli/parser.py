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
    """A parser that groups commands in its help, ends it with examples, and says which word or option was meant.

    Options may stand anywhere behind the command, and are written out: a shortened one could mean another one in the
    next version. It also reports when the help text cannot be written, which argparse's own ignores. ``words`` are the
    command's, without ``ov`` and aliases.
    """

    words: tuple[str, ...] = ()

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": _GroupedHelp, "allow_abbrev": False, **options})

    def format_help(self) -> str:
        """The help, with examples at its end."""
        from ovtasks.cli.examples import shown

        examples = shown(self.words)
        return super().format_help() + (f"\nExamples:\n{examples}" if examples else "")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; what is left over is an error of the command that was reached, whose usage is then printed."""
        found, left = super().parse_known_args(self._arranged(args), namespace)
        if left:
            options = [word for word in left if word.startswith("--")]
            guess = _guess(options[0].partition("=")[0], self._option_string_actions) if options else ""
            self.error(f"unrecognized arguments: {' '.join(left)}{guess}")
        return found, left

    def _arranged(self, words: Sequence[str]) -> list[str]:
        """The words with options first: argparse would take ``web -i dev out.png`` for an argument too many.

        Words behind ``--`` and behind a command's name stay where they are.
        """
        options: list[str] = []
        others: list[str] = []
        unknown = ""
        words = list(words)
        while words:
            word = words.pop(0)
            if _is_value(word):
                others.append(word)
                if self._subparsers is not None:
                    break
                continue
            if word == "--":
                others.append(word)
                break
            options.append(word)
            known, takes = self._option(word)
            unknown = unknown or ("" if known else word)
            if takes and not (words and _is_value(words[0])):
                return [*others, *options, *words]  # argparse says that the value is missing
            options += [words.pop(0)] if takes else []
        if unknown.startswith("--") and not {"-h", "--help"} & {*options}:
            guess = _guess(unknown.partition("=")[0], self._option_string_actions)
            self.error(f"unrecognized arguments: {unknown}{guess}")
        return [*options, *others, *words]

    def _option(self, word: str) -> tuple[bool, bool]:
        """Whether it is an option of this parser, and whether the next word is its value."""
        known = self._option_string_actions
        name, equals, _ = word.partition("=")
        if name in known:
            return True, known[name].nargs is None and not equals
        for place in range(1, len(word) if not word.startswith("--") else 0):  # -aq, -n5
            action = known.get(f"-{word[place]}")
            if action is None:
                return False, False
            if action.nargs is None:
                return True, place == len(word) - 1
        return not word.startswith("--"), False

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
    words: tuple[str, ...]
    _groups: dict[str, list[int]]
    offered: Sequence[CliCommand]

    def offer(self, commands: Sequence[CliCommand]) -> None:
        """Offer these commands as the next word."""
        self.offered = commands
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
            made.words = (*self.words, command.name)
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
    action.words = parser.words if isinstance(parser, Parser) else ()
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


def _is_value(word: str) -> bool:
    return not word.startswith("-") or word == "-" or word[1:].replace(".", "", 1).isdigit()


def _guess(word: str, words: Iterable[str]) -> str:
    from ovtasks.values.words import did_you_mean

    hint = did_you_mean(word, words)
    return f"; {hint}" if hint else ""
