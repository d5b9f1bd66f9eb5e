"""``package``, ``service``, ``process`` and ``port``: what is installed, runs and listens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from shlex import quote

from ovtasks.layers.checks.model import CheckVerb, Mismatch, Probe, ProbeFacts, ServiceUnit, differs
from ovtasks.project.distro_tags import normalized

_COMM = 15  # the kernel keeps so many bytes of a process's name


def package_name(check: Probe) -> str:
    """The package's name in this distribution: ``package_map`` of the most exact tag, else the subject."""
    names = check.data.get("package_map")
    if isinstance(names, Mapping):
        spelled = {normalized(str(tag)): str(name) for tag, name in names.items()}
        for tag in check.context.facts.tags:
            if tag in spelled:
                return spelled[tag]
    return check.subject


def look_package(check: Probe) -> str:
    """Asks whichever package manager is there. rpm also knows names that a package provides."""
    return f"""\
P={quote(package_name(check))}
if command -v dpkg-query >/dev/null; then
    dpkg-query -W -f '${{Version}} ${{db:Status-Status}}\\n' -- "$P" | sed -n 's/ installed$//p' | fact version
elif command -v pacman >/dev/null; then
    pacman -Q -- "$P" | sed 's/^[^ ]* //' | fact version
elif command -v apk >/dev/null; then
    if apk info -e -- "$P" >/dev/null; then apk info -ev -- "$P" | sed "s/^$P-//" | fact version; fi
else
    {{ rpm -q --qf '%{{VERSION}}\\n' -- "$P" || rpm -q --qf '%{{VERSION}}\\n' --whatprovides -- "$P"; }} >/dev/null &&
    rpm -q --qf '%{{VERSION}}\\n' --whatprovides -- "$P" | fact version ||
    true
fi
"""


def judge_package(check: Probe, facts: ProbeFacts) -> Iterator[Mismatch]:
    """A distribution's revision may follow a version that is asked for."""
    found = facts.get("version", b"").decode("utf-8", "replace").strip()
    yield from differs("installed", check.wants("installed"), bool(found))
    wanted = check.words("versions")
    if found and wanted and not any(found == one or found.startswith(f"{one}-") for one in wanted):
        yield Mismatch("versions", " or ".join(wanted), found)


def unit(check: Probe) -> ServiceUnit:
    """The unit behind a service's name: what a layer wrote, else the distribution's of that name."""
    return check.context.units.get(check.subject) or ServiceUnit(check.subject)


def look_service(check: Probe) -> str:
    """systemd, or else OpenRC. A unit of the login user is looked at by that user's own manager."""
    one = unit(check)
    user = ""
    if one.user:
        account = quote(check.context.facts.user)
        uid = check.context.facts.uid
        user = (
            f'as_owner() {{ if [ "$(id -u)" = {uid} ]; then "$@"; else runuser -u {account} -- "$@"; fi; }}\n'
            f'systemctl() {{ as_owner env XDG_RUNTIME_DIR=/run/user/{uid} systemctl --user "$@"; }}\n'
        )
    return f"""\
U={quote(one.name)}
if command -v systemctl >/dev/null; then
{user}systemctl show -p ActiveState -p SubState -p LoadState -- "$U" | fact state
systemctl is-enabled -- "$U" | fact enabled
elif command -v rc-service >/dev/null; then
if rc-service "$U" status >/dev/null; then echo ActiveState=active; else echo ActiveState=inactive; fi | fact state
if rc-update show default | grep -q "^ *$U "; then echo enabled; else echo disabled; fi | fact enabled
fi
"""


def judge_service(check: Probe, facts: ProbeFacts) -> Iterator[Mismatch]:
    """Running is systemd's ``active``; enabled also what needs no enabling (``static``, ``alias`` …)."""
    if "state" not in facts:
        yield Mismatch("service", "systemd or OpenRC", "neither")
        return
    lines = facts["state"].decode("utf-8", "replace").splitlines()
    state = dict(line.split("=", 1) for line in lines if "=" in line)
    active, enabled = state.get("ActiveState", ""), facts.get("enabled", b"").decode("utf-8", "replace").strip()
    load = state.get("LoadState", "loaded")
    if ("running" in check.data or "enabled" not in check.data) and check.wants("running") != (active == "active"):
        found = f"{active} ({state.get('SubState', '')})" if load == "loaded" else load
        yield Mismatch("running", "yes" if check.wants("running") else "no", found)
    if "enabled" in check.data:
        on = enabled.startswith(("enabled", "static", "alias", "indirect", "generated"))
        if on != check.wants("enabled"):
            yield Mismatch("enabled", "yes" if check.wants("enabled") else "no", enabled or "nothing")


def look_process(check: Probe) -> str:
    """The names of all processes."""
    return "cat /proc/[0-9]*/comm | sort -u | fact names"


def judge_process(check: Probe, facts: ProbeFacts) -> Iterator[Mismatch]:
    """As ``pgrep -x`` does: the whole name, as far as the kernel keeps it."""
    names = facts.get("names", b"").split(b"\n")
    yield from differs("running", check.wants("running"), check.subject.encode()[:_COMM] in names)


def look_port(check: Probe) -> str:
    """The kernel's tables of sockets."""
    return "cat /proc/net/tcp /proc/net/tcp6 | grep ' 0A ' | fact sockets"  # 0A: LISTEN


def problem_of_port(check: Probe) -> tuple[str, str] | None:
    """``ip`` is compared as an address, so it must be one."""
    try:
        ip_address(check.text("ip") or "::")
    except ValueError:
        return "ip", "write an IP address, as in 127.0.0.1"
    return None


def judge_port(check: Probe, facts: ProbeFacts) -> Iterator[Mismatch]:
    """``ip`` may be covered by a socket that listens on every address."""
    found = [
        address
        for address, port in listeners(facts.get("sockets", b""))
        if str(port) == check.subject.removeprefix("tcp:")
    ]
    wanted = check.text("ip")
    if wanted and check.wants("listening") and found:
        if not any(one.is_unspecified or one == ip_address(wanted) for one in found):
            yield Mismatch("ip", wanted, ", ".join(map(str, found)))
        return
    yield from differs("listening", check.wants("listening"), bool(found))


def listeners(table: bytes) -> Iterator[tuple[IPv4Address | IPv6Address, int]]:
    """Addresses and ports of proc_net_tcp(5): words of 32 bits in the machine's byte order, here little-endian."""
    for line in table.decode("ascii", "replace").splitlines():
        words = line.split()
        address, colon, port = words[1].partition(":") if len(words) > 1 else ("", "", "")
        if colon and len(address) in (8, 32):
            raw = bytes.fromhex(address)
            yield ip_address(b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))), int(port, 16)


PACKAGE = CheckVerb("package", ("installed", "versions", "package_map"), look_package, judge_package)
SERVICE = CheckVerb(
    "service", ("running", "enabled"), look_service, judge_service, waits=lambda check: check.wants("running")
)
PROCESS = CheckVerb("process", ("running",), look_process, judge_process, waits=lambda check: check.wants("running"))
PORT = CheckVerb(
    "port",
    ("listening", "ip"),
    look_port,
    judge_port,
    waits=lambda check: check.wants("listening"),
    problem=problem_of_port,
)
