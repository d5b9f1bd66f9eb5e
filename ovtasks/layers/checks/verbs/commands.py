"""``command``: a command of the login user, its status and output. ``matching``: a value that is given."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from ovtasks.layers.checks.model import CheckVerb, Mismatch, Probe, ProbeFacts, differs, told_last, unmet
from ovtasks.layers.checks.script import LIMIT
from ovtasks.values.durations import parse_duration

PATIENCE = 60
"""Seconds that a command may take when the check says nothing."""
_LATE = 124  # timeout(1)
_MATCHING = ("equals", "contains", "matches")


def look(check: Probe) -> str:
    """Run by bash where there is one. Outputs go through files, so that what it leaves running holds nothing up.

    SHLVL: else bash takes itself for the shell of an ssh command, and reads ~/.bashrc, as the login's shell has done.
    """
    limit = parse_duration(check.text("timeout") or f"{PATIENCE}s") * max(check.context.factor, 1.0)
    exports = "".join(f"export {name}={quote(value)}\n" for name, value in check.context.variables.items())
    return f"""\
D=$(mktemp -d) || exit
trap 'rm -rf "$D"' EXIT
trap 'exit 143' HUP INT TERM
{exports}S=sh; if command -v bash >/dev/null; then S=bash; fi
L=; if command -v timeout >/dev/null; then L='timeout -k 5 {limit:.0f}'; fi
SHLVL=1 $L $S -c {quote(check.subject)} >"$D/out" 2>"$D/err"
tell status $?
for name in out err; do tell "std${{name}}_size" "$(wc -c <"$D/$name" | tr -d ' ')"; done
fact stdout <"$D/out"
fact stderr <"$D/err"
"""


def judge(check: Probe, facts: ProbeFacts) -> Iterator[Mismatch]:
    """Status and outputs; what it said on stderr is told beside a wrong status."""
    if "status" not in facts:
        yield Mismatch("command", "a status", "nothing")
        return
    status = int(facts["status"])
    output, errors = (facts.get(name, b"").decode("utf-8", "replace") for name in ("stdout", "stderr"))
    wanted = int(str(check.data.get("exit_status", 0)))
    if status != wanted:
        said = told_last(errors) or told_last(output)
        late = " (it took too long)" if status == _LATE else ""
        yield Mismatch("exit_status", str(wanted), f"{status}{late}{': ' if said else ''}{said}")
    for key, text in (("stdout", output), ("stderr", errors)):
        size = int(facts.get(f"{key}_size", b"0") or 0)
        if size > LIMIT and key in check.data:
            yield Mismatch(key, f"at most {LIMIT} bytes", str(size))
        else:
            yield from unmet(key, check.expectations(key), text)


COMMAND = CheckVerb("command", ("exit_status", "stdout", "stderr"), look, judge, as_user=True, captures="stdout")


def judge_value(check: Probe, facts: ProbeFacts) -> Iterator[Mismatch]:
    """Nothing is looked up."""
    for key in _MATCHING:
        yield from unmet("matching", check.expectations(key, key), check.subject)
    if "value" in check.data:
        yield from differs("matching", check.text("value"), check.subject)


MATCHING = CheckVerb(
    "matching", ("equals", "contains", "matches", "value"), None, judge_value, outside=lambda check, seconds: {}
)
