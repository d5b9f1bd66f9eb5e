"""Manual pages, beside the parsers that they are made from and by a program that checks them; and examples in help."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovtasks.cli.commands import COMMANDS
from ovtasks.cli.eval_examples import METHODS
from ovtasks.cli.examples import EXAMPLES
from ovtasks.cli.main import parser, run, split_rest
from ovtasks.cli.man import escaped
from ovtasks.cli.parser import CliCommand
from ovtasks.cli.tree import parameters, walk
from tests.support.programs import attempt, call

Made = dict[str, argparse.ArgumentParser]


@pytest.fixture(scope="module")
def parsers() -> Made:
    """The parser of each command, by its page's name."""
    return {"-".join(("ov", *words)): made for words, row, made in walk(parser()) if not words or words[-1] == row.name}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("man")
    assert run(["-q", "man", "--dir", str(folder)]) == 0
    return folder / "man1"


def read(page: Path) -> str:
    """The page as a reader sees it, without what makes words bold, in one line."""
    text = call("mandoc", "-Tutf8", "-O", "width=999", page).stdout
    return " ".join(re.sub(r".\x08", "", text).split())


def test_a_page_for_each_command(parsers: Made, pages: Path) -> None:
    names = {page.name.removesuffix(".1") for page in pages.iterdir()}
    assert names == {*parsers} and {"ov", "ov-vm", "ov-vm-create", "ov-eval-libvirt-guest-exec"} <= names
    lacking = [(name, one.dest) for name, made in parsers.items() for one in parameters(made) if not one.help]
    assert not lacking


def test_pages_say_all_that_parsers_know(parsers: Made, pages: Path) -> None:
    """Each option by each of its names, each argument, and each line of help."""
    for name, made in parsers.items():
        text = read(pages / f"{name}.1")
        for action in made._actions:
            if isinstance(action, argparse._SubParsersAction):
                missing = [word for word in action.choices if f"{name}-{word}(1)" not in text]
                aliases = {one for row in (*COMMANDS, *COMMANDS[0].verbs) for one in row.aliases}
                assert not {*missing} - aliases, name
                continue
            said = " ".join(made._get_formatter()._expand_help(action).split())
            for word in (*action.option_strings, said, *([action.metavar] if isinstance(action.metavar, str) else ())):
                assert word in text, f"{name} lacks {word}"
        assert " ".join((made.description or "").split()).replace("`", "") in text, name
        assert " ".join((made.epilog or "").split()).removeprefix("exit codes: ") in text, name


def test_a_checker_of_pages_has_nothing_to_say(pages: Path) -> None:
    done = attempt("mandoc", "-Tlint", "-W", "warning", *sorted(pages.iterdir()))
    assert done.stdout == done.stderr == "" and done.returncode == 0


def test_what_means_something_to_roff_is_printed_as_it_is(tmp_path: Path) -> None:
    text = r".a 'b' \"c\" \\d --e ^f~ `g` → \n \fB -"
    page = tmp_path / "x.1"
    page.write_text(f'.TH X 1 2020-01-01 "a" "b"\n.SH NAME\nx \\- y\n.SH DESCRIPTION\n\\&{escaped(text)}\n')
    assert text in read(page)


def test_written_again_they_stay(pages: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pages / "ov.1").write_text("old")
    before = (pages / "ov-vm.1").stat().st_mtime_ns
    assert run(["man", "--dir", str(pages.parent)]) == 0
    assert "1 new or changed" in capsys.readouterr().err and (pages / "ov-vm.1").stat().st_mtime_ns == before


def test_man_shows_the_page(tmp_path: Path) -> None:
    """As the program man is told; each page leads to others, so all are there."""
    program = tmp_path / "man"
    program.write_text('#!/bin/sh\necho "man $*"\n')
    program.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    ov = Path(sys.executable).with_name("ov")
    assert call(ov, "man", "vm", "create", env=env).stdout == f"man -M {tmp_path}/cache/ov/man ov-vm-create\n"
    assert (tmp_path / "cache/ov/man/man1/ov-vm-create.1").is_file() and (tmp_path / "cache/ov/man/man1/ov.1").is_file()


