"""The bars of running steps on a terminal, a line each."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn
    from rich.text import Text

SAID_WIDTH = 44
"""Columns for the last line that a step's program said."""
FIGURES = 50
"""Columns that the rest of a step's line takes at least: spinner, a short bar, amount, rate and times."""
SHORTEST = 8
"""Columns of a text that still says something."""


def new_bars(stream: TextIO) -> Progress:
    """No bars yet. A step keeps to one line: on a narrow terminal the bar gets shorter, and texts end early."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.table import Column

    turn = threading.RLock()
    bars = Progress(
        console=_console(stream, turn),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # what goes to a file or a pipe stays there
    )
    title, amount, rate, said = _columns(bars)
    bars.columns = (
        *(SpinnerColumn(), title, BarColumn(bar_width=24), amount, rate),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
        said,
    )
    bars.live._lock = turn  # held while it draws
    return bars


def _columns(bars: Progress) -> tuple[ProgressColumn, ProgressColumn, ProgressColumn, ProgressColumn]:
    """Title, amount, rate, and what a program said last. None is made narrower by rich, which would break its lines."""
    from rich.progress import DownloadColumn, ProgressColumn, TransferSpeedColumn
    from rich.table import Column

    def room() -> int:
        """Columns for the texts of a line."""
        return max(SHORTEST, bars.console.width - FIGURES)

    class TitleColumn(ProgressColumn):
        def render(self, task: Any) -> Text:
            return _cut(task.description, room())

    class SaidColumn(ProgressColumn):
        def render(self, task: Any) -> Text:
            left = room() - max(len(one.description) for one in bars.tasks)
            return _cut(task.fields["said"], min(left, SAID_WIDTH) if left >= SHORTEST else 0, "dim")

    class BytesColumn(DownloadColumn):
        """The amount, for steps that count bytes."""

        def render(self, task: Any) -> Any:
            return super().render(task) if task.fields.get("unit") == "B" and task.completed else ""

    class RateColumn(TransferSpeedColumn):
        def render(self, task: Any) -> Any:
            return super().render(task) if task.fields.get("unit") == "B" and task.completed else ""

    whole = [Column(no_wrap=True) for _ in range(4)]
    amount = BytesColumn(binary_units=True, table_column=whole[1])
    return TitleColumn(whole[0]), amount, RateColumn(whole[2]), SaidColumn(whole[3])


def _cut(text: str, most: int, style: str = "") -> Text:
    from rich.text import Text

    found = Text(text if most > 0 else "", style)
    found.truncate(max(1, most), overflow="ellipsis")
    return found


def _console(stream: TextIO, turn: threading.RLock) -> Console:
    from rich.console import Console

    class SteadyConsole(Console):
        """Leaves the cursor shown: nobody would show it again after a SIGKILL. One thread prints at a time: rich
        computes what to overwrite a moment before it writes, and would leave old lines of bars behind."""

        def show_cursor(self, show: bool = True) -> bool:
            return show and super().show_cursor(show)

        def print(self, *objects: Any, **options: Any) -> None:
            with turn:
                super().print(*objects, **options)

    return SteadyConsole(file=stream)
