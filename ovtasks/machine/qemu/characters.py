"""Serial and parallel ports, consoles, channels, smart cards, USB redirection: what bytes flow through.

Character devices and their options: QEMU's QMP reference, ``ChardevBackend``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ovtasks.machine.qemu.block import Block
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.qemu.names import CHANNEL_PREFIX
from ovtasks.machine.qemu.option import listener, option

AGENT = "org.qemu.guest_agent.0"
SPICE_AGENT = "com.redhat.spice.0"
_SPICE = {"smartcard": "smartcard", "usbredir": "usbredir", "vdagent": "vdagent"}
ISA_PORTS = 4
MODE = "connect"
"""As libvirt has it where nothing is said."""


def chardev(block: Block, ident: str, to: Command, *, default: str = "pty", spice: str | None = None) -> str:
    """Add the character device that a block's ``type``, ``source`` and ``protocol`` describe; returns its id.

    ``spice`` is the name of SPICE's channel.

    :raises InputError: QEMU alone has no such thing.
    """
    kind, source = block.take("type") or default, block.block("source")
    log: dict[str, object] = {}
    if (file := block.take("log")) is not None:
        log = {"logfile": file, "logappend": "on"}
    if kind == "unix":
        _unix(source, ident, to, log)
    elif kind in {"tcp", "udp"}:
        _inet(kind, block, source, ident, to, log)
    elif kind == "spicevmc":
        to.add("chardev", "spicevmc", id=ident, name=spice, **log)
    elif kind == "file":
        to.add("chardev", "file", id=ident, path=source.take("path"), append=source.take("append"), **log)
    elif kind == "dev":
        path = source.take("path") or ""
        driver = "parallel" if path.startswith("/dev/parport") else "serial"
        to.add("chardev", driver, id=ident, path=path, **log)
    elif kind in {"pty", "null"}:
        to.add("chardev", kind, id=ident, **log)
    else:
        raise block.refuse("type", f"the backend qemu has no {kind}")
    return ident


def _unix(source: Block, ident: str, to: Command, log: dict[str, object]) -> None:
    path, mode = source.take("path"), source.take("mode") or MODE
    if path is None:
        raise source.missing("path", "path: ${vm.sockets}/NAME")
    if mode == "connect":
        to.add("chardev", "socket", id=ident, path=path, **log)
    else:
        to.words += ("-chardev", listener(ident, Path(path), **log))


def _inet(kind: str, block: Block, source: Block, ident: str, to: Command, log: dict[str, object]) -> None:
    host, port, protocol = source.take("host"), source.take("service"), block.take("protocol") or "raw"
    if kind == "udp":
        to.add("chardev", "udp", id=ident, host=host, port=port, **log)
        return
    if protocol not in {"raw", "telnet"}:
        raise block.refuse("protocol", f"{protocol} needs certificates, which the backend qemu has not")
    if source.take("tls") == "yes":
        raise source.refuse("tls", "the backend qemu has no certificates")
    telnet = "on" if protocol == "telnet" else None
    listens = (source.take("mode") or MODE) == "bind"
    server = {"server": "on", "wait": "off"} if listens else {}
    address = host or ("127.0.0.1" if listens else "localhost")
    to.add("chardev", "socket", id=ident, host=address, port=port, telnet=telnet, **server, **log)


def serials(blocks: list[Block], to: Command) -> None:
    """Serial ports besides the first one, which is the console."""
    used = {0}
    for index, block in enumerate(blocks, 1):
        target = block.block("target")
        model = target.take("type") or ("isa-serial" if to.pc else "pci-serial")
        ident = chardev(block, f"serial{index}", to)
        if model == "isa-serial":
            if not to.pc:
                raise target.refuse("type", f"{to.machine.arch} has no ISA", hint="type: pci-serial")
            number = target.number("port")
            number = next(n for n in range(1, len(used) + 2) if n not in used) if number is None else number
            if number in used or number >= ISA_PORTS:
                what = "is there already" if number in used else "is more than a PC has"
                key = "port" if "port" in target else "type"
                raise target.refuse(key, f"serial port {number} {what}", hint="type: pci-serial or usb-serial")
            used.add(number)
            to.device("isa-serial", id=f"{ident}-device", chardev=ident, index=number)
        elif model == "pci-serial":
            to.device("pci-serial", id=f"{ident}-device", chardev=ident)
        elif model == "usb-serial":
            to.device("usb-serial", id=f"{ident}-device", chardev=ident, bus=to.usb_bus())
        elif model == "isa-debug" and to.pc:
            to.device("isa-debugcon", id=f"{ident}-device", chardev=ident, iobase="0x402")
        else:
            raise target.refuse("type", f"{to.machine.arch} has no {model}")


def consoles(blocks: list[Block], to: Command) -> None:
    """Consoles besides the serial one: of virtio."""
    for index, block in enumerate(blocks, 1):
        target = block.block("target")
        kind = target.take("type") or "virtio"
        if kind != "virtio":
            raise target.refuse("type", f"a console on {kind} is no device of its own", hint="type: virtio")
        ident = chardev(block, f"console{index}", to)
        to.device("virtconsole", id=f"{ident}-device", chardev=ident)


def parallels(blocks: list[Block], to: Command) -> None:
    for index, block in enumerate(blocks):
        if not to.pc:
            raise block.refuse("type", f"{to.machine.arch} has no parallel port")
        ident = chardev(block, f"parallel{index}", to)
        number = block.block("target").number("port")
        to.device("isa-parallel", id=f"{ident}-device", chardev=ident, index=index if number is None else number)


def channels(blocks: list[Block], to: Command) -> None:
    """Beside the guest agent's channel, which every VM has. A unix one without a path gets a socket named after it."""
    for index, block in enumerate(blocks):
        name, kind = block.peek("name"), block.peek("type") or "unix"
        path = block.peek("path") or block.peek("source")
        if kind == "unix" and name in {None, AGENT} and path is None:
            block.take("type"), block.take("name")
            continue
        _channel(block, f"channel{index}", to)


