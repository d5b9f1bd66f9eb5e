"""A check as a value: what is looked at, how what was found is judged, and the result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ovtasks.errors import Where
from ovtasks.layers.checks.matchers import Matcher, matchers
from ovtasks.layers.checks.search import SECONDS, TooSlowError
from ovtasks.layers.facts import SystemFacts
from ovtasks.project.layer_model import LayerCheck
from ovtasks.values.jsonvalue import Json


class CheckScope(StrEnum):
    """When a check holds: already in an image (``build``), or only on a machine that runs (``deploy``)."""

    BUILD = "build"
    DEPLOY = "deploy"


class CheckOutcome(StrEnum):
    """How a check ended. ``SKIPPED``: it says itself that it is not for this system."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_CARRIED_OUT = "not carried out"


@dataclass(frozen=True)
class ServiceUnit:
    """The systemd unit behind a service's name. ``user``: one of the login user's own manager."""

    name: str
    user: bool = False


ProbeFacts = Mapping[str, bytes]
"""What a look found, by name."""
MachineAsker = Callable[[str, str, Mapping[str, Json], float], ProbeFacts]
"""Asks about the VM itself: the verb, its method, the check's keys, seconds."""


@dataclass(frozen=True)
class CheckContext:
    """What checks are carried out against.

    ``forwards`` are ports of this machine by the guest's port that they lead to, on ``host``; ``units`` the units that
    layers wrote, by the service's name. ``factor`` is how much slower the guest runs than with KVM.
    ``ask_machine`` is None where there is no VM that runs: in an image build. ``captured`` is what earlier checks
    found, by name.
    """

    facts: SystemFacts
    variables: Mapping[str, str] = field(default_factory=dict)
    forwards: Mapping[int, int] = field(default_factory=dict)
    host: str = "127.0.0.1"
    units: Mapping[str, ServiceUnit] = field(default_factory=dict)
    scopes: frozenset[CheckScope] = frozenset(CheckScope)
    factor: float = 1.0
    ask_machine: MachineAsker | None = None
    captured: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Mismatch:
    """A property that is not as expected."""

    key: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.key}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True)
class CheckResult:
    """How one check ended.

    ``name`` is its ``id``, or its sentence, else its verb and what it looks at. ``reason`` says why it was skipped or
    not carried out. ``seconds`` is how long the last look took, ``looks`` how often it was looked. ``captured`` is what
    it found, by the name under which later checks use it.
    """

    name: str
    verb: str
    outcome: CheckOutcome
    where: Where
    mismatches: tuple[Mismatch, ...] = ()
    reason: str = ""
    seconds: float = 0.0
    looks: int = 0
    captured: Mapping[str, str] = field(default_factory=dict)

    @property
    def told(self) -> str:
        """One line about what was found or why nothing was done; empty for a check that is ok."""
        return self.reason or "; ".join(map(str, self.mismatches))


@dataclass(frozen=True)
class Probe:
    """A check that is ready for one system: names in its texts are replaced. ``subject`` is the verb's own value.

    ``in_guest``: an address of the guest itself, because no port of this machine leads to it.
    """

    verb: CheckVerb
    name: str
    subject: str
    data: Mapping[str, Json]
    part: LayerCheck
    context: CheckContext
    in_guest: bool = False

    def text(self, key: str) -> str | None:
        """The value of ``key`` as text; None if it is not given."""
        value = self.data.get(key)
        return None if value is None else str(value)

    def wants(self, key: str, default: bool = True) -> bool:
        """The truth value of ``key``."""
        value = self.data.get(key)
        return default if value is None else bool(value)

    def words(self, key: str) -> tuple[str, ...]:
        """The list of ``key``."""
        value = self.data.get(key)
        return tuple(map(str, value)) if isinstance(value, list) else ()

    def expectations(self, key: str, default: str = "equals") -> tuple[Matcher, ...]:
        """The matchers of ``key``."""
        return matchers(self.data[key], default) if key in self.data else ()


@dataclass(frozen=True)
class Deferred:
    """A check with ``${CAPTURED:NAME}``: it is read when the check that finds NAME has been carried out."""

    part: LayerCheck
    context: CheckContext

    @property
    def name(self) -> str:
        """As that of a result, without what it looks at."""
        return str(self.part.data.get("id") or self.part.verb)


ReadCheck = Probe | CheckResult | Deferred
Judge = Callable[[Probe, ProbeFacts], Iterable[Mismatch]]


@dataclass(frozen=True)
class CheckVerb:
    """A kind of check.

    ``keys`` are what it may have beside its name. ``look`` is text for a POSIX shell in the guest that reports facts
    (:mod:`.script`), None if there is nothing to look at. ``outside`` looks from this machine instead, for so many
    seconds. ``as_user``: the user who logs in looks, else root where sudo allows it. ``waits``: the check may become
    true by itself, so it is repeated. ``problem``: the key whose value cannot be meant, and what to write instead.
    ``captures`` is the fact that ``capture`` keeps; empty if there is none.
    """

    name: str
    keys: tuple[str, ...]
    look: Callable[[Probe], str] | None
    judge: Judge
    outside: Callable[[Probe, float], ProbeFacts] | None = None
    as_user: bool = False
    waits: Callable[[Probe], bool] = lambda _: False
    problem: Callable[[Probe], tuple[str, str] | None] = lambda _: None
    captures: str = ""


def differs(key: str, expected: object, found: object) -> list[Mismatch]:
    """A mismatch when the two differ, as messages write them."""
    return [] if expected == found else [Mismatch(key, shown_fact(expected), shown_fact(found))]


def unmet(key: str, expectations: Iterable[Matcher], found: str) -> list[Mismatch]:
    """A mismatch for each matcher that does not hold."""
    mismatches = []
    for one in expectations:
        try:
            if one.holds(found):
                continue
            said = shown_fact(found)
        except TooSlowError:
            said = f"{len(found)} characters, on which this takes more than {SECONDS:g} s (is a repetition repeated?)"
        mismatches.append(Mismatch(key, str(one), said))
    return mismatches


def told_last(text: str) -> str:
    """The last line of what a program said, fit for a message: short, without control characters."""
    last = "".join(text.strip().splitlines()[-1:])
    return "".join(c if c.isprintable() else "?" for c in last[:200])


def shown_fact(value: object) -> str:
    """A value in a message: short, on one line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = value if isinstance(value, str) else str(value)
    short = text if len(text) <= 200 else f"{text[:120]}…{text[-70:]}"
    return repr(short) if isinstance(value, str) else short
