"""``command``: a command of the login user, its status and output. ``matching``: a value that is given."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from ovtasks.layers.checks.model import Check, CheckVerb, Facts, Mismatch, differs, unmet
from ovtasks.values.durations import parse_duration

PATIENCE = 60
"""Seconds that a command may take when the check says nothing."""
_LATE = 124  # timeout(1)
_MATCHING = ("equals", "contains", "matches")


def look(check: Check) -> str:
    """Run by bash where there is one. Outputs go through files, so that what it leaves running holds nothing up."""
    limit = parse_duration(check.text("timeout") or f"{PATIENCE}s") * max(check.context.factor, 1.0)
    exports = "".join(f"export {name}={quote(value)}\n" for name, value in check.context.variables.items())
    return f"""\
D=$(mktemp -d) || exit
trap 'rm -rf "$D"' EXIT
{exports}S=sh; if command -v bash >/dev/null; then S=bash; fi
L=; if command -v timeout >/dev/null; then L='timeout -k 5 {limit:.0f}'; fi
$L $S -c {quote(check.subject)} >"$D/out" 2>"$D/err"
tell status $?
fact stdout <"$D/out"
fact stderr <"$D/err"
"""


def judge(check: Check, facts: Facts) -> Iterator[Mismatch]:
    """Status and outputs; what it said on stderr is told beside a wrong status."""
    if "status" not in facts:
        yield Mismatch("command", "a status", "nothing")
        return
    status = int(facts["status"])
    output, errors = (facts.get(name, b"").decode("utf-8", "replace") for name in ("stdout", "stderr"))
    wanted = int(str(check.data.get("exit_status", 0)))
    if status != wanted:
        said = (errors.strip() or output.strip()).splitlines()[-1:]
        late = " (it took too long)" if status == _LATE else ""
        yield Mismatch("exit_status", str(wanted), f"{status}{late}{': ' if said else ''}{''.join(said)[:200]}")
    yield from unmet("stdout", check.expectations("stdout"), output)
    yield from unmet("stderr", check.expectations("stderr"), errors)


COMMAND = CheckVerb(
    "command",
    "A command line of the user who logs in, for bash or else sh.",
    {
        "exit_status": "The status that it ends with; default: 0.",
        "stdout": "Matchers of its output.",
        "stderr": "Matchers of what it says on stderr.",
        "timeout": f"How long it may take; default: {PATIENCE}s.",
    },
    look,
    judge,
    as_user=True,
)


def judge_value(check: Check, facts: Facts) -> Iterator[Mismatch]:
    """Nothing is looked up."""
    for key in _MATCHING:
        yield from unmet("matching", check.expectations(key, key), check.subject)
    if "value" in check.data:
        yield from differs("matching", check.text("value"), check.subject)


MATCHING = CheckVerb(
    "matching",
    "A value that is compared as it stands.",
    {
        "equals": "What it equals.",
        "contains": "What it contains.",
        "matches": "A regular expression that it matches.",
        "value": "What it is, letter by letter.",
    },
    lambda check: "",
    judge_value,
    outside=lambda check, seconds: {},
)
