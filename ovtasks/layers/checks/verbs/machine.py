"""``libvirt`` and ``spice``: a method of ``ov eval`` about the VM itself, and what it says or makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ovtasks.layers.checks.model import CheckVerb, Mismatch, Probe, ProbeFacts, told_last, unmet
from ovtasks.layers.checks.script import MISSING_TOOL
from ovtasks.values.durations import parse_duration
from ovtasks.values.words import near

PATIENCE = 60.0
"""Seconds that a method may take when the check says nothing."""
LIBVIRT_METHODS: Mapping[str, tuple[str, ...]] = {
    "send-key": ("key",),
    "passwd": ("text",),
    "qmp": ("text",),
    "guest/exec": ("command",),
    **{f"snapshot/{name}": ("target",) for name in ("create", "info", "revert", "delete")},
    **dict.fromkeys(("list", "snapshot/list", "info", "screenshot", "domain-xml", "console", "events"), ()),
    **{
        f"guest/{name}": ()
        for name in (
            *("ping", "info", "os-info", "time", "hostname", "users", "interfaces", "disks", "fsinfo", "vcpus"),
            "fstrim",
        )
    },
}
"""The methods, and the keys that a check of each needs."""
SPICE_METHODS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("status", "screenshot", "cursor"), ()),
    "type": ("text",),
    "key": ("key",),
    "click": ("x", "y"),
    "mouse": ("x", "y"),
}
_ARTIFACT = ("artifact", "artifact_min_bytes", "artifact_min_dimensions", "artifact_not_uniform")
_KEYS = ("exit_status", "stdout", "stderr", *_ARTIFACT)


def look(check: Probe, seconds: float) -> ProbeFacts:
    """Ask, in the time that the check's ``timeout`` gives."""
    if check.context.ask_machine is None:
        return {MISSING_TOOL: b"only a VM that runs can be asked"}
    limit = parse_duration(check.text("timeout") or f"{PATIENCE:.0f}s") * max(check.context.factor, 1.0)
    return check.context.ask_machine(check.verb.name, check.subject, check.data, limit)


def judge(check: Probe, facts: ProbeFacts) -> Iterator[Mismatch]:
    """Status, outputs, and the file that it made."""
    status, wanted = int(facts.get("status", b"1")), int(str(check.data.get("exit_status", 0)))
    output, errors = (facts.get(name, b"").decode("utf-8", "replace") for name in ("stdout", "stderr"))
    if status != wanted:
        said = told_last(errors)
        yield Mismatch("exit_status", str(wanted), f"{status}{': ' if said else ''}{said}")
    yield from unmet("stdout", check.expectations("stdout"), output)
    yield from unmet("stderr", check.expectations("stderr"), errors)
    if any(key in check.data for key in _ARTIFACT) and status == wanted:
        yield from _judge_artifact(check, facts)


def _judge_artifact(check: Probe, facts: ProbeFacts) -> Iterator[Mismatch]:
    size = int(facts.get("size", b"0"))
    least = int(str(check.data.get("artifact_min_bytes", 1)))
    if size < least:
        yield Mismatch("artifact_min_bytes", f"{least} or more", str(size))
    if (pixels := check.text("artifact_min_dimensions")) is not None:
        width, _, height = pixels.partition("x")
        found = facts.get("dimensions", b"no picture").decode()
        across, _, down = found.partition("x")
        if not down or int(across) < int(width) or int(down) < int(height):
            yield Mismatch("artifact_min_dimensions", f"{pixels} or more", found)
    if check.wants("artifact_not_uniform", False) and facts.get("uniform") != b"no":
        yield Mismatch("artifact_not_uniform", "more than one colour", "one colour" if "uniform" in facts else "none")


def _problem(methods: Mapping[str, tuple[str, ...]]) -> Callable[[Probe], tuple[str, str] | None]:
    """An unknown method, or one without what it needs."""

    def found(check: Probe) -> tuple[str, str] | None:
        needed = methods.get(check.subject)
        if needed is None:
            guess = near(check.subject, methods)
            return check.verb.name, f"did you mean '{guess}'?" if guess else f"one of {', '.join(methods)}"
        missing = [key for key in needed if key not in check.data]
        return (check.verb.name, f"it needs {' and '.join(missing)}") if missing else None

    return found


LIBVIRT = CheckVerb(
    "libvirt",
    ("key", "text", "input", "command", "target", *_KEYS),
    None,
    judge,
    outside=look,
    problem=_problem(LIBVIRT_METHODS),
    captures="stdout",
)
SPICE = CheckVerb(
    "spice",
    ("key", "text", "x", "y", "button", *_KEYS),
    None,
    judge,
    outside=look,
    problem=_problem(SPICE_METHODS),
    captures="stdout",
)
