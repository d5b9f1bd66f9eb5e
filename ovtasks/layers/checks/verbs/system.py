"""``user``, ``group``, ``interface``, ``mount`` and ``kernel-param``: what the system has and how it is set."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from shlex import quote

from ovtasks.layers.checks.model import CheckVerb, Mismatch, Probe, ProbeFacts, differs, unmet

_OCTAL = re.compile(r"\\([0-7]{3})")


def _wants(check: Probe, found: dict[str, str]) -> Iterator[Mismatch]:
    """Differences of all that is both asked for and found."""
    for key, value in found.items():
        if (wanted := check.text(key)) is not None:
            yield from differs(key, wanted, value)


def _entry(facts: ProbeFacts, name: str) -> list[str]:
    return facts.get(name, b"").decode("utf-8", "replace").rstrip("\n").split(":")


def look_user(check: Probe) -> str:
    """Its line of passwd(5), and its groups."""
    return f"getent passwd {quote(check.subject)} | fact entry\nid -Gn {quote(check.subject)} | fact groups"


def judge_user(check: Probe, facts: ProbeFacts) -> Iterator[Mismatch]:
    """All of ``groups`` must be among its groups."""
    entry = _entry(facts, "entry")
    yield from differs("exists", check.wants("exists"), len(entry) == 7)
    if len(entry) == 7 and check.wants("exists"):
        yield from _wants(check, {"uid": entry[2], "gid": entry[3], "home": entry[5], "shell": entry[6]})
        groups = facts.get("groups", b"").decode("utf-8", "replace").split()
        if missing := [one for one in check.words("groups") if one not in groups]:
            yield Mismatch("groups", ", ".join(missing), ", ".join(groups))


def look_group(check: Probe) -> str:
    """Its line of group(5)."""
    return f"getent group {quote(check.subject)} | fact entry"


def judge_group(check: Probe, facts: ProbeFacts) -> Iterator[Mismatch]:
    """Whether it is there, and its number."""
    entry = _entry(facts, "entry")
    yield from differs("exists", check.wants("exists"), len(entry) == 4)
    if len(entry) == 4 and check.wants("exists"):
        yield from _wants(check, {"gid": entry[2]})


def look_interface(check: Probe) -> str:
    """Addresses need ip(8)."""
    name = quote(check.subject)
    return f"""\
I={name}
if [ ! -d "/sys/class/net/$I" ]; then tell exists no; exit; fi
tell exists yes
fact mtu <"/sys/class/net/$I/mtu"
ip -o addr show dev "$I" | fact addresses
"""


def judge_interface(check: Probe, facts: ProbeFacts) -> Iterator[Mismatch]:
    """An address may be given with or without the length of its prefix."""
    exists = facts.get("exists") == b"yes"
    yield from differs("exists", check.wants("exists"), exists)
    if exists and check.wants("exists"):
        yield from _wants(check, {"mtu": facts.get("mtu", b"").decode().strip()})
        words = facts.get("addresses", b"").decode("utf-8", "replace").split()
        found = [after for word, after in pairwise(words) if word in ("inet", "inet6")]
        for wanted in check.words("addrs"):
            if wanted not in found and wanted not in {one.partition("/")[0] for one in found}:
                yield Mismatch("addrs", wanted, ", ".join(found) or "none")


def look_mount(check: Probe) -> str:
    """The kernel's table."""
    return "fact mounts </proc/self/mounts"


def judge_mount(check: Probe, facts: ProbeFacts) -> Iterator[Mismatch]:
    """The last mount on a path is the one that is seen."""
    table = [line.split(" ") for line in facts.get("mounts", b"").decode("utf-8", "replace").splitlines()]
    found = [row for row in table if len(row) > 3 and _unescaped(row[1]) == (check.subject.rstrip("/") or "/")]
    yield from differs("exists", check.wants("exists"), bool(found))
    if found and check.wants("exists"):
        source, _, filesystem, options = found[-1][:4]
        yield from _wants(check, {"mount_source": _unescaped(source), "filesystem": filesystem})
        if "opts" in check.data:
            yield from unmet("opts", check.expectations("opts", "contains"), options)


def _unescaped(path: str) -> str:
    """A path of proc_mounts(5), where blanks are ``\\040``."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), path)


def look_kernel_param(check: Probe) -> str:
    """Its file; a dot and a slash change places there (sysctl.d(5))."""
    path = "/proc/sys/" + check.subject.translate(str.maketrans("./", "/."))
    return f"if [ -r {quote(path)} ]; then fact value <{quote(path)}; fi"


def judge_kernel_param(check: Probe, facts: ProbeFacts) -> Iterator[Mismatch]:
    """Several numbers are separated by one blank each."""
    if "value" not in facts:
        yield Mismatch("value", "a parameter that can be read", "none")
        return
    value = " ".join(facts["value"].decode("utf-8", "replace").split())
    yield from unmet("value", check.expectations("value"), value)


USER = CheckVerb("user", ("exists", "uid", "gid", "home", "shell", "groups"), look_user, judge_user)
GROUP = CheckVerb("group", ("exists", "gid"), look_group, judge_group)
INTERFACE = CheckVerb("interface", ("exists", "mtu", "addrs"), look_interface, judge_interface)
MOUNT = CheckVerb("mount", ("exists", "mount_source", "filesystem", "opts"), look_mount, judge_mount)
KERNEL_PARAM = CheckVerb("kernel-param", ("value",), look_kernel_param, judge_kernel_param)
