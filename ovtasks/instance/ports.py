"""The host ports of instances: those that the spec fixes, and leased ones that no other instance gets.

Each instance's folder lists its ports (``ports.json``). Together these files are the registry, which changes under
one lock. So removing a folder frees its ports, and a damaged file loses the entry of one instance only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ovtasks.errors import OvError, RefusedError, Where
from ovtasks.host import ports
from ovtasks.host.files import flock, write_atomic
from ovtasks.host.paths import data_home, instance_directory
from ovtasks.host.state import StateError, load_state
from ovtasks.instance.folder import aside
from ovtasks.values.jsonvalue import Json, state_text
from ovtasks.values.ports import PortForward

FILE = "ports.json"
_AWAY = "mv {0} {0}.old, then `ov vm create` leases ports anew"
VERSION = 1
LEASES = range(20000, 30000)
"""Below the ports of outgoing connections on Linux (``ip_local_port_range``: from 32768)."""

_ANY = frozenset({"0.0.0.0", "::"})
_ADVICE = {
    "ssh": ", or leave it out to lease a free one",
    "libvirt": ", or use network.port_forwards, of which every instance gets its own",
}

Say = Callable[[str], None]


class _DamagedError(OvError):
    """An instance's ``ports.json`` cannot be read."""


@dataclass(frozen=True)
class Want:
    """A forward that is wanted. If ``host`` is None, a port is leased.

    ``where`` and ``what`` say in errors who asks for it: a place in a file, and a field such as ``ssh.port``.
    """

    guest: int
    protocol: str = "tcp"
    address: str = "127.0.0.1"
    host: int | None = None
    where: Where | None = None
    what: str = "ssh.port"


@dataclass(frozen=True)
class _PortEntry:
    """A port that an instance has. ``want`` is the request that it answers."""

    host: int
    want: Want

    @property
    def leased(self) -> bool:
        return self.want.host is None

    @property
    def forward(self) -> PortForward:
        return PortForward(self.host, self.want.guest, self.want.protocol, self.want.address)

    @property
    def text(self) -> str:
        return f"{self.host}/{self.want.protocol}"


def lease(
    domain: str,
    wanted: Sequence[Want],
    *,
    running: bool = False,
    project: Path | None = None,
    say: Say | None = None,
) -> tuple[PortForward, ...]:
    """Register the ports of an instance, in the order of ``wanted``. The instance's folder must exist.

    The instance keeps its leased ports; ports that are no longer wanted become free. A leased number is derived from
    ``project``, ``domain`` and the guest's port, so that it usually comes back after a destroy. ``running``: the
    instance itself is listening, so its ports are not tried. ``say`` is told about ports that changed.

    :raises RefusedError: a port that the spec fixes belongs to another instance.
    :raises OvError: a process listens on such a port, no port is left, or the registry cannot be written.
    """
    with _registry(domain, say) as registry:
        return registry.take(wanted, running=running, salt=str(project or ""))


def preview(domain: str, wanted: Sequence[Want], *, project: Path | None = None) -> tuple[PortForward, ...]:
    """What :func:`lease` would return now. Registers nothing.

    :raises RefusedError, OvError: as :func:`lease`.
    """
    registry = _Registry(domain, lambda text: None)
    return tuple(entry.forward for entry in registry.choose(wanted, running=False, salt=str(project or "")))


def recheck(
    domain: str,
    *,
    known: Sequence[PortForward] = (),
    project: Path | None = None,
    say: Say | None = None,
) -> tuple[PortForward, ...]:
    """Try the instance's ports once more, right before a start. A leased port that somebody took is replaced.

    ``known`` are the ports in the instance's own record. They are used if the registry has lost the entry.

    :raises RefusedError, OvError: as :func:`lease`; also if the entry is damaged and ``known`` is empty.
    """
    with _registry(domain, say) as registry:
        if registry.damaged is not None and not known:
            raise registry.damaged
        if not registry.text:
            registry.own = tuple(map(_remembered, known))
        return registry.take([entry.want for entry in registry.own], running=False, salt=str(project or ""))


def _remembered(forward: PortForward) -> _PortEntry:
    """The entry for a port in a record. A number in the range of leases counts as leased, so it may change."""
    host = None if forward.host in LEASES else forward.host
    what = "ssh.port" if forward.guest == 22 else "network.port_forwards"
    return _PortEntry(forward.host, Want(forward.guest, forward.protocol, forward.address, host, None, what))


