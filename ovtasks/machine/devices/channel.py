"""virtio channels, such as the guest agent's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ovtasks.errors import InputError
from ovtasks.machine.characters import portable
from ovtasks.machine.device import Device
from ovtasks.machine.draft import Draft
from ovtasks.machine.field import Block, Field, Items
from ovtasks.machine.host import HostFeatures, unknown_word
from ovtasks.machine.kinds import PATH, WORD, YES_NO, one_of, text
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.qemu.names import CHANNEL_PREFIX
from ovtasks.machine.qemu.option import listener, option
from ovtasks.machine.tree import ROOT, Faults, Place, Tree

AGENT = "org.qemu.guest_agent.0"
SPICE_AGENT = "com.redhat.spice.0"
_SPICE = frozenset({"spicevmc", "spiceport"})
CHANNEL_TYPES = ("unix", "spicevmc", "pty", "spiceport", "qemu-vdagent")

ROWS = Items(
    Block(
        "channel",
        "virtio channels in addition to the guest agent's.",
        {
            "type": Field(
                one_of(*CHANNEL_TYPES, other={"virtio": "unix"}),
                "@type",
                "spicevmc: SPICE's agent; unix: a socket of the host; virtio means the same.",
                default="unix",
            ),
            "path": Field(
                PATH,
                "source@path",
                "The socket; default: one that libvirt chooses.",
                fixed={"mode": "bind"},
                only={"type": ("unix", "virtio")},
            ),
            "source": Field(
                PATH, "source@path", "Another name of path.", fixed={"mode": "bind"}, only={"type": ("unix", "virtio")}
            ),
            "channel": Field(
                WORD,
                "source@channel",
                "SPICE's name of it.",
                only={"type": ("spiceport",)},
            ),
            "clipboard": Field(
                YES_NO, "source/clipboard@copypaste", "Share the clipboard.", only={"type": ("qemu-vdagent",)}
            ),
            "mouse": Field(
                one_of("server", "client"),
                "source/mouse@mode",
                "Which side draws the mouse.",
                only={"type": ("qemu-vdagent",)},
            ),
            "name": Field(
                text(
                    r"^[A-Za-z0-9._-]+$",
                    "letters, digits, dot, hyphen, underscore",
                    "is not a channel name",
                    ("org.example.0",),
                    ("a b", ""),
                ),
                "target@name",
                "The guest's name of it, such as org.example.0: /dev/virtio-ports/NAME.",
                fixed={"type": "virtio"},
            ),
        },
    )
)


def _rules(found: Sequence[Tree], _: Tree) -> Faults:
    names: set[str] = set()
    for one in found:
        kind, name = one.text("type") or "unix", one.text("name")
        if name is None and kind in {"spicevmc", "qemu-vdagent"}:
            name = SPICE_AGENT
        elif name is None and not one.has("name"):
            yield one.fault("is missing", f"for example name: {AGENT}", "name")
        if name is not None and name in names:
            yield one.fault(f": the channel {name} appears twice", "remove one of the two", "name")
        names |= {name} if name is not None else set()
        yield from _rules_of_one(one, kind, name)


def _rules_of_one(one: Tree, kind: str, name: str | None) -> Faults:
    if name == AGENT and kind not in {"unix", "virtio"}:
        yield one.fault(f"is {AGENT}, which ov itself talks through", "leave the channel out: every VM has it", "name")
    if kind == "spiceport" and not one.has("channel"):
        yield one.fault("is missing: type spiceport needs it", f"channel: {name or 'org.example.0'}", "channel")
    if name == AGENT:
        return  # its path is ours, whatever is written: see _unused
    if one.has("path") and one.has("source") and one.text("path") != one.text("source"):
        yield one.fault("contradicts path", "remove one of the two", "source")
    for key in ("path", "source"):
        yield from portable(one, key)


def _unused(one: Tree) -> Iterator[tuple[Place, str]]:
    """Paths for the guest agent's channel: ov talks through a socket of its own."""
    if one.text("name") == AGENT:
        for key in ("path", "source"):
            if one.has(key):
                yield (*one.place, key), f"{key} of the guest agent's channel"


