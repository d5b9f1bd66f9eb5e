"""Listens to what happens in the guest: tells people, keeps a log, and notes on this host what is whole."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ovtasks.host.files import create_text
from ovtasks.host.oserrors import explaining
from ovtasks.host.progress import Progress
from ovtasks.instance.record import Record
from ovtasks.layers.events import GuestEvent, What

LOG = "deploy.log"
SAID = {
    What.DONE: "done",
    What.KEPT: "was so already",
    What.UNDONE: "undone",
    What.UNTOUCHED: "was so before, stays",
    What.LEFT: "left as it is",
    What.CANNOT: "cannot be undone",
    What.UNDO_FAILED: "could not be undone",
}


@dataclass
class Teller:
    """``on_whole`` and ``on_removed`` get the names of layers. ``each``: tell the result of each operation, too."""

    progress: Progress
    log: IO[str]
    on_whole: Callable[[str], None] = lambda layer: None
    on_removed: Callable[[str], None] = lambda layer: None
    each: bool = False

    def hear(self, event: GuestEvent) -> None:
        """Take one event."""
        match event.what:
            case What.OUTPUT:
                self._say(f"{event.layer} | {event.text}" if event.layer else event.text)
            case What.WAITING:
                self._say("waiting for another deployment in the guest")
            case What.DOING:
                self._say(f"{event.layer}: {event.operation} …")
            case What.WHOLE:
                self.on_whole(event.layer)
                self._say(f"{event.layer}: applied")
            case What.REMOVED:
                self.on_removed(event.layer)
                self._say(f"{event.layer}: undone")
            case _ if event.what in SAID:
                self.log.write(f"{event.layer}: {event.operation}: {SAID[event.what]}\n")
                if self.each or event.what in {What.CANNOT, What.UNDO_FAILED}:
                    self.progress.note(f"{event.layer}: {event.operation}: {SAID[event.what]}")

    def _say(self, line: str) -> None:
        self.progress.note(line)
        self.log.write(f"{line}\n")


def log_of(record: Record) -> Path:
    """Where the last deployment's output is."""
    return record.folder.path / LOG


@contextlib.contextmanager
def telling(record: Record, progress: Progress) -> Iterator[Teller]:
    """A teller that writes the instance's log anew, readable by its owner only.

    :raises OvError: the log cannot be written.
    """
    path = log_of(record)
    with explaining(f"cannot write {path}", path), create_text(path) as log:
        yield Teller(progress, log)
