"""Carries out checks: all that look into the guest by one script, again and again while some may still become true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from ovtasks.errors import InputError
from ovtasks.guest.deadline import SYSTEM_CLOCK, Clock, Deadline, growing
from ovtasks.layers.checks.model import (
    CheckOutcome,
    CheckResult,
    CheckScope,
    Deferred,
    Mismatch,
    Probe,
    ProbeFacts,
    ReadCheck,
    shown_fact,
)
from ovtasks.layers.checks.reading import read_check
from ovtasks.layers.checks.script import MISSING_TOOL, answers, new_token, script, seconds
from ovtasks.layers.checks.search import TooSlowError, search
from ovtasks.values.durations import parse_duration

PATIENCE = 10
"""Seconds that a service, a port or an address gets to come up when its check says nothing."""


class Answer(Protocol):
    """What a script in the guest has said."""

    @property
    def stdout(self) -> bytes:
        """Its stdout."""


class ScriptRunner(Protocol):
    """Runs scripts in a guest: a connection."""

    def run(self, script: str, /) -> Answer:
        """Run a script of ``sh`` as the user who logs in."""


def carry_out(
    connection: ScriptRunner, checks: Sequence[ReadCheck], *, clock: Clock = SYSTEM_CLOCK
) -> list[CheckResult]:
    """Carry out what :func:`~.reading.read_checks` has read, of one layer or of several; the results are in order.

    A deferred check waits for those before it; the others are carried out together.

    :raises OvError: the connection is lost.
    """
    done: list[CheckResult] = []
    together: list[Probe | CheckResult] = []
    for one in checks:
        if isinstance(one, Deferred):
            done += _together(connection, together, clock)
            captured = {name: text for result in done for name, text in result.captured.items()}
            together = [_read(one, captured)]
        else:
            together.append(one)
    return done + _together(connection, together, clock)


def _read(one: Deferred, captured: Mapping[str, str]) -> Probe | CheckResult:
    try:
        return read_check(one.part, replace(one.context, captured=captured))
    except InputError as e:  # what was captured makes it one that cannot be meant
        return CheckResult(one.name, one.part.verb, CheckOutcome.FAILED, one.part.where, reason=e.message)


def _together(connection: ScriptRunner, checks: Sequence[Probe | CheckResult], clock: Clock) -> list[CheckResult]:
    results = [one if isinstance(one, CheckResult) else None for one in checks]
    open_ = {number: one for number, one in enumerate(checks) if isinstance(one, Probe)}
    ends = {number: _end(one, clock) for number, one in open_.items()}
    pauses = growing()
    looks = 0
    while open_:
        looks += 1
        for number, result in zip(open_, _round(connection, [*open_.values()], looks, clock), strict=True):
            results[number] = result
        open_ = {number: one for number, one in open_.items() if _again(results[number], ends[number])}
        if open_:
            clock.sleep(_pause([*open_.values()], next(pauses)))
    return [one for one in results if one is not None]


def _pause(checks: Sequence[Probe], usual: float) -> float:
    """Seconds until the next look: what ``retry_interval`` says, the shortest of several; else the usual pause."""
    wanted = [check.text("retry_interval") for check in checks]
    return min(float(parse_duration(one)) if one else usual for one in wanted)


def _again(result: CheckResult | None, end: Deadline) -> bool:
    return result is not None and result.outcome is CheckOutcome.FAILED and not end.expired


def _end(check: Probe, clock: Clock) -> Deadline:
    return Deadline.after(_patience(check), factor=max(check.context.factor, 1.0), clock=clock)


def _patience(check: Probe) -> float:
    """How long a check may fail before it has failed, in seconds."""
    if eventually := check.text("eventually"):
        return parse_duration(eventually)
    if not check.verb.waits(check):
        return 0.0
    timeout = check.text("timeout")
    return parse_duration(timeout) if timeout else PATIENCE


def _round(connection: ScriptRunner, checks: Sequence[Probe], looks: int, clock: Clock) -> list[CheckResult]:
    """Look once."""
    inside = [check for check in checks if not _outside(check)]
    told = iter(_inside(connection, inside))
    results = []
    for check in checks:
        start = clock.monotonic()
        if _outside(check) and check.verb.outside is not None:
            facts = check.verb.outside(check, max(_patience(check), 1.0) * check.context.factor)
            took = round(clock.monotonic() - start, 3)
        else:
            facts = next(told)
            took = seconds(facts)
        results.append(_judged(check, facts, took, looks))
    return results


def _outside(check: Probe) -> bool:
    """Whether a check is carried out from this machine."""
    if check.verb.outside is None or check.verb.look is None:
        return check.verb.look is None
    chosen = check.data.get("from_host")
    return bool(chosen) if chosen is not None else not check.in_guest and check.text("scope") != CheckScope.BUILD


def _inside(connection: ScriptRunner, checks: Sequence[Probe]) -> list[ProbeFacts]:
    """What looks into the guest found, in order."""
    if not checks:
        return []
    token = new_token()
    found = answers(connection.run(script(checks, token)).stdout, token)
    return [found.get(number, {}) for number in range(len(checks))]


def _judged(check: Probe, facts: ProbeFacts, took: float, looks: int) -> CheckResult:
    if MISSING_TOOL in facts:
        reason = f"{check.verb.name}: {facts[MISSING_TOOL].decode('utf-8', 'replace')}"
        return CheckResult(check.name, check.verb.name, CheckOutcome.NOT_CARRIED_OUT, check.part.where, reason=reason)
    if "ended" not in facts and not _outside(check):
        mismatches: tuple[Mismatch, ...] = (Mismatch(check.verb.name, "an answer of the guest", "none"),)
    else:
        mismatches = tuple(check.verb.judge(check, facts))
    captured: dict[str, str] = {}
    if not mismatches and (name := check.text("capture")) is not None:
        text = facts.get(check.verb.captures, b"").decode("utf-8", "replace").rstrip("\n")
        found = _extracted(check, text)
        if found is None:
            wanted = f"a match of {check.part.data.get('capture_extract')!r}"
            mismatches = (Mismatch("capture_extract", wanted, shown_fact(text)),)
        else:
            captured = {name: found}
    outcome = CheckOutcome.FAILED if mismatches else CheckOutcome.OK
    return CheckResult(check.name, check.verb.name, outcome, check.part.where, mismatches, "", took, looks, captured)


def _extracted(check: Probe, text: str) -> str | None:
    """What ``capture_extract`` finds: its first group, else all of it; without it, the whole text."""
    pattern = check.part.data.get("capture_extract")
    if pattern is None:
        return text
    try:
        match = search(str(pattern), text)
    except TooSlowError:
        return None
    return None if match is None else str(match[1] if match.re.groups and match[1] is not None else match[0])