def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["man", "vm", "craete"]) == 2
    assert "did you mean 'vm create'" in capsys.readouterr().err
    assert run(["man", "--dir", str(tmp_path / "d"), "vm"]) == 2
    assert not (tmp_path / "d").exists()


def every() -> Iterator[tuple[tuple[str, ...], CliCommand]]:
    """Each command of the tables, and ``ov`` itself."""

    def below(commands: tuple[CliCommand, ...], words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], CliCommand]]:
        for one in commands:
            yield (*words, one.name), one
            yield from below(one.verbs, (*words, one.name))

    yield (), CliCommand("ov", "", verbs=COMMANDS)
    yield from below(COMMANDS, ())


def test_every_command_has_two_examples() -> None:
    nested = [words for words, _, _ in walk(parser()) if words[:1] == ("eval",) and len(words) > 2]
    assert [*METHODS] == [" ".join(words) for words in nested]
    assert {words: len(lines) for words, lines in METHODS.items() if len(lines) != 2} == {}
    assert [*EXAMPLES] == sorted(EXAMPLES, key=[" ".join(words) for words, _ in every()].index)
    assert {*EXAMPLES} == {" ".join(words) for words, _ in every()}
    assert {words: len(lines) for words, lines in EXAMPLES.items() if len(lines) != 2} == {}


@pytest.mark.parametrize("command", [*EXAMPLES, *METHODS])
def test_examples_can_be_typed(command: str) -> None:
    """Parsed as ``ov`` does; a redirection is the shell's."""
    for line, meaning in {**EXAMPLES, **METHODS}[command].items():
        program, *words = shlex.split(line.partition(" > ")[0])
        before, rest = split_rest(words)
        args = parser().parse_args(before)
        assert program == "ov" and callable(args.run) and meaning and not meaning.endswith(".")
        assert rest == [] or "--" in words
        names = [word for word in before if not word.startswith("-")]
        assert names[: len(command.split())] == command.split(), line


def test_help_ends_with_the_examples(capsys: pytest.CaptureFixture[str]) -> None:
    nested = "eval libvirt guest exec"
    for words, name in (
        (["vm", "create"], "vm create"),
        (["vm", "up"], "vm create"),
        ([], ""),
        (["vm"], "vm"),
        (nested.split(), nested),
    ):
        assert run([*words, "--help"]) == 0
        lines = capsys.readouterr().out.splitlines()[-3:]
        assert lines[0] == "Examples:"
        assert [line.split("  ")[1] for line in lines[1:]] == [*{**EXAMPLES, **METHODS}[name]]


def test_options_stand_anywhere() -> None:
    def read(*words: str) -> tuple[object, ...]:
        args = parser().parse_args(words)
        return args.vm, args.instance, args.file, args.screen

    want = ("web", "dev", "out.png", 1)
    assert read("vm", "screenshot", "web", "-i", "dev", "out.png", "--screen", "1") == want
    assert read("vm", "screenshot", "-i", "dev", "web", "--screen=1", "out.png") == want
    assert read("vm", "screenshot", "web", "out.png", "-idev", "--screen", "1") == want
    assert read("vm", "screenshot", "--screen", "1", "web", "-i", "dev", "--", "out.png") == want
    assert read("vm", "screenshot", "web", "-i", "dev", "-") == ("web", "dev", "-", 0)
    assert read("eval", "libvirt", "screenshot", "web", "-i", "dev", "out.png", "--screen", "1") == want
    args = parser().parse_args(["vm", "type", "web", "-i", "dev", "--", "--enter"])
    assert (args.text, args.enter) == ("--enter", False)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("vm build --continu web", "did you mean '--continue'?"),
        ("vm build web --cont", "unrecognized arguments: --cont"),
        ("vm ssh --instanc dev web", "did you mean '--instance'?"),
        ("vm ssh --instanc=dev", "did you mean '--instance'?"),
        ("--quite vm list", "did you mean '--quiet'?"),
        ("vm --al list", "unrecognized arguments: --al"),
        ("eval libvirt info web --forma json", "did you mean '--format'?"),
    ],
)
def test_shortened_options_mean_nothing(words: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parser().parse_args(words.split())
    assert end.value.code == 2 and hint in capsys.readouterr().err
