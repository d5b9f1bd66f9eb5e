"""Places the boxes of a graph: columns by the order of the steps, one lane for each VM, lines that cross no box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import TypeAlias

Edge: TypeAlias = "tuple[str, str]"
Slot: TypeAlias = "str | tuple[str, int, int]"
"""What takes a place in a column: a box, or a line that passes (its origin, lane and column)."""
BOX_HEIGHT, ROW, GAP, MARGIN = 38.0, 50.0, 44.0, 12.0
"""Pixels: a box; from one row to the next; between two columns; around everything."""
LANE_GAP = 10.0


@dataclass(frozen=True, slots=True)
class Box:
    """Where a step is drawn, in pixels from the upper left corner."""

    name: str
    x: float
    y: float
    width: float
    height: float = BOX_HEIGHT

    @property
    def middle(self) -> float:
        """The height at which lines come and go."""
        return self.y + self.height / 2


@dataclass(frozen=True, slots=True)
class Connector:
    """The way from one box to another: pairs of points between which it is straight or bends, in turn."""

    edge: Edge
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """A drawing without its words; ``width`` and ``height`` are in pixels."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Connector, ...]


def lay_out(lanes: Sequence[Sequence[str]], edges: Sequence[Edge], widths: Mapping[str, float]) -> Layout:
    """Place the nodes of ``lanes``, each of which stands in one lane. ``widths`` are those of the boxes, in pixels.

    Every edge leads to a column further to the right. On its way it keeps a row of its own in the lane it leads to.
    """
    lane_of = {name: number for number, lane in enumerate(lanes) for name in lane}
    columns = _columns(list(lane_of), edges)
    slots: dict[tuple[int, int], list[Slot]] = {}
    for name, lane in lane_of.items():
        slots.setdefault((lane, columns[name]), []).append(name)
    ways: dict[Edge, list[tuple[str, int, int]]] = {}
    for before, after in edges:
        lane = lane_of[after]
        ways[before, after] = [(before, lane, column) for column in range(columns[before] + 1, columns[after])]
        for passing in ways[before, after]:
            row = slots.setdefault((lane, passing[2]), [])
            if passing not in row:  # lines from one box to a lane run together
                row.append(passing)
    heights = _heights(slots, len(lanes))
    lefts, wide = _lefts(columns, widths)
    boxes = {
        slot: Box(slot, lefts[column], heights[slot] - BOX_HEIGHT / 2, wide[column])
        for (_, column), row in slots.items()
        for slot in row
        if isinstance(slot, str)
    }
    lines = []
    for (before, after), way in ways.items():
        points = [(lefts[columns[before]] + wide[columns[before]], heights[before])]
        for passing in way:
            left = lefts[passing[2]]
            points += [(left, heights[passing]), (left + wide[passing[2]], heights[passing])]
        lines.append(Connector((before, after), (*points, (boxes[after].x, boxes[after].middle))))
    right = max((box.x + box.width for box in boxes.values()), default=0.0)
    rows = sum(_rows(slots, len(lanes)))
    height = 2 * MARGIN + rows * ROW + max(len(lanes) - 1, 0) * LANE_GAP
    return Layout(right + MARGIN, height, tuple(boxes[name] for name in lane_of), tuple(lines))


def _columns(names: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """The column of each node: behind all that it needs, right before what needs it. Ends are in the last one."""
    needs: dict[str, list[str]] = {name: [] for name in names}
    users: dict[str, list[str]] = {name: [] for name in names}
    for before, after in edges:
        needs[after].append(before)
        users[before].append(after)
    order = [*TopologicalSorter(needs).static_order()]
    columns: dict[str, int] = {}
    for name in order:
        columns[name] = 1 + max((columns[need] for need in needs[name]), default=-1)
    behind = 1 + max(columns.values(), default=-1)
    for name in reversed(order):
        columns[name] = min((columns[user] for user in users[name]), default=behind) - 1
    return columns


def _rows(slots: Mapping[tuple[int, int], Sequence[Slot]], lanes: int) -> list[int]:
    """How many rows each lane has."""
    rows = [0] * lanes
    for (lane, _), row in slots.items():
        rows[lane] = max(rows[lane], len(row))
    return rows


def _heights(slots: Mapping[tuple[int, int], Sequence[Slot]], lanes: int) -> dict[Slot, float]:
    """The middle of each slot, in pixels from above. A column with fewer slots than its lane has rows is centred."""
    rows = _rows(slots, lanes)
    tops, top = [], MARGIN
    for count in rows:
        tops.append(top)
        top += count * ROW + LANE_GAP
    return {
        slot: tops[lane] + (number + (rows[lane] - len(row)) / 2 + 0.5) * ROW
        for (lane, _), row in slots.items()
        for number, slot in enumerate(row)
    }


def _lefts(columns: Mapping[str, int], widths: Mapping[str, float]) -> tuple[list[float], list[float]]:
    """The left end and the width of each column."""
    wide = [0.0] * (1 + max(columns.values(), default=-1))
    for name, column in columns.items():
        wide[column] = max(wide[column], widths[name])
    lefts, left = [], MARGIN
    for width in wide:
        lefts.append(left)
        left += width + GAP
    return lefts, wide
