"""What ten small layers cost in a guest: processes, writes to the disk, round trips. Load changes no count."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.errors import OvError
from ovtasks.layers.events import What
from ovtasks.layers.guest import LayerFailedError
from ovtasks.layers.script import apply_script
from tests.support.layers import SHELLS, LocalShell, plan

LAYER = """
tasks:
- {{cmd: "mkdir -p {0} && echo done >{0}/sums", user: "${{USER}}"}}
- {{write: {0}/file, content: "text\\n", user: "${{USER}}"}}
- {{link: {0}/link, target: file, user: "${{USER}}"}}
"""
PROCESSES = 65
"""At most, for ten layers of three operations. Written by hand in one script, their commands alone are 30."""
OWN_PIDS = ("unshare", *(() if os.geteuid() == 0 else ("--map-current-user",)), "--pid", "--fork", "--kill-child", "sh")
"""A shell whose processes are numbered from 1."""


class CountingShell(LocalShell):
    """Counts the processes of its last script, and each sync."""

    def __post_init__(self) -> None:
        super().__post_init__()
        (self.folder / "bin" / "sync").write_text(f"#!/bin/sh\necho sync >>{self.folder}/syncs\n")
        self.shell = OWN_PIDS
        self.edit = lambda text: f"{text}\nsh -c 'echo $$' >{self.folder}/last\n"

    def processes(self) -> int:
        return int((self.folder / "last").read_text())

    def syncs(self) -> int:
        """Since the last call."""
        log = self.folder / "syncs"
        count = len(log.read_text().splitlines()) if log.exists() else 0
        log.unlink(missing_ok=True)
        return count


def test_ten_small_layers(tmp_path: Path) -> None:
    guest = CountingShell(tmp_path)
    layers = [plan(tmp_path, LAYER.format(tmp_path / "root" / str(n)), f"l{n}") for n in range(10)]
    told = guest.apply(*layers)
    assert [what for what, _ in told] == [What.DONE] * 30
    assert [event.layer for event in guest.events if event.what is What.WHOLE] == [one.name for one in layers]
    assert len(guest.scripts) == 1, "round trips"
    assert guest.processes() <= PROCESSES
    assert guest.syncs() <= 4, "one, or one each five seconds"
    again = guest.apply(*layers)
    assert {what for what, _ in again} == {What.SAME}
    assert guest.processes() <= PROCESSES + 10 and guest.syncs() <= 2  # now they look


def test_what_replaces_a_file_waits_for_no_other(tmp_path: Path) -> None:
    """What was there before is on the disk before it is replaced."""
    guest = CountingShell(tmp_path)
    home = tmp_path / "root"
    home.mkdir()
    for name in ("one", "two"):
        (home / name).write_text("before")
    layers = [
        plan(tmp_path, f'tasks: [{{write: {home}/{name}, content: new, user: "${{USER}}"}}]', name)
        for name in ("one", "two")
    ]
    guest.apply(*layers)
    assert guest.syncs() >= 3


def test_layers_before_one_that_fails_are_whole(tmp_path: Path) -> None:
    guest = LocalShell(tmp_path)
    texts = [
        *(LAYER.format(tmp_path / "root" / name) for name in ("a", "b")),
        'tasks: [{cmd: exit 7, user: "${USER}"}]',
    ]
    layers = [plan(tmp_path, text, name) for name, text in zip(("a", "b", "wrong"), texts, strict=True)]
    with pytest.raises(OvError, match="exit status 7"):
        guest.apply(*layers)
    assert [event.layer for event in guest.events if event.what is What.WHOLE] == ["a", "b"]
    assert guest.events[-1].what is What.FAILED
    receipts = sorted(path.parent.name for path in (tmp_path / "record" / "layers").glob("*/receipt.json"))
    assert receipts == ["a", "b"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("place", "phase"), [("file/below", "do"), ("pipe", "save")])
def test_what_needs_no_process_fails_like_others(tmp_path: Path, shell: str, place: str, phase: str) -> None:
    guest = LocalShell(tmp_path, shell=SHELLS[shell])
    home = tmp_path / "root"
    home.mkdir()
    (home / "file").write_text("a file")
    os.mkfifo(home / "pipe")
    texts = [f'tasks: [{{write: {home}/{name}, content: new, user: "${{USER}}"}}]' for name in ("first", place, "last")]
    layers = [plan(tmp_path, text, f"l{n}") for n, text in enumerate(texts)]
    with pytest.raises(LayerFailedError) as failed:
        guest.apply(*layers)
    error = failed.value
    assert (error.layer, error.operation, error.phase, error.status) == ("l1", f"write {home}/{place}", phase, 1)
    assert error.tail and [one.what for one in guest.events].count(What.FAILED) == 1
    assert (home / "first").exists() and not (home / "last").exists()
    assert not (tmp_path / "record/run").exists()


def test_a_save_that_ends_its_process(tmp_path: Path) -> None:
    """Save and do share one, and do runs all the same."""
    guest = LocalShell(tmp_path)
    one = plan(tmp_path, f'tasks: [{{write: {tmp_path}/root/file, content: new, user: "${{USER}}"}}]')
    (operation,) = one.operations
    guest.apply(replace(one, operations=(replace(operation, save=f"{operation.save}\nexit 0"),)))
    assert (tmp_path / "root" / "file").read_text() == "new"
    guest.undo("a")
    assert not (tmp_path / "root").exists()


def test_thousands_of_operations_keep_their_order(tmp_path: Path) -> None:
    """In the guest they are folders, which it takes in the order of their names."""
    tasks = "".join(f'- {{mkdir: {tmp_path}/root/{n}, user: "${{USER}}"}}\n' for n in range(1003))
    script = apply_script([plan(tmp_path, f"tasks:\n{tasks}")], "0" * 16).decode()
    line = next(line for line in script.splitlines() if line.startswith("ov_prepare "))
    folders = [word.partition("=")[0] for word in line.split()[1:]]
    assert len(folders) == 1003 and folders == sorted(folders)
    few = apply_script([plan(tmp_path, f'tasks: [{{mkdir: {tmp_path}/x, user: "${{USER}}"}}]')], "0" * 16).decode()
    assert "ov_prepare 001-mkdir" in few, "as it was before, so that nothing is done again"