def _complete(found: Sequence[Tree], _: Draft) -> Sequence[Tree]:
    """The guest agent's channel first, then the declared ones. Without a path, libvirt chooses the socket itself."""
    done = [Tree({"type": "unix", "name": AGENT}, (*ROOT, "devices", "channels", 0))]
    for one in found:
        kind, name = one.text("type") or "unix", one.text("name")
        if name == AGENT:
            continue
        path = one.text("source") or one.text("path")
        usual = SPICE_AGENT if kind in {"spicevmc", "qemu-vdagent"} else None
        done.append(one.put(source=None).put(path=path).over(type=kind, name=usual))
    return done


def _lacks(found: Sequence[Tree], host: HostFeatures) -> Iterator[InputError]:
    for one in found:
        kind = one.text("type")
        if kind not in _SPICE:  # these depend on the displays
            yield from unknown_word(kind, host, "devices/channel/type", (*one.place, "type"), "channel")


def _sockets(one: Tree) -> Iterator[tuple[Place, str]]:
    for key in ("path", "source"):
        if one.text("name") != AGENT and (path := one.text(key)):
            yield (*one.place, key), path


def _through_spice(one: Tree) -> str | None:
    kind = one.peek("type")
    return kind if kind in _SPICE else None


def _words(blocks: Sequence[Tree], to: Command) -> None:
    """Channels besides the guest agent's, which every VM has. A unix one without a path gets a socket of its name."""
    for index, block in enumerate(blocks):
        name, kind = block.peek("name"), block.peek("type") or "unix"
        path = block.peek("path") or block.peek("source")
        if name == AGENT or (kind == "unix" and name is None and path is None):
            for key in ("type", "name", "path", "source"):
                block.text(key)  # ours wins: see _unused
            continue
        _channel(block, f"channel{index}", to)


def _channel(block: Tree, ident: str, to: Command) -> None:
    kind, name = block.text("type") or "unix", block.text("name")
    makers: dict[str, Callable[[], None]] = {
        "unix": lambda: _socket(block, ident, name, to),
        "spicevmc": lambda: to.add("chardev", "spicevmc", id=ident, name="vdagent"),
        "spiceport": lambda: to.add("chardev", "spiceport", id=ident, name=block.text("channel")),
        "pty": lambda: to.add("chardev", "pty", id=ident),
        "qemu-vdagent": lambda: _vdagent(block, ident, to),
    }
    if kind not in makers:
        raise block.refuse("type", f"the backend qemu has no {kind}")
    name = name or (SPICE_AGENT if kind in {"spicevmc", "qemu-vdagent"} else None)
    if name is None:
        raise block.refuse("type", f"a channel of type {kind} needs a name", hint="name: org.example.0")
    makers[kind]()
    to.device("virtserialport", id=f"{ident}-device", chardev=ident, name=name)


def _socket(block: Tree, ident: str, name: str | None, to: Command) -> None:
    source, path = block.text("source"), block.text("path")
    wanted = source or path
    where = Path(wanted) if wanted else to.machine.sockets / f"{CHANNEL_PREFIX}{name}.sock"
    to.words += ("-chardev", listener(ident, where))


def _vdagent(block: Tree, ident: str, to: Command) -> None:
    clipboard = {"yes": "on", "no": "off"}.get(block.text("clipboard") or "")
    mouse = {"client": "on", "server": "off"}.get(block.text("mouse") or "")
    to.words += ("-chardev", option("qemu-vdagent", id=ident, name="vdagent", clipboard=clipboard, mouse=mouse))


CHANNEL = Device(
    "channels",
    ROWS,
    _rules,
    _complete,
    lacks=_lacks,
    qemu=_words,
    sockets=_sockets,
    spice=_through_spice,
    unused=_unused,
    leaves=(f"{CHANNEL_PREFIX}*.sock",),
    same=("target@name",),
)
