"""``wait`` shows the ladder as it climbs: a guest of loopback sockets, whose console and SSH server are ours."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ovtasks.backends.contract import VmState, VmStatus
from ovtasks.cli.common import Notes
from ovtasks.guest.readiness import NotReadyError, Ready
from ovtasks.host.accel import EMULATED
from ovtasks.host.files import write_atomic
from ovtasks.host.progress import Progress
from ovtasks.instance import ladder
from ovtasks.instance.access import write_access
from ovtasks.instance.ready import wait
from ovtasks.instance.record import Record, new_record
from tests.support.sshd import Sshd, new_sshd
from tests.support.tmux import wait_for

SECONDS = 120.0


class Said:
    """Notes, as without a terminal."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)

    def update(self, done: int, total: int | None, unit: str = "B") -> None:
        raise AssertionError

    def count(self, words: str) -> int:
        return sum(words in line for line in self.lines)


class Screen(Said):
    """The same with a terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[str] = []

    def live(self, text: str) -> bool:
        self.shown.append(text)
        return True


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with new_sshd(tmp_path / "sshd") as server:
        yield server


@pytest.fixture
def record(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> Record:
    """An instance whose guest is ``server``, emulated; whoever asks hears that it runs."""
    made = replace(
        new_record("web", None, Path("/p"), "qemu", None, None),
        ssh_port=server.port,
        user=server.target.user,
        identity=server.folder / "id",
    )
    made.folder.make()
    write_atomic(made.folder.host_key.with_suffix(".pub"), server.host_key())
    write_atomic(made.folder.machine, '{"accel": "tcg"}')
    made.save()
    write_access(made)
    monkeypatch.setattr("ovtasks.instance.ready.status", lambda record: VmStatus(VmState.RUNNING))
    monkeypatch.setattr(ladder, "LOOK_SECONDS", 0.02)
    return made


def say(record: Record, text: str) -> None:
    with record.folder.serial_log.open("a", encoding="utf-8") as log:
        log.write(f"{text}\r\n")


class Waiter(threading.Thread):
    """One wait for the SSH server, in a thread."""

    def __init__(self, record: Record, progress: Progress, seconds: float = SECONDS) -> None:
        super().__init__(daemon=True)
        self._arguments = (record, "ssh", seconds, 1.0, progress)
        self.ready: Ready | None = None
        self.start()

    def run(self) -> None:
        self.ready = wait(*self._arguments)


def climb(record: Record, server: Sshd, said: Said) -> None:
    """A boot, rung by rung, each when the one before was seen."""
    waiter = Waiter(record, said)
    assert wait_for(lambda: said.count("it runs") == 1, seconds=SECONDS)
    for text, rung in (("SeaBIOS (version 1)", "its firmware runs"), ("Linux version 6.1", "its kernel runs")):
        say(record, text)
        assert wait_for(lambda rung=rung: said.count(rung) >= 1, seconds=SECONDS), said.lines  # type: ignore[misc]
    say(record, "a line about \x1b[1mdisks\x1b[0m")
    shown = said.shown if isinstance(said, Screen) else said.lines
    assert wait_for(lambda: any("a line about disks" in line for line in tuple(shown)), seconds=SECONDS), shown
    server.start()
    waiter.join(SECONDS)
    assert waiter.ready is not None and waiter.ready.exit_code == 0, said.lines


def test_without_a_terminal(record: Record, server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "PLAIN_SECONDS", 0.3)
    said = Said()
    climb(record, server, said)
    rungs = [line for line in said.lines if "still waiting" not in line]
    assert rungs[0] == f"web: the guest is {EMULATED}"
    assert [line.partition(" (")[0] for line in rungs[1:]] == [
        "web: it runs",
        "web: its firmware runs",
        "web: its kernel runs",
        "web: its SSH server answers",
        "web: lets its user in",
    ]
    still = [line for line in said.lines if "still waiting after" in line and "a line about disks" in line]
    assert "s of 120 s: its kernel runs; its console: a line about disks" in still[0]


def test_silence_is_rare_and_lines_too(record: Record, server: Sshd) -> None:
    """With the real pauses there is nothing to say beside the rungs in a short wait."""
    assert ladder.PLAIN_SECONDS == 15.0
    server.start()
    said = Said()
    assert wait(record, "ssh", SECONDS, 1.0, said).exit_code == 0
    assert said.count("it runs") == 1 and said.count("lets its user in") == 1


def test_on_a_terminal(record: Record, server: Sshd) -> None:
    screen = Screen()
    climb(record, server, screen)
    assert screen.count("still waiting") == 0
    assert any(line.endswith("its kernel runs  | a line about disks") for line in screen.shown), screen.shown
    assert screen.shown[-1] == "", "the live line is gone at the end"


def test_the_end_of_the_ladder_when_nobody_answers(record: Record) -> None:
    screen = Screen()
    say(record, "Linux version 6.1")
    with pytest.raises(NotReadyError, match="Linux version"):
        wait(record, "ssh", 1.0, 1.0, screen)
    assert screen.shown[-1] == "" and not any(thread.name == "ladder" for thread in threading.enumerate())


def test_notes_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A note stands above the live line, which is then written anew; a long one is cut."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "20")
    notes = Notes(quiet=False)
    assert notes.live("x" * 40)
    notes.note("a note")
    assert notes.live("")
    assert capsys.readouterr().err == f"{'x' * 19}\r\x1b[Ka note\n{'x' * 19}\r\x1b[K"
    assert not Notes(quiet=True).live("never")
