"""``libvirt.clock``: where the guest's clock starts, and its timers."""

from __future__ import annotations

from datetime import UTC, datetime

from ovtasks.machine.field import Block, Field, Items
from ovtasks.machine.kinds import POSITIVE, YES_NO, number, one_of, text
from ovtasks.machine.qemu.command import Command, switched
from ovtasks.machine.tree import Faults, Tree, twice

LAST_SECOND = 253402300799  # of the year 9999: the last that a date for QEMU can have
OFFSETS = ("utc", "localtime", "timezone", "variable", "absolute")
TIMERS = ("rtc", "pit", "hpet", "tsc", "kvmclock", "hypervclock", "armvtimer")
_TRACKING = {"name": ("rtc",)}
_TICKING = {"name": ("pit", "rtc", "hpet")}
_TSC = {"name": ("tsc",)}
# What each timer of QEMU can do about missed ticks.
TICKS = {"rtc": ("delay", "catchup"), "hpet": ("delay",)}


def _delta(extra: str = "") -> Field:
    kind = text(
        rf"^([-+]?[0-9]{{1,18}}{extra})$", "seconds", "is not a number of seconds", ("3600", "-60"), ("an hour",)
    )
    return Field(
        kind, "@adjustment", "Seconds from the basis.", only={"offset": ("variable", "utc", "localtime")}, qemu="never"
    )


CLOCK = Block(
    "clock",
    "The guest's clock.",
    {
        "offset": Field(one_of(*OFFSETS), "@offset", "Where it starts.", default="utc"),
        "timezone": Field(
            text(r"^[A-Za-z0-9_.+/-]+$", "a time zone", "is not a time zone", ("Europe/Vienna",), ("a b", "")),
            "@timezone",
            "Its time zone.",
            only={"offset": ("timezone",)},
            qemu="never",
        ),
        "adjustment": _delta(),
        "basis": Field(
            one_of("utc", "localtime"),
            "@basis",
            "What adjustment counts from.",
            only={"offset": ("variable",)},
            qemu="never",
        ),
        "start": Field(
            number(0, LAST_SECOND, "seconds"),
            "@start",
            "The start time in seconds since 1970.",
            only={"offset": ("absolute",)},
        ),
        "timers": Items(
            Block(
                "timer",
                "Single timers.",
                {
                    "name": Field(one_of(*TIMERS), "@name", "Which one.", required=True),
                    "present": Field(YES_NO, "@present", "Whether the guest sees it."),
                    "track": Field(one_of("guest", "wall", "realtime"), "@track", "What it follows.", only=_TRACKING),
                    "tickpolicy": Field(
                        one_of("delay", "catchup", "discard"),
                        "@tickpolicy",
                        "What to do about missed ticks: pit supports all, rtc all but discard, hpet only delay.",
                        only=_TICKING,
                    ),
                    "frequency": Field(POSITIVE, "@frequency", "In Hz.", only=_TSC),
                    "mode": Field(
                        one_of("auto", "native", "emulate", "paravirt", "smpsafe"),
                        "@mode",
                        "How the timer works.",
                        only=_TSC,
                        qemu="never",
                    ),
                    "catchup": Block(
                        "catchup",
                        "How fast missed ticks are delivered.",
                        {
                            "threshold": Field(POSITIVE, "@threshold", "The number of missed ticks before it starts."),
                            "slew": Field(POSITIVE, "@slew", "Rate of the ticks."),
                            "limit": Field(POSITIVE, "@limit", "The most ticks to catch up."),
                        },
                        only={"tickpolicy": ("catchup",)},
                        needs=("tickpolicy",),
                        qemu="never",
                    ),
                },
            )
        ),
    },
)

_RTC_CLOCKS = {"guest": "vm", "wall": "host", "realtime": "rt"}


def rules(tree: Tree) -> Faults:
    """Each offset has what it needs; each timer stands once, with a policy that it knows."""
    clock = tree.block("clock")
    for offset, needed, example in (("timezone", "timezone", "Europe/Berlin"), ("absolute", "start", "1700000000")):
        if clock.text("offset") == offset and not clock.has(needed):
            yield clock.fault(f"is missing: offset {offset} needs it", f"{needed}: {example}", needed)
    yield from twice(clock.items("timers"), "name", "timer")
    for timer in clock.items("timers"):
        name, policy = timer.text("name"), timer.text("tickpolicy")
        if policy is not None and policy not in TICKS.get(name or "", (policy,)):
            yield timer.fault(f"is {policy}, which {name} has not", " or ".join(TICKS[str(name)]), "tickpolicy")


def words(block: Tree, to: Command) -> None:
    """Say the clock in QEMU's words.

    :raises InputError: plain QEMU, or this host, lacks what a field asks for."""
    offset = block.text("offset") or "utc"
    if offset == "absolute":
        seconds = block.number("start")
        if seconds is None:
            raise block.missing("start", "start: seconds since 1970")
        to.rtc["base"] = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
    elif offset in {"utc", "localtime"}:
        to.rtc["base"] = offset
    else:
        raise block.refuse("offset", f"QEMU alone has no {offset}", hint="utc, localtime or absolute; or libvirt")
    for item in block.items("timers"):
        _timer(item, to)


def _timer(item: Tree, to: Command) -> None:
    name = item.text("name")
    if name == "rtc":
        if (track := item.text("track")) is not None:
            if track not in _RTC_CLOCKS:
                raise item.refuse("track", f"QEMU has no {track}", hint="guest, wall or realtime")
            to.rtc["clock"] = _RTC_CLOCKS[track]
        policy = item.one_of("tickpolicy", {"delay": "none", "catchup": "slew"})
        if policy is not None:
            to.rtc["driftfix"] = policy
        if item.text("present") == "no":
            raise item.refuse("present", "every machine has one")
        return
    present = switched(item.text("present"))
    if name == "hpet" and to.pc:
        to.properties["hpet"] = present
    elif name == "pit" and to.pc:
        to.properties["pit"] = present
        if (policy := item.one_of("tickpolicy", {"delay": "delay", "discard": "discard"})) is not None:
            if not to.kvm:
                raise item.refuse("tickpolicy", "it is a property of KVM's")
            to.add("global", driver="kvm-pit", property="lost_tick_policy", value=policy)
    elif name in {"kvmclock", "hypervclock"} and to.pc:
        if not to.kvm:
            raise item.refuse("name", f"{name} needs KVM, and this VM is emulated", hint="remove it")
        to.cpu["kvmclock" if name == "kvmclock" else "hv-time"] = present or "on"
    elif name == "tsc" and to.pc:
        if present is not None:
            to.cpu["tsc"] = present
        if (frequency := item.text("frequency")) is not None:
            to.cpu["tsc-frequency"] = frequency
    else:
        raise item.refuse("name", f"the backend qemu has no {name}")
