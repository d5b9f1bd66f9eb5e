"""Records ``docs/tour.svg`` from a real run: ``python -m docs.tour PROJECT``, a folder whose ``vms.yml`` declares demo.

The commands run in a terminal of their own, one after the other. What the screen shows is kept with its times, pauses
are cut to a second, and the result is one SVG that plays in a browser, light or dark.
"""

from __future__ import annotations

import os
import re
import select
import sys
import time
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

ROWS, COLUMNS = 26, 100
LONGEST_PAUSE = 1.0
"""Seconds; a longer wait is shown as this."""
READING = 4.0
"""Seconds that the last picture stays."""
LINES = (
    "ov list",
    "ov vm build demo",
    "ov vm build demo",
    "ov vm create demo",
    "ov vm list",
    "ov vm destroy demo --disk -y",
)
TARGET = Path(__file__).with_name("tour.svg")
_CONTROL = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b[()][A-Z0-9]|([\r\n\b])|([^\x1b\r\n\b]+)|\x1b")


@dataclass
class Screen:
    """What a terminal shows: text only, with the cursor's movements that programs of ours make."""

    lines: list[str] = field(default_factory=lambda: [""])
    row: int = 0
    column: int = 0

    def write(self, text: str) -> None:
        """Take what a program writes."""
        for parts, letter, control, plain in _CONTROL.findall(text):
            if plain:
                self._put(plain)
            elif control == "\n":
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif control == "\r":
                self.column = 0
            elif control == "\b":
                self.column = max(0, self.column - 1)
            elif letter:
                self._move(parts, letter)

    def shown(self) -> list[str]:
        """The rows that fit, from the last one upwards."""
        return [line.rstrip()[:COLUMNS] for line in self.lines[-ROWS:]]

    def _put(self, plain: str) -> None:
        for letter in plain:
            if self.column == COLUMNS:  # a terminal goes on in the next row
                self.write("\r\n")
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + letter + line[self.column + 1 :]
            self.column += 1

    def _move(self, parts: str, letter: str) -> None:
        count = int(parts) if parts.isdigit() else 1
        if letter == "A":
            self.row = max(0, self.row - count)
        elif letter == "B":
            self.row = min(len(self.lines) - 1, self.row + count)
        elif letter == "G":
            self.column = count - 1
        elif letter == "K":
            self.lines[self.row] = "" if parts == "2" else self.lines[self.row][: self.column]
        elif letter == "J":
            del self.lines[self.row + 1 :]
            self.lines[self.row] = self.lines[self.row][: self.column]


def record(project: Path) -> list[tuple[float, list[str]]]:
    """Run the commands; what the screen showed from when on, in seconds of the film."""
    screen, now = Screen(), 0.0
    film: list[tuple[float, list[str]]] = []
    for line in LINES:
        screen.write("$ ")
        for letter in line:
            screen.write(letter)
            now += 0.05
            film.append((now, screen.shown()))
        now += 0.4
        screen.write("\r\n")
        now = _run(line, project, screen, film, now) + 2.0
    return film


def _run(line: str, project: Path, screen: Screen, film: list[tuple[float, list[str]]], now: float) -> float:
    import pty
    import termios

    child, terminal = pty.fork()
    if child == 0:
        os.chdir(project)
        os.environ.update(TERM="xterm", COLUMNS=str(COLUMNS), LINES=str(ROWS), NO_COLOR="1")
        os.execvp(line.split()[0], line.split())
    termios.tcsetwinsize(terminal, (ROWS, COLUMNS))
    before = time.monotonic()
    while True:
        select.select([terminal], [], [])
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the program has closed its terminal
            break
        if not data:
            break
        now += min(time.monotonic() - before, LONGEST_PAUSE)
        before = time.monotonic()
        screen.write(data.decode("utf-8", "replace"))
        if screen.shown() != film[-1][1]:
            film.append((now, screen.shown()))
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit(f"{line}: {os.waitstatus_to_exitcode(status)}\n" + "\n".join(screen.shown()))
    return now


def drawn(film: list[tuple[float, list[str]]]) -> str:
    """The film as an SVG. Each text of a row is drawn once, and seen while it is there."""
    end = film[-1][0] + READING
    spans: list[tuple[int, str, float, float]] = []
    open_: dict[int, tuple[str, float]] = {}
    for at, rows in film:
        for row in range(ROWS):
            text = rows[row] if row < len(rows) else ""
            old, since = open_.get(row, ("", 0.0))
            if text != old:
                if old:
                    spans.append((row, old, since, at))
                open_[row] = (text, at)
    spans += [(row, text, since, end) for row, (text, since) in open_.items() if text]
    body = "\n".join(
        f'<text x="12" y="{28 + row * 18}" opacity="0">{escape(text)}'
        f'<animate attributeName="opacity" calcMode="discrete" dur="{end:.1f}s" repeatCount="indefinite" '
        f'values="0;1;0" keyTimes="0;{since / end:.4f};{until / end:.4f}"/></text>'
        for row, text, since, until in spans
    )
    width, height = 24 + COLUMNS * 8, 20 + ROWS * 18
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="A terminal: {escape(", then ".join(dict.fromkeys(LINES)))}">\n'
        "<style>rect{fill:#f6f8fa;stroke:#d0d7de}text{fill:#1f2328;font:13px ui-monospace,Menlo,Consolas,monospace;"
        "white-space:pre}@media(prefers-color-scheme:dark){rect{fill:#161b22;stroke:#30363d}text{fill:#e6edf3}}</style>\n"
        f'<rect x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8"/>\n{body}\n</svg>\n'
    )


if __name__ == "__main__":
    TARGET.write_text(drawn(record(Path(sys.argv[1]))), encoding="utf-8")