def registered(domain: str) -> tuple[PortForward, ...]:
    """The registered ports of an instance; empty if there are none.

    :raises OvError: its file is damaged.
    """
    return tuple(entry.forward for entry in _read(instance_directory(domain) / FILE))


def release(domain: str) -> None:
    """Free all ports of an instance, if it has any.

    :raises OvError: the registry cannot be written.
    """
    path = instance_directory(domain) / FILE
    if path.exists():
        with _locked():
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """Allow one change of the registry at a time, across processes and threads.

    :raises OvError: the registry cannot be written.
    """
    try:
        with flock(data_home() / "ports.lock"):
            yield
    except OSError as e:
        hint = "instances live in $XDG_DATA_HOME/ov (~/.local/share/ov): it must be writable"
        message = f"cannot write to {e.filename or data_home()}: {os.strerror(e.errno or 0).lower()}"
        raise OvError(message, hint=hint) from None


@contextlib.contextmanager
def _registry(domain: str, say: Say | None) -> Iterator[_Registry]:
    with _locked():
        yield _Registry(domain, say or (lambda text: None))


class _Registry:
    """All ports while the lock is held: those of one instance, and those of the others."""

    def __init__(self, domain: str, say: Say) -> None:
        self.domain = domain
        self.say = say
        self.own: tuple[_PortEntry, ...] = ()
        self.others: dict[str, tuple[_PortEntry, ...]] = {}
        self.damaged: OvError | None = None
        self.text = ""  # the file's content, as it would be written now; empty without a file
        self.path = instance_directory(domain) / FILE
        for path in self.path.parent.parent.glob(f"*/{FILE}"):
            if path.parent not in (self.path.parent, aside(self.path.parent)):
                try:
                    self.others[path.parent.name] = _read(path)
                except OvError as e:  # ports that it really uses are found by trying to listen
                    say(e.message)
        try:
            self.own = _read(self.path)
            self.text = _text(self.own) if self.path.exists() else ""
        except _DamagedError as e:
            self.damaged = e

    def take(self, wanted: Sequence[Want], *, running: bool, salt: str) -> tuple[PortForward, ...]:
        """Choose the entries for ``wanted`` and write them.

        :raises RefusedError, OvError: as :func:`lease`.
        """
        entries = self.choose(wanted, running=running, salt=salt)
        if _text(entries) != self.text:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomic(self.path, _text(entries), mode=0o600)
        return tuple(entry.forward for entry in entries)

    def choose(self, wanted: Sequence[Want], *, running: bool, salt: str) -> tuple[_PortEntry, ...]:
        """Choose the entries for ``wanted``.

        :raises RefusedError, OvError: as :func:`lease`.
        """
        old = list(self.own)
        taken: list[_PortEntry | None] = [self._written(want, running) if want.host else None for want in wanted]
        for index, want in enumerate(wanted):
            if taken[index] is None:
                beside = [entry for entry in taken if entry is not None]
                taken[index] = self._kept(want, old, beside, running) or self._new(want, beside, salt)
        return tuple(entry for entry in taken if entry is not None)

    def _written(self, want: Want, running: bool) -> _PortEntry:
        """The port that the spec names.

        :raises RefusedError, OvError: it is taken.
        """
        assert want.host is not None
        entry = _PortEntry(want.host, want)
        advice = "choose another port" + _ADVICE.get(want.what.partition(".")[0], "")
        for domain, entries in self.others.items():
            for other in entries:
                if other.host == entry.host and _same(other.want, want):
                    raise RefusedError(
                        f"{want.what}: host port {entry.text} is taken by VM {domain} ({_purpose(other)})",
                        hint=f"{advice}, or `ov vm destroy` the other VM",
                        where=want.where,
                    )
        if not (running or self._free(entry)):
            raise OvError(
                f"{want.what}: host port {entry.text} is taken by {_who(entry)}",
                hint=f"end it, or {advice}",
                where=want.where,
            )
        return entry

    def _kept(
        self, want: Want, old: list[_PortEntry], beside: Sequence[_PortEntry], running: bool
    ) -> _PortEntry | None:
        """The leased port that the instance has for this already, if it is still free for it."""
        for entry in old:
            if entry.leased and _key(entry.want) == _key(want):
                old.remove(entry)
                mine = _PortEntry(entry.host, want)
                if self._held(mine, beside):
                    self.say(f"port {entry.text} is another VM's now")
                elif not (running or self._free(mine)):
                    self.say(f"port {entry.text} was taken by {_who(mine)}")
                else:
                    return mine
        return None

    def _new(self, want: Want, beside: Sequence[_PortEntry], salt: str) -> _PortEntry:
        """A port that nobody has.

        :raises OvError: there is none.
        """
        text = f"{salt}\0{self.domain}\0{want.guest}/{want.protocol}"
        first = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) % len(LEASES)
        for step in range(len(LEASES)):
            entry = _PortEntry(LEASES[(first + step) % len(LEASES)], want)
            if not self._held(entry, beside) and self._free(entry):
                return entry
        raise OvError(
            f"no host port of {LEASES.start}–{LEASES.stop - 1} is free for {want.what}", hint="name one that is"
        )

    def _held(self, entry: _PortEntry, beside: Sequence[_PortEntry]) -> bool:
        """Whether an instance has the number on any address. A leased number belongs to one instance only."""
        return any(
            other.host == entry.host and other.want.protocol == entry.want.protocol
            for entries in (beside, *self.others.values())
            for other in entries
        )

    def _free(self, entry: _PortEntry) -> bool:
        try:
            return ports.free(entry.host, entry.want.protocol, entry.want.address)
        except OvError as e:
            raise OvError(f"{entry.want.what}: {e.message}", hint=e.hint, where=entry.want.where) from None


