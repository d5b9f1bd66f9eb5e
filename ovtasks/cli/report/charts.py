"""The drawings of ``ov report``: a VM's steps, and the last run over time."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ovtasks.cli.report.facts import ReportFacts, StepFact
from ovtasks.graph.last_run import RanStep
from ovtasks.graph.layout import lay_out
from ovtasks.graph.svg import STYLE as STEPS_STYLE
from ovtasks.graph.svg import BoxText, shapes
from ovtasks.values.durations import format_taken

__all__ = ["STEPS_STYLE", "timeline", "vm_graph"]
LONGEST = 40
"""So many steps of the last run are shown at once, besides the critical path."""
TICKS = 4


def vm_graph(vm: str, steps: Sequence[StepFact]) -> str:
    """The steps of a VM, in order. Those with words to say can be reached by the keyboard."""
    names = [step.name for step in steps]
    texts = {step.name: _text(step) for step in steps}
    edges = [(need, step.name) for step in steps for need in step.needs]
    layout = lay_out([names], edges, {name: text.width for name, text in texts.items()})
    label = escape(f"The steps of {vm}")
    return (
        f'<div class="wide"><svg viewBox="0 0 {layout.width:g} {layout.height:g}" width="{layout.width:g}" '
        f'height="{layout.height:g}" role="group" aria-label="{label}">'
        f"{''.join(shapes(layout, texts, focus=True))}</svg></div>"
    )


def _text(step: StepFact) -> BoxText:
    hint = [f"{step.name}: {step.title}", step.state.value, *step.reasons]
    title = step.title
    if step.took is not None and step.made is not None:
        hint.append(f"last made in {format_taken(step.took)}, {_date(step.made)}")
        title = f"{format_taken(step.took)} · {title}"
    if step.failed:
        hint.append("the last run failed here")
    if step.users > 1:
        hint.append(f"shared by {step.users} VMs")
    return BoxText(step.name, step.state.value, title, "\n".join(hint))


def timeline(facts: ReportFacts) -> str:
    """The last run, a bar a step. A long run shows its critical path and its longest steps; the others are folded."""
    head = '<section id="run"><h2>Last run</h2>'
    if not facts.ran:
        return f"{head}<p>No run is noted yet: ov vm build.</p></section>"
    begin, end = min(one.started for one in facts.ran), max(one.ended for one in facts.ran)
    whole = max(end - begin, 0.001)
    critical = {*facts.critical}
    longest = {one.step for one in sorted(facts.ran, key=lambda one: -one.seconds)[:LONGEST]} | critical
    rows = [(_bar(one, begin, whole, one.step in critical), one.step in longest) for one in _by_start(facts.ran)]
    shown, others = ("".join(row for row, seen in rows if seen is wanted) for wanted in (True, False))
    ticks = "".join(f"<span>{format_taken(whole * n / TICKS)}</span>" for n in range(TICKS + 1))
    spent = sum(one.seconds for one in facts.ran if one.step in critical)
    bad = [f"{count} {kind}" for kind in ("failed", "stopped") if (count := _count(facts.ran, kind))]
    told = f"{len(facts.ran)} step{'s' if len(facts.ran) != 1 else ''} in {format_taken(whole)}, {_date(begin)}"
    path = " → ".join(escape(name) for name in facts.critical)
    parts = [
        f"{head}<p>{told}{''.join(f'; <b>{one}</b>' for one in bad)}.</p>",
        f'<p><span class="chip critical">critical path</span> {format_taken(spent)}: {path}</p>',
        f'<ol class="timeline"><li class="ticks" aria-hidden="true"><span></span><span>{ticks}</span><span></span>',
        f"</li>{shown}</ol>",
    ]
    if others:
        count = sum(not seen for _, seen in rows)
        parts.append(f'<details><summary>{count} shorter steps</summary><ol class="timeline">{others}</ol></details>')
    return "".join(parts) + "</section>"


def _count(ran: Sequence[RanStep], outcome: str) -> int:
    return sum(one.outcome == outcome for one in ran)


def _by_start(ran: Sequence[RanStep]) -> list[RanStep]:
    return sorted(ran, key=lambda one: (one.started, one.step))


def _bar(one: RanStep, begin: float, whole: float, critical: bool) -> str:
    left, width = (100 * part / whole for part in (one.started - begin, one.seconds))
    kind = " ".join(["critical"] * critical + [one.outcome])
    words = f"{one.step}: {one.title}\n{one.outcome} in {format_taken(one.seconds)}"
    words += "\non the critical path" if critical else ""
    text = escape(f"{one.step} {one.title} {one.outcome}".casefold())
    return (
        f'<li class="{kind}" tabindex="0" data-hint="{escape(words)}" data-text="{text}">'
        f"<span>{escape(one.step)}</span>"
        f'<span class="track"><span style="left:{left:.2f}%;width:{width:.2f}%"></span></span>'
        f"<span>{format_taken(one.seconds)}{'' if one.outcome == 'done' else f' {one.outcome}'}</span></li>"
    )


def _date(seconds: float) -> str:
    from datetime import datetime

    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M:%S}"
