"""Commands beside the parser alone: a program with the same tree of arguments, all of it made, that does nothing.

What a command takes beyond that is what it imports and does; a command imports what it needs (tests/cli/test_imports.py
counts the modules). ``ov vm ssh`` is measured up to the moment when it becomes ssh.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench._measure import PYTHON_PASS, SCRIPTS, compile_package, in_turns, table, verdict
from bench.noop import PYTHON, make_project
from ovtasks.cli.main import parser
from ovtasks.cli.parser import CommandAction
from tests.support.programs import program

PARSER = "parser alone"
LIMITS = {"ov --help": 1.7, "ov vm list": 3.0, "ov vm ssh": 2.3, "ov vm status": 3.0, "ov vm ip": 2.5}
"""Times of the parser alone. Before commands imported what they need: 5, 9, 7, 9, 7."""


def tree(made: argparse.ArgumentParser, name: str) -> Iterator[str]:
    """The lines of a program that makes the same parser, and those of its commands, as argparse alone does."""
    for action in made._actions:
        if isinstance(action, CommandAction):
            yield f"of_{name} = {name}.add_subparsers(required=True, metavar={action.metavar!r})"
            helps = {choice.dest: choice.help for choice in action._choices_actions}
            for index, word in enumerate(action.choices):
                child = f"{name}_{index}"
                yield f"{child} = of_{name}.add_parser({word!r}, help={helps[word]!r})"
                yield from tree(action.parser_of(word), child)
        elif not isinstance(action, argparse._HelpAction):
            words = action.option_strings or [action.dest]
            flag = bool(action.option_strings) and action.nargs == 0
            kind = "action='store_true'" if flag else f"nargs={action.nargs!r}, metavar={action.metavar!r}"
            yield f"{name}.add_argument(*{words!r}, {kind}, help={action.help!r})"


def main() -> int:
    """Measure with one VM that runs, built and created twice, as it is in daily use."""
    compile_package()
    with tempfile.TemporaryDirectory(prefix="ov-bench-") as name:
        root = Path(name)
        homes = {"XDG_CACHE_HOME": str(root / "cache"), "XDG_DATA_HOME": str(root / "data"), "OV_VM_BACKEND": "qemu"}
        os.environ.update(homes)
        make_project(root, 1)
        (root / "ssh").write_text("#!/bin/sh\n", encoding="utf-8")
        (root / "ssh").chmod(0o755)
        lines = ["import argparse", "top = argparse.ArgumentParser(prog='ov')", *tree(parser(), "top")]
        (root / "parser.py").write_text("\n".join([*lines, "top.parse_args()", ""]), encoding="utf-8")
        ov = program(SCRIPTS / "ov", "-q", "vm")
        for _ in range(2):
            ov("create", "vm0", cwd=root)
        ours = str(SCRIPTS / "ov")
        commands = {
            PYTHON: PYTHON_PASS,
            PARSER: [sys.executable, str(root / "parser.py"), "vm", "list"],
            "ov --help": [ours, "--help"],
            "ov vm list": [ours, "vm", "list"],
            "ov vm ssh": [ours, "vm", "ssh", "-p", "22", "vm0", "--", "true"],
            "ov vm status": [ours, "vm", "status", "vm0"],
            "ov vm ip": [ours, "vm", "ip", "vm0"],
        }
        try:
            figures = in_turns(commands, root, env={"PATH": f"{root}:{os.environ['PATH']}"})
        finally:
            ov("destroy", "--disk", "vm0", cwd=root)
    table("one VM, which runs", figures, PARSER)
    return verdict(
        {f"{one} to the parser": (figures[one].ratio(figures[PARSER]), most) for one, most in LIMITS.items()}
    )


if __name__ == "__main__":
    sys.exit(main())