def _who(entry: _PortEntry) -> str:
    return ports.owner(entry.host, entry.want.protocol, entry.want.address) or "a process that cannot be seen"


def _purpose(entry: _PortEntry) -> str:
    """Who asked for the port: ``ssh.port at /home/me/vms.yml:3:5``."""
    want = entry.want
    return ("leased for " if entry.leased else "") + want.what + (f" at {want.where}" if want.where else "")


def _key(want: Want) -> tuple[int, str, str]:
    return want.guest, want.protocol, want.address


def _same(one: Want, other: Want) -> bool:
    """Whether two requests for the same host port conflict."""
    addresses = {one.address, other.address}
    return one.protocol == other.protocol and (len(addresses) == 1 or bool(addresses & _ANY))


def _text(entries: Sequence[_PortEntry]) -> str:
    data: list[Json] = []
    for entry in entries:
        want = entry.want
        one: dict[str, Json] = {"host": entry.host, "guest": want.guest, "protocol": want.protocol}
        one |= {"address": want.address, "leased": entry.leased, "what": want.what}
        if want.where is not None:  # absolute, because commands in other projects show it too
            where = replace(want.where, file=str(Path(want.where.file).absolute()))
            one["where"] = [where.file, where.line, where.column]
        data.append(one)
    return state_text({"version": VERSION, "ports": data}, lines=True)


def _read(path: Path) -> tuple[_PortEntry, ...]:
    """The entries in a file; empty if there is no file.

    :raises OvError: it is damaged, or of a later version of this program.
    """
    try:
        data = load_state(path)
        if data is None:
            return ()
        version, ports = data["version"], data["ports"]
        if isinstance(version, int) and version > VERSION:
            hint = f"use a newer ov; or {_AWAY.format(shlex.quote(str(path)))}"
            raise OvError(f"{path} has version {version}; this ov knows {VERSION}", hint=hint)
        if version != VERSION or not isinstance(ports, list):
            raise ValueError("no ports")
        return tuple(_entry(item) for item in ports)
    except (StateError, ValueError, KeyError, TypeError) as e:
        raise _DamagedError(f"{path} is damaged", hint="`ov vm create` writes it again") from e


def _entry(item: Mapping[str, Json]) -> _PortEntry:
    host, guest, protocol, address = (item[key] for key in ("host", "guest", "protocol", "address"))
    numbers = [port for port in (host, guest) if isinstance(port, int) and 0 < port < 1 << 16]
    if len(numbers) != 2 or protocol not in ("tcp", "udp") or not isinstance(address, str):
        raise ValueError("no port")
    host, guest = numbers
    where = item.get("where")
    place = Where(str(where[0]), *(int(str(n)) for n in where[1:3])) if isinstance(where, list) and where else None
    want = Want(guest, str(protocol), str(address), None if item["leased"] else host, place, str(item["what"]))
    return _PortEntry(host, want)
