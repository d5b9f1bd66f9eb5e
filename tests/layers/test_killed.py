"""Killed at every line of the script: the next apply converges, and undo still restores."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ovtasks.errors import OvError
from ovtasks.layers.events import What
from ovtasks.layers.guest import look
from tests.support.layers import LocalShell, plan, print_of
from tests.support.programs import attempt

LAYER = """
name: a
tasks:
  - {write: ROOT/file, content: "new", mode: "0600", user: "${USER}"}
  - {mkdir: ROOT/made/deep, user: "${USER}"}
  - cmd: 'echo once >>ROOT/said'
    user: "${USER}"
    uninstall: [ROOT/said]
  - {link: ROOT/link, target: there, user: "${USER}"}
"""
FUNCTIONS = (
    *(
        "ov_operation",
        "ov_save_and_do",
        "ov_save_begins",
        "ov_saved",
        "ov_here",
        "ov_inside",
        "ov_record",
        "ov_prepare",
    ),
    *("ov_finish", "ov_flush", "ov_files", "ov_lock", "ov_mark"),
    *("ov_undo_from", "ov_undo_one", "ov_undo_text", "ov_remove_layer", "ov_end"),
    *("ov_keep", "ov_restore", "ov_remove", "ov_put", "ov_install", "ov_temp", "ov_link", "ov_folder"),
)


_COMMAND = re.compile(r" {4,}(?!(?:else|elif|then|do|done|fi|esac)\b)\w")
STEP = 4
"""Every so many lines; all of them take minutes. 1 was right when this was written."""


def killed_at(number: int) -> Callable[[str], str]:
    """An edit of a script: the whole group is killed before this line."""

    def edit(text: str) -> str:
        lines = text.split("\n")
        return "\n".join((*lines[:number], "kill -9 0", *lines[number:]))

    return edit


def places(text: str) -> Iterator[int]:
    """Lines of our functions before which a command can stand."""
    inside = False
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if match := re.match(r"(\w+)\(\) [{]", line):
            inside = match[1] in FUNCTIONS
        elif inside and _COMMAND.match(line) and not lines[number - 1].endswith("\\"):
            yield number


def make(folder: Path) -> Path:
    root = folder / "root"
    root.mkdir()
    (root / "file").write_text("before")
    (root / "link").write_text("no link")
    for path in root.iterdir():
        os.utime(path, (1_000_000_000, 1_000_000_000))
    return root


def scripts(guest: LocalShell, *steps: Callable[[], object]) -> list[int]:
    """The places in the script of the last step, those only where a shell still reads it."""
    for step in steps:
        step()
    text = guest.scripts[-1].decode()
    found = list(places(text))[::STEP]
    return [n for n in found if attempt("sh", "-n", stdin=killed_at(n)(text)).returncode == 0]


@pytest.mark.slow
def test_killed_while_it_is_put_in(tmp_path: Path) -> None:
    root = make(tmp_path)
    before = print_of(root)
    layer = plan(tmp_path, LAYER.replace("ROOT", str(root)))
    guest = LocalShell(tmp_path)
    found = scripts(guest, lambda: guest.apply(layer))
    done = print_of(root, times=False)
    guest.undo("a")
    assert print_of(root) == before and len(found) > 80 // STEP
    ended = 0
    for number in found:
        guest.edit = killed_at(number)
        try:
            guest.apply(layer)
        except OvError:
            ended += 1
        guest.edit = str
        told = guest.apply(layer)
        assert {what for what, _ in told} <= {What.DONE, What.SAME}, (number, told)
        now = print_of(root, times=False)
        now["said"] = done["said"]  # a command that was cut off runs again
        assert now == done, number
        guest.undo("a")
        assert print_of(root) == before, number
    assert ended > 60 // STEP


@pytest.mark.slow
def test_killed_while_it_is_undone(tmp_path: Path) -> None:
    root = make(tmp_path)
    before = print_of(root)
    layer = plan(tmp_path, LAYER.replace("ROOT", str(root)))
    guest = LocalShell(tmp_path)
    found = scripts(guest, lambda: guest.apply(layer), lambda: guest.undo("a"))
    ended = 0
    for number in found:
        guest.apply(layer)
        guest.edit = killed_at(number)
        try:
            guest.undo("a")
        except OvError:
            ended += 1
        guest.edit = str
        if number % 2:  # put in again instead
            guest.apply(layer)
            assert all(event.what in {What.SO, What.UNSEEN} for event in look(guest, ["a"], how=guest.how)), number
        guest.undo("a")
        assert print_of(root) == before, number
    assert ended > 30 // STEP
