"""The page of ``ov report`` as text. It does no I/O; every word that comes from a file is escaped."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape

from ovtasks.cli.report.charts import STEPS_STYLE, timeline, vm_graph
from ovtasks.cli.report.facts import InstanceFact, ReportFacts, StepFact, VmFact
from ovtasks.cli.show import duration
from ovtasks.graph.chains import StepState
from ovtasks.graph.draw import LEGEND
from ovtasks.graph.svg import MARKS
from ovtasks.images.gc import Item
from ovtasks.values.sizes import about

OPEN = 12
"""So many VMs are shown with their graphs open."""
BROKEN = "broken"
_WORST = (StepState.RUN, StepState.MAYBE, StepState.FRESH)


def render(facts: ReportFacts, style: str, script: str) -> str:
    """The whole page. ``style`` and ``script`` go into it as they are."""
    name = escape(facts.root.name or str(facts.root))
    parts = [
        _head(f"{name} – ov report", style, script),
        f"<header><div><h1>{name}</h1><p>{_when(facts.now)} · ovtasks {escape(facts.version)} · "
        f"<code>{escape(str(facts.root))}</code></p></div>",
        '<form role="search"><label for="search">Search</label><input id="search" type="search" autocomplete="off" '
        'placeholder="name, step, state, reason  ( / )"><output id="count" for="search"></output></form>',
        '<nav><a href="#vms">VMs</a><a href="#run">Last run</a><a href="#instances">Instances</a>'
        '<a href="#disk">Disk</a></nav></header><main>',
        _problems(facts.problems),
        _tiles(facts),
        _vms(facts),
        timeline(facts),
        _instances(facts.instances),
        _disk(facts),
        f'</main><div id="tip" role="tooltip" hidden></div><script>{script}</script></body></html>\n',
    ]
    return "\n".join(part for part in parts if part)


def _head(title: str, style: str, script: str) -> str:
    """The policy lets the page load nothing and run no script but its own."""
    own = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{own}'"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>{title}</title><style>{STEPS_STYLE}{style}</style></head><body>"
    )


def _when(seconds: float) -> str:
    """A moment in local time."""
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M:%S %z}"


def _problems(problems: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(problem)}</li>" for problem in problems)
    return f'<section role="alert"><h2>Problems</h2><ul>{items}</ul></section>' if items else ""


def _tiles(facts: ReportFacts) -> str:
    states = Counter(step.state for step in facts.steps.values())
    running = sum(one.state == "running" for one in facts.instances)
    tiles = {
        "VMs": str(len(facts.vms)),
        "steps to run": str(states[StepState.RUN]),
        "maybe": str(states[StepState.MAYBE]),
        "fresh": str(states[StepState.FRESH]),
        "instances running": f"{running} of {len(facts.instances)}",
        "on disk": about(sum(facts.sizes.values())),
        "gc would free": about(sum(item.size for item in facts.free)),
    }
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in tiles.items())
    return f'<dl class="tiles">{cells}</dl>'


def chip(state: str) -> str:
    """A state as a coloured word."""
    mark = MARKS.get(state, "")
    return f'<span class="chip {escape(state)}">{mark}{" " if mark else ""}{escape(state)}</span>'


def _vms(facts: ReportFacts) -> str:
    legend = "".join(f"<li>{chip(state)} {escape(text.partition(': ')[2])}</li>" for state, text in LEGEND.items())
    instances: dict[str, list[InstanceFact]] = {}
    for one in facts.instances:
        instances.setdefault(one.vm, []).append(one)
    opened = len(facts.vms) <= OPEN
    return "\n".join(
        [
            f'<section id="vms"><h2>VMs</h2><ul class="legend">{legend}</ul>',
            *(_vm(vm, facts, instances.get(vm.name, ()), opened=opened) for vm in facts.vms),
            "</section>",
        ]
    )


def _vm(vm: VmFact, facts: ReportFacts, instances: Sequence[InstanceFact], *, opened: bool) -> str:
    steps = [facts.steps[name] for name in vm.steps]
    states = Counter(step.state for step in steps)
    worst = next((state for state in _WORST if states[state]), StepState.FRESH)
    state = BROKEN if vm.problem else worst.value
    told = ", ".join(
        f"{states[one]} {'to run' if one is StepState.RUN else one.value}" for one in _WORST if states[one]
    )
    living = "".join(f'<span class="kind">{escape(one.name)} {chip(one.state)}</span>' for one in instances)
    text = " ".join([vm.name, vm.source, state, vm.problem, *(one.state for one in instances), *map(_words, steps)])
    body = f'<p class="problem">{escape(vm.problem)}</p>' if vm.problem else vm_graph(vm.name, steps)
    return (
        f'<details class="vm" {_text(text)}{" open" if opened else ""}><summary>{chip(state)}'
        f'<b>{escape(vm.name)}</b><span class="kind">{escape(vm.source)}</span><span class="kind">{told}</span>{living}'
        f'<span class="size">{about(vm.size) if vm.size else ""}</span></summary>{body}</details>'
    )


def _words(step: StepFact) -> str:
    return " ".join([step.name, step.title, *step.reasons])


def _text(text: str) -> str:
    """What the search looks through."""
    return f'data-text="{escape(text.casefold())}"'


def _instances(instances: Sequence[InstanceFact]) -> str:
    head = _row("th", "Name", "State", "Backend", "SSH", "Memory", "Uptime", "Disk", "Older than vms.yml")
    rows = "".join(
        f"<tr {_text(' '.join([one.name, one.state, one.backend, one.ssh, *one.stale]))}>"
        + f"<td>{escape(one.name)}</td><td>{chip(one.state)} {escape(one.note)}</td>"
        + _cells(
            *(one.backend, one.ssh, about(one.memory) if one.memory else ""),
            *(duration(one.uptime) if one.uptime is not None else "", about(one.size), "; ".join(one.stale) or "no"),
        )
        + "</tr>"
        for one in instances
    )
    return _section("instances", "Instances", _table(head, rows) if rows else "<p>No VM is created: ov vm create.</p>")


def _disk(facts: ReportFacts) -> str:
    sizes = "".join(f"<tr>{_cells(name, about(size))}</tr>" for name, size in facts.sizes.items())
    total = f"<tr>{_cells('together', about(sum(facts.sizes.values())))}</tr>"
    free = about(sum(item.size for item in facts.free))
    gone = f"<h3>ov gc would free {free}</h3>" + (_items(facts.free) if facts.free else "<p>Nothing is left over.</p>")
    kept = f"<details><summary>What stays, and for whom ({len(facts.kept)})</summary>{_items(facts.kept)}</details>"
    body = _table(_row("th", "What", "On disk"), sizes + total) + gone + (kept if facts.kept else "")
    return _section("disk", "Disk", body)


def _items(items: Sequence[Item]) -> str:
    rows = "".join(_item(item) for item in sorted(items, key=lambda item: -item.size))
    held = ("Held by",) if any(item.held_by for item in items) else ()
    return _table(_row("th", "What", "On disk", "Where", *held), rows)


def _item(item: Item) -> str:
    held = "; ".join(item.held_by)
    text = _text(f"{item.what} {item.path} {held}")
    return f"<tr {text}>{_cells(item.what, about(item.size), str(item.path), *([held] if held else []))}</tr>"


def _section(id: str, title: str, body: str) -> str:
    return f'<section id="{id}"><h2>{title}</h2>{body}</section>'


def _table(head: str, rows: str) -> str:
    return f'<div class="wide"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _row(kind: str, *cells: str) -> str:
    return f"<tr>{''.join(f'<{kind}>{escape(cell)}</{kind}>' for cell in cells)}</tr>"


def _cells(*cells: str) -> str:
    return "".join(_each(cells))


def _each(cells: Sequence[str]) -> Iterator[str]:
    return (f"<td>{escape(cell)}</td>" for cell in cells)
