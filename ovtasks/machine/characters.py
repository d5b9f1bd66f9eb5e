"""Character devices: what ports, consoles, channels and the like have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ovtasks.machine.field import Block, Field, Items, Node, Only
from ovtasks.machine.kinds import HOST_NAME, PATH, YES_NO, one_of, text
from ovtasks.machine.tree import Faults, Place, Tree

SERVICE = text(r"^[A-Za-z0-9-]+$", "a port", "is not a port", ("4555",), ("a b", ""))


def source_rows(*types: str) -> Block:
    """Rows of the ``source`` of a character device: the fields that any of these ``types`` has."""

    def of(*wanted: str) -> Only:
        return {"type": tuple(name for name in wanted if name in types)}

    fields: dict[str, Field] = {
        "path": Field(PATH, "@path", "A file, device or socket.", only=of("file", "dev", "unix")),
        "mode": Field(
            one_of("bind", "connect"),
            "@mode",
            "bind: QEMU listens; connect (libvirt's default): QEMU connects.",
            only=of("unix", "tcp"),
        ),
        "host": Field(HOST_NAME, "@host", "The address.", only=of("tcp", "udp")),
        "service": Field(SERVICE, "@service", "The port.", only=of("tcp", "udp")),
        "append": Field(one_of("on", "off"), "@append", "Whether to append to the file at a start.", only=of("file")),
        "tls": Field(YES_NO, "@tls", "Encrypted.", only=of("tcp")),
    }
    return Block("source", "The host's end.", {name: one for name, one in fields.items() if one.only["type"]})


PROTOCOL = Field(one_of("raw", "telnet", "telnets", "tls"), "protocol@type", "The protocol.", only={"type": ("tcp",)})
_TYPES = ("pty", "tcp", "udp", "file", "unix", "dev", "null")


def port_rows(tag: str, doc: str, targets: dict[str, Node], types: tuple[str, ...] = _TYPES) -> Items:
    """A serial or parallel port, or a console."""
    return Items(
        Block(
            tag,
            doc,
            {
                "type": Field(one_of(*types), "@type", "The kind of the host's end.", default="pty"),
                "source": source_rows(*types),
                "protocol": PROTOCOL,
                "log": Field(PATH, "log@file", "A log file of everything.", fixed={"append": "on"}),
                "target": Block("target", "The guest's end.", targets),
            },
        )
    )


_NEEDED = {
    "tcp": ("host", "service"),
    "udp": ("host", "service"),
    "file": ("path",),
    "dev": ("path",),
    "unix": ("path",),
    "pipe": ("path",),
}


def host_end(one: Tree) -> Faults:
    """Rule: ``source`` has all that the type needs."""
    kind = one.text("type") or ""
    for key in _NEEDED.get(kind, ()):
        if not one.block("source").has(key):
            yield one.fault(f"is missing: type {kind} needs it", f"source: {{{key}: …}}", "source", key)


def distinct_ports(found: Sequence[Tree], taken: dict[int, str]) -> Faults:
    """Rule: no two ports share a number. ``taken`` maps each number in use to its owner, and grows here."""
    for one in found:
        number = one.block("target").number("port")
        if number is not None and number in taken:
            hint = "another number, or leave it out"
            yield one.fault(f": {number} is taken by {taken[number]}", hint, "target", "port")
        elif number is not None:
            taken[number] = f"{one.place[-2]}[{one.place[-1]}]"


def numbered(found: Sequence[Tree], first: int) -> list[Tree]:
    """The ports, each with a number: its own, or the lowest free one from ``first`` on."""
    targets = [one.block("target") for one in found]
    written = {target.text("port") for target in targets}
    free = (str(number) for number in range(first, first + len(found) * 2 + 1) if str(number) not in written)
    return [
        one.put(target=target.put(port=target.text("port") or next(free)))
        for one, target in zip(found, targets, strict=True)
    ]


def sockets(one: Tree) -> Iterator[tuple[Place, str]]:
    """The Unix socket that QEMU listens on, if any, and its place in the spec."""
    source = one.block("source")
    if one.text("type") == "unix" and source.text("mode") == "bind" and (path := source.text("path")):
        yield (*source.place, "path"), path


def portable(one: Tree, key: str) -> Faults:
    """Rule: a socket's path avoids home folders, which other machines do not have."""
    path = one.text(key) or ""
    if path.startswith("/home/") and "${" not in path and "{{" not in path:
        name = path.rpartition("/")[2] or "channel.sock"
        yield one.fault("is in a home folder of this machine", f"{key}: ${{vm.sockets}}/{name}", key)
