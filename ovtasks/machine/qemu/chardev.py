"""Character devices as QEMU's options: its QMP reference, ``ChardevBackend``."""

from __future__ import annotations

from pathlib import Path

from ovtasks.machine.qemu.command import Command
from ovtasks.machine.qemu.option import listener
from ovtasks.machine.tree import Tree

MODE = "connect"
"""libvirt's own default."""


def chardev(block: Tree, ident: str, to: Command, *, default: str = "pty", spice: str | None = None) -> str:
    """Add the character device that a block's ``type``, ``source`` and ``protocol`` describe; returns its id.

    ``spice`` is the name of SPICE's channel.

    :raises InputError: QEMU alone has no such thing.
    """
    kind, source = block.text("type") or default, block.block("source")
    log: dict[str, object] = {}
    if (file := block.text("log")) is not None:
        log = {"logfile": file, "logappend": "on"}
    if kind == "unix":
        _unix(source, ident, to, log)
    elif kind in {"tcp", "udp"}:
        _inet(kind, block, source, ident, to, log)
    elif kind == "spicevmc":
        to.add("chardev", "spicevmc", id=ident, name=spice, **log)
    elif kind == "file":
        to.add("chardev", "file", id=ident, path=source.text("path"), append=source.text("append"), **log)
    elif kind == "dev":
        path = source.text("path") or ""
        driver = "parallel" if path.startswith("/dev/parport") else "serial"
        to.add("chardev", driver, id=ident, path=path, **log)
    elif kind in {"pty", "null"}:
        to.add("chardev", kind, id=ident, **log)
    else:
        raise block.refuse("type", f"the backend qemu has no {kind}")
    return ident


def _unix(source: Tree, ident: str, to: Command, log: dict[str, object]) -> None:
    path, mode = source.text("path"), source.text("mode") or MODE
    if path is None:
        raise source.missing("path", "path: ${vm.sockets}/NAME")
    if mode == "connect":
        to.add("chardev", "socket", id=ident, path=path, **log)
    else:
        to.words += ("-chardev", listener(ident, Path(path), **log))


def _inet(kind: str, block: Tree, source: Tree, ident: str, to: Command, log: dict[str, object]) -> None:
    host, port, protocol = source.text("host"), source.text("service"), block.text("protocol") or "raw"
    if kind == "udp":
        to.add("chardev", "udp", id=ident, host=host, port=port, **log)
        return
    if protocol not in {"raw", "telnet"}:
        raise block.refuse("protocol", f"{protocol} needs certificates, which the backend qemu has not")
    if source.text("tls") == "yes":
        raise source.refuse("tls", "the backend qemu has no certificates")
    telnet = "on" if protocol == "telnet" else None
    listens = (source.text("mode") or MODE) == "bind"
    server = {"server": "on", "wait": "off"} if listens else {}
    address = host or ("127.0.0.1" if listens else "localhost")
    to.add("chardev", "socket", id=ident, host=address, port=port, telnet=telnet, **server, **log)
