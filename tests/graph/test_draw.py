"""``ov graph``: every step and edge is drawn, nothing lies on anything else, and the legend says what colours mean."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from ovtasks.cli.main import run
from ovtasks.graph.chains import Graph, StepState, StepStatus
from ovtasks.graph.draw import LEGEND, drawing
from ovtasks.graph.freshness import Reason
from ovtasks.graph.layout import Box, Connector, lay_out
from ovtasks.graph.svg import svg
from ovtasks.project.load import load_project
from tests.support.programs import call
from tests.support.projects import write

SVG = "{http://www.w3.org/2000/svg}"
VMS = """
vms:
  a: {source: {kind: cloud_image, url: "https://example.org/a&b.qcow2"}}
  b: {source: {kind: cloud_image, url: "https://example.org/a&b.qcow2"}}
  c: {source: {kind: bootstrap}, disk_size: 8G}
  d: {source: {kind: bootc, image: "quay.io/example/os:1"}, disk_size: 10G}
"""


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    write(tmp_path, VMS)
    return Graph(load_project(tmp_path))


def steps_and_edges(graph: Graph) -> tuple[set[str], set[tuple[str, str]]]:
    """Of all VMs: by what the chains say, counted without the code that draws."""
    steps = {step.name: step for vm in graph.project.vms for step in graph.chain(vm)}
    return set(steps), {(need, step.name) for step in steps.values() for need in step.needs}


def drawn(graph: Graph) -> ET.Element:
    chains = [graph.chain(vm) for vm in graph.project.vms]
    return ET.fromstring(svg(drawing(chains, graph.status([step for chain in chains for step in chain]))))


def test_svg_has_every_step_and_edge(graph: Graph) -> None:
    root = drawn(graph)
    steps, edges = steps_and_edges(graph)
    boxes = [box.get("data-step") for box in root.iter(f"{SVG}g") if box.get("data-step")]
    goals = {f"{verb}:{vm}" for verb in ("build", "define", "create") for vm in graph.project.vms}
    assert len(boxes) == len(set(boxes)) and set(boxes) == steps | goals
    lines = {(line.get("data-from"), line.get("data-to")) for line in root.iter(f"{SVG}path")}
    assert edges <= lines
    assert {("seed:a", "build:a"), ("build:a", "define:a"), ("define:a", "create:a")} <= lines - edges
    assert {after for _, after in lines - edges} == goals
    shared = graph.chain("a").steps[0].name
    assert shared == graph.chain("b").steps[0].name and boxes.count(shared) == 1


def test_what_svg_says(graph: Graph) -> None:
    root = drawn(graph)
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert {*LEGEND.values(), "a goal: build, define or create"} <= {*words}
    assert "fetch a&b.qcow2" in words
    box = next(box for box in root.iter(f"{SVG}g") if box.get("data-step") == "disk:a")
    assert box.get("class") == "box run"
    assert (box.findtext(f"{SVG}title") or "").endswith("run: never built")
    assert "prefers-color-scheme:dark" in (root.findtext(f"{SVG}style") or "")


def test_names_from_files_cannot_become_markup(graph: Graph) -> None:
    chain = graph.chain("a")
    evil = "<script>alert(1)</script>\"'&"
    statuses = [StepStatus(step, StepState.RUN, (Reason(evil),), None) for step in chain]
    root = ET.fromstring(svg(drawing([chain], statuses)))
    assert not [*root.iter(f"{SVG}script")]
    assert evil in (next(root.iter(f"{SVG}title")).text or "")


def boxes_of(root: ET.Element) -> list[Box]:
    found = [(box.get("data-step") or "", box.find(f"{SVG}rect")) for box in root.iter(f"{SVG}g")]
    return [
        Box(name, *map(size, ("x", "y", "width", "height"), [rect] * 4)) for name, rect in found if rect is not None
    ]


def size(key: str, of: ET.Element) -> float:
    return float(of.attrib[key])


def test_no_box_of_the_svg_lies_on_another(graph: Graph) -> None:
    root = drawn(graph)
    boxes = boxes_of(root)
    assert len(boxes) > 20
    assert not [pair for pair in combinations(boxes, 2) if overlap(*pair)]
    width, height = (size(key, root) for key in ("width", "height"))
    assert all(box.x + box.width <= width and box.y + box.height <= height for box in boxes)


def overlap(one: Box, other: Box) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def samples(line: Connector) -> Iterator[tuple[float, float]]:
    """Points on the way, of curves and straight parts."""
    for number, ((x, y), (right, level)) in enumerate(zip(line.points, line.points[1:], strict=False)):
        for part in (n / 20 for n in range(1, 20)):
            bend = 0 if number % 2 else 3 * part**2 - 2 * part**3
            yield x + (right - x) * part, (y if number % 2 else y + (level - y) * bend)


@pytest.mark.parametrize("seed", range(20))
def test_any_graph_finds_its_place(seed: int) -> None:
    """Edges within lanes and across them, short and long, also from a later lane to an earlier one."""
    chance = random.Random(seed)
    names = [f"n{number}" for number in range(chance.randint(1, 25))]
    edges = [pair for pair in combinations(names, 2) if chance.random() < 0.12]
    lanes: list[list[str]] = [[] for _ in range(chance.randint(1, 5))]
    for name in names:
        chance.choice(lanes).append(name)
    widths = {name: chance.uniform(30, 200) for name in names}
    layout = lay_out(lanes, edges, widths)
    boxes = {box.name: box for box in layout.boxes}
    assert boxes.keys() == {*names} and {line.edge for line in layout.lines} == {*edges}
    assert not [pair for pair in combinations(layout.boxes, 2) if overlap(*pair)]
    assert all(boxes[name].width >= widths[name] for name in names)
    for line in layout.lines:
        before, after = (boxes[name] for name in line.edge)
        assert line.points[0] == (before.x + before.width, before.middle) and line.points[-1] == (after.x, after.middle)
        for x, y in samples(line):
            assert not [b for b in layout.boxes if b.x < x < b.x + b.width and b.y < y < b.y + b.height], line
    assert all(box.x >= 0 and box.y >= 0 for box in layout.boxes)
    assert all(box.x + box.width <= layout.width and box.y + box.height <= layout.height for box in layout.boxes)


def test_dot_is_read_by_graphviz_and_mermaid_has_the_same(graph: Graph, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ["-C", str(graph.project.root)]
    assert run([*folder, "graph"]) == 0
    text = capsys.readouterr().out
    steps, edges = steps_and_edges(graph)
    assert edges <= {*re.findall(r'^  "(.+)" -> "(.+)";$', text, re.MULTILINE)}
    titles = {title.text for title in ET.fromstring(call("dot", "-Tsvg", stdin=text).stdout).iter(f"{SVG}title")}
    assert steps <= titles and {*LEGEND.values()} <= titles
    assert run([*folder, "graph", "--format", "mermaid"]) == 0
    text = capsys.readouterr().out
    assert all(f'["{name}"]' in text for name in steps) and all(f'["{words}"]' in text for words in LEGEND.values())


def test_svg_needs_no_graphviz_and_may_show_a_part(
    graph: Graph, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert run(["-C", str(graph.project.root), "graph", "disk:a", "--format", "svg"]) == 0
    root = ET.fromstring(capsys.readouterr().out)
    boxes = {box.get("data-step") for box in root.iter(f"{SVG}g")} - {None}
    assert boxes == {
        *graph.chain("a").steps[0].name.split(),
        *(s.name for s in graph.chain("a").steps[1:3]),
        "build:a",
        "define:a",
        "create:a",
    }
    assert ("disk:a", "build:a") in {(line.get("data-from"), line.get("data-to")) for line in root.iter(f"{SVG}path")}
