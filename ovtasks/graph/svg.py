"""Draws the graph as SVG, in light and dark, with a legend. Needs no other program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape

from ovtasks.graph.chains import StepState, StepStatus
from ovtasks.graph.draw import GOAL_LEGEND, LEGEND, Drawing
from ovtasks.graph.layout import GAP, MARGIN, Box, Connector, Layout, lay_out
from ovtasks.values.durations import format_taken
from ovtasks.values.words import columns

BOLD, LETTER, PADDING = 7.4, 6.6, 10.0
"""Pixels: a letter of a name and of a title, as wide as fonts have them; the space beside them."""
LONGEST = 44
"""Letters of the longest line."""
GOAL = "goal"
MARKS = {StepState.FRESH.value: "✓", StepState.MAYBE.value: "?", StepState.RUN.value: "▶", GOAL: ""}
"""Says the same as the colours, to those who cannot tell them apart."""
STYLE = """
.box rect{stroke-width:1.2;rx:6px}.box text{font:11px sans-serif;fill:#333}.box .name{font-weight:600;fill:#111}
.fresh rect{fill:#d8efd3;stroke:#5b9a4c}.maybe rect{fill:#fdf0c4;stroke:#b58a12;stroke-dasharray:5 3}
.run rect{fill:#f9d4c9;stroke:#c2512f;stroke-width:2}.goal rect{fill:#ececec;stroke:#8a8a8a}
.line{fill:none;stroke:#8a8a8a;stroke-width:1.3}
@media (prefers-color-scheme:dark){.box text{fill:#d0d0d0}.box .name{fill:#f4f4f4}
.fresh rect{fill:#24401f;stroke:#6fae60}.maybe rect{fill:#4a3d10;stroke:#d1a62c}.run rect{fill:#55261a;stroke:#e87f5f}
.goal rect{fill:#3a3a3a;stroke:#8a8a8a}}
"""
PAPER = "svg{background:#fff}@media (prefers-color-scheme:dark){svg{background:#1c1c1e}}"
ROW = 22.0
"""Pixels from one line of the legend to the next."""


@dataclass(frozen=True, slots=True)
class BoxText:
    """The words of a box: ``state`` is a step's or :data:`GOAL`, ``hint`` what one sees when one points at it."""

    name: str
    state: str
    title: str = ""
    hint: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines in the box, cut where they are too long."""
        mark = MARKS[self.state]
        return tuple(_cut(line) for line in (f"{mark} {self.name}" if mark else self.name, self.title) if line)

    @property
    def width(self) -> float:
        """How wide the box has to be, in pixels."""
        name, *title = map(columns, self.lines)
        return max(name * BOLD, *(line * LETTER for line in title), 0) + 2 * PADDING


def _cut(line: str) -> str:
    while columns(line) > LONGEST:
        line = line[:-2] + "…"
    return line


def svg(drawn: Drawing) -> str:
    """The whole graph as a file."""
    texts = {name: text_of(status) for name, status in drawn.statuses.items()}
    texts |= {name: BoxText(name, GOAL) for lane in drawn.lanes for name in lane if name not in texts}
    layout = lay_out(drawn.lanes, drawn.edges, {name: text.width for name, text in texts.items()})
    key = [*_legend(layout.height)]
    width, height = max(layout.width, 420), layout.height + len(key) * ROW + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-label="The graph of steps">'
    )
    return "\n".join([head, f"<style>{STYLE}{PAPER}</style>", *shapes(layout, texts), *key, "</svg>"]) + "\n"


def text_of(status: StepStatus) -> BoxText:
    """The words of a step: what it does; when pointed at, why it runs and how long it took."""
    lines = [f"{status.state.value}: {reason}" for reason in status.reasons] or [status.state.value]
    if status.receipt is not None:
        lines.append(f"took {format_taken(status.receipt.duration)} the last time")
    name, title = status.step.name, status.step.title
    return BoxText(name, status.state.value, title, "\n".join([name, title, *lines]))


def shapes(layout: Layout, texts: Mapping[str, BoxText], *, focus: bool = False) -> Iterator[str]:
    """Lines first, then the boxes. With ``focus`` the boxes of steps can be reached by the keyboard."""
    yield from (_line(line) for line in layout.lines)
    yield from (_box(box, texts[box.name], focus=focus) for box in layout.boxes)


def _line(line: Connector) -> str:
    """Curves between columns, and straight across them."""
    (x, y), *rest = line.points
    path = f"M{x:g} {y:g}"
    for number, (right, level) in enumerate(rest):
        path += (
            f"H{right:g}" if number % 2 else f"C{x + GAP / 2:g} {y:g} {right - GAP / 2:g} {level:g} {right:g} {level:g}"
        )
        x, y = right, level
    before, after = map(escape, line.edge)
    return f'<path class="line" d="{path}" data-from="{before}" data-to="{after}"/>'


def _box(box: Box, text: BoxText, *, focus: bool) -> str:
    hint = f"<title>{escape(text.hint)}</title>" if text.hint else ""
    reach = ' tabindex="0" role="img"' if focus and text.hint else ""
    levels = (box.middle + 4,) if len(text.lines) == 1 else (box.middle - 3, box.middle + 11)
    words = "".join(
        f'<text class="{kind}" x="{box.x + PADDING:g}" y="{level:g}">{escape(line)}</text>'
        for kind, level, line in zip(("name", "title"), levels, text.lines, strict=False)
    )
    frame = f'<rect x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" rx="6"/>'
    return f'<g class="box {text.state}" data-step="{escape(text.name)}"{reach}>{hint}{frame}{words}</g>'


def _legend(top: float) -> Iterator[str]:
    """One line for each state, and for goals."""
    for number, (state, words) in enumerate([*LEGEND.items(), (GOAL, GOAL_LEGEND)]):
        y = top + number * ROW
        yield (
            f'<g class="box {state}"><rect x="{MARGIN:g}" y="{y:g}" width="26" height="15" rx="4"/>'
            f'<text x="{MARGIN + 13:g}" y="{y + 11:g}" text-anchor="middle">{MARKS[str(state)]}</text>'
            f'<text x="{MARGIN + 36:g}" y="{y + 12:g}">{escape(words)}</text></g>'
        )