def _channel(block: Block, ident: str, to: Command) -> None:
    kind, name = block.take("type") or "unix", block.take("name")
    makers: dict[str, Callable[[], None]] = {
        "unix": lambda: _socket(block, ident, name, to),
        "spicevmc": lambda: to.add("chardev", "spicevmc", id=ident, name="vdagent"),
        "spiceport": lambda: to.add("chardev", "spiceport", id=ident, name=block.take("channel")),
        "pty": lambda: to.add("chardev", "pty", id=ident),
        "qemu-vdagent": lambda: _vdagent(block, ident, to),
    }
    if kind not in makers:
        raise block.refuse("type", f"the backend qemu has no {kind}")
    if name == AGENT:
        raise block.refuse("name", "every VM has this channel already", hint="leave it out, or choose another name")
    name = name or (SPICE_AGENT if kind in {"spicevmc", "qemu-vdagent"} else None)
    if name is None:
        raise block.refuse("type", f"a channel of type {kind} needs a name", hint="name: org.example.0")
    makers[kind]()
    to.device("virtserialport", id=f"{ident}-device", chardev=ident, name=name)


def _socket(block: Block, ident: str, name: str | None, to: Command) -> None:
    source, path = block.take("source"), block.take("path")
    wanted = source or path
    where = Path(wanted) if wanted else to.machine.sockets / f"{CHANNEL_PREFIX}{name}.sock"
    to.words += ("-chardev", listener(ident, where))


def _vdagent(block: Block, ident: str, to: Command) -> None:
    clipboard = {"yes": "on", "no": "off"}.get(block.take("clipboard") or "")
    mouse = {"client": "on", "server": "off"}.get(block.take("mouse") or "")
    to.words += ("-chardev", option("qemu-vdagent", id=ident, name="vdagent", clipboard=clipboard, mouse=mouse))


def smartcards(blocks: list[Block], to: Command) -> None:
    """A card each, in a reader of its own."""
    for index, block in enumerate(blocks):
        mode = block.take("mode")
        to.device("usb-ccid", id=f"ccid{index}", bus=to.usb_bus())
        where = {"id": f"smartcard{index}", "bus": f"ccid{index}.0"}
        if mode == "passthrough":
            ident = chardev(block, f"smartcard{index}-chardev", to, default="spicevmc", spice=_SPICE["smartcard"])
            to.device("ccid-card-passthru", **where, chardev=ident)
        elif mode == "host":
            to.device("ccid-card-emulated", **where, backend="nss-emulated")
        else:
            names = {f"cert{number}": name for number, name in enumerate(block.texts("certificates"), 1)}
            database = block.take("database") or "/etc/pki/nssdb"
            to.device("ccid-card-emulated", **where, backend="certificates", db=database, **names)


def redirections(blocks: list[Block], to: Command) -> None:
    for index, block in enumerate(blocks):
        block.take("bus")
        ident = chardev(block, f"redir{index}", to, default="spicevmc", spice=_SPICE["usbredir"])
        order = to.order(block.number("boot"))
        to.device("usb-redir", id=f"{ident}-device", chardev=ident, bus=to.usb_bus(), bootindex=order)
