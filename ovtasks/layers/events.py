"""What a deployment's script says, read as it comes: the output of commands, and events."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

TAIL_LINES = 20
"""Lines of output that an error shows."""


class What(StrEnum):
    """What happened to an operation or a layer in the guest. The value is the script's word."""

    OUTPUT = "output"
    WAITING = "waiting"
    LAYER = "layer"
    DOING = "doing"
    DONE = "done"
    SAME = "same"
    KEPT = "kept"
    FAILED = "failed"
    WHOLE = "whole"
    UNDOING = "undoing"
    UNDONE = "undone"
    UNTOUCHED = "untouched"
    LEFT = "left"
    CANNOT = "cannot"
    UNDO_FAILED = "undo-failed"
    REMOVED = "removed"
    FORGOTTEN = "forgotten"
    SO = "so"
    DIFFERS = "differs"
    UNSEEN = "unseen"
    BEGUN = "begun"
    RECORD = "record"
    RECORDED = "recorded"
    STAGING = "staging"


@dataclass(frozen=True)
class GuestEvent:
    """Something that happened. ``text`` is a line of output for ``OUTPUT``, else what the script says beside the name.

    ``operation`` is its name. ``phase`` and ``status`` belong to failures: ``save``, ``do``, ``undo`` or ``upload``,
    and the exit status.
    """

    what: What
    layer: str = ""
    operation: str = ""
    text: str = ""
    phase: str = ""
    status: int = 0


class EventReader:
    """Takes the bytes of a script's output and calls ``say`` with each event. Keeps an operation's last lines."""

    def __init__(self, token: str, say: Callable[[GuestEvent], None]) -> None:
        self._token = token
        self._say = say
        self._rest = b""
        self.layer = ""
        self.operation = ""
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.failure: GuestEvent | None = None

    def feed(self, data: bytes) -> None:
        """Take what has come."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line.decode(errors="replace"))

    def close(self) -> None:
        """Nothing more comes."""
        if self._rest:
            self._line(self._rest.decode(errors="replace"))
            self._rest = b""

    def _line(self, line: str) -> None:
        output, found, event = line.partition(f"{self._token} ")
        output = output.rstrip("\r").rpartition("\r")[2]  # of a progress bar the last state
        if output or not found:
            self.tail.append(output)
            self._say(GuestEvent(What.OUTPUT, self.layer, self.operation, output))
        if found:
            word, _, text = event.partition(" ")
            self._event(What(word), text)

    def _event(self, what: What, text: str) -> None:
        phase, status = "", 0
        match what:
            case What.LAYER:
                self.layer, self.operation = text, ""
                event = GuestEvent(what, text)
            case What.FAILED | What.UNDO_FAILED:
                words = f"undo {text}" if what is What.UNDO_FAILED else text
                phase, number, name = words.split(" ", 2)
                status = int(number)
                event = GuestEvent(what, self.layer, name, text, phase, status)
                self.failure = event
            case What.WHOLE:  # one of those before, perhaps
                event = GuestEvent(what, text, "", text)
            case What.REMOVED | What.FORGOTTEN | What.WAITING | What.STAGING | What.RECORD:
                event = GuestEvent(what, self.layer, "", text)
            case What.RECORDED:
                event = GuestEvent(what, self.layer, text.split(" ", 2)[2], text)
            case _:
                event = GuestEvent(what, self.layer, text, text)
        if what in {What.DOING, What.UNDOING}:
            self.operation = text
            self.tail.clear()
        self._say(event)
