"""Display servers as QEMU's words: on a Unix socket or an address."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ovtasks.machine.qemu.command import Command
from ovtasks.machine.qemu.names import SPICE_SOCKET, VNC_SOCKET
from ovtasks.machine.qemu.option import option
from ovtasks.machine.tree import Tree

LOOPBACK = "127.0.0.1"
FIRST_VNC_PORT = 5900
LAST_VNC_DISPLAY = 199
# libvirt's field → SPICE's option
_SPICE_WORDS = {
    "image": "image-compression",
    "jpeg": "jpeg-wan-compression",
    "zlib": "zlib-glz-wan-compression",
    "playback": "playback-compression",
    "streaming": "streaming-video",
}


def words(blocks: Sequence[Tree], to: Command) -> None:
    """The display servers. SPICE is added when a device goes through it and none is declared."""
    if to.spice_wanted and not any(block.peek("type") == "spice" for block in blocks):
        to.notes.append(f"spicevmc: SPICE graphics added, on the socket {to.machine.sockets / SPICE_SOCKET}")
        blocks = [*blocks, Tree({"type": "spice"})]
    types = [block.text("type") or "" for block in blocks]
    keymaps = {keymap for block in blocks if (keymap := block.text("keymap")) is not None}
    if len(keymaps) > 1:
        raise blocks[0].refuse("keymap", f"QEMU has one for all servers, not {' and '.join(sorted(keymaps))}")
    if keymaps:
        to.words += ("-k", *keymaps)
    for block, kind in zip(blocks, types, strict=True):
        if types.count(kind) > 1:
            raise block.refuse("type", f"the backend qemu has one {kind} server")
        if kind == "spice":
            _spice(block, to)
        elif kind == "vnc":
            _vnc(block, to)
        else:
            raise block.refuse("type", f"the backend qemu has no {kind}, but spice and vnc")
    if blocks and not to.pc:  # a PC has PS/2 ports
        to.device("virtio-keyboard-pci", id="keyboard0")
        to.device("virtio-tablet-pci", id="tablet0")


def _place(block: Tree, usual: Path) -> tuple[str | None, Path | None, str | None]:
    """Where it listens: address, socket and port, each None when it has none."""
    listen = block.items("listen")
    if len(listen) > 1:
        raise block.refuse("listen", "QEMU listens in one place", hint="one address, or one socket")
    port, auto = block.text("port"), block.text("autoport")
    address, socket = None, None
    if listen:
        item = listen[0]
        address, path = item.text("address"), item.text("socket")
        kind = item.text("type") or ("address" if address else "socket" if path else "network")
        if kind == "network":
            raise item.error("a network is libvirt's", "type: address, or type: socket")
        if kind in {"socket", "none"}:
            socket = Path(path) if path else usual
    if socket is not None and port is not None:
        raise block.refuse("port", "a socket has none")
    if auto == "no" and port is None and socket is None:
        raise block.refuse("autoport", "without it, port: is needed")
    return address, socket, port


def _spice(block: Tree, to: Command) -> None:
    """A SPICE server. QEMU chooses no port for it: without one, it listens on a socket of the VM's owner alone."""
    to.spice = True
    auto = block.peek("autoport")
    address, socket, port = _place(block, to.machine.sockets / SPICE_SOCKET)
    if port is None and socket is None and address not in {None, LOOPBACK, "::1", "localhost"}:
        raise block.missing("port", "port: 5930; QEMU chooses none for SPICE")
    if socket is not None or port is None:
        place = socket or to.machine.sockets / SPICE_SOCKET
        where: dict[str, object] = {"unix": "on", "addr": place}
        if socket is None and (address is not None or auto == "yes"):
            to.notes.append(f"{block.path}: QEMU chooses no port for SPICE, which listens on the socket {place}")
    else:
        where = {"addr": address or LOOPBACK, "port": port}
    if (passwd := block.text("passwd")) is not None:
        where["password-secret"] = to.secret("spice", passwd)
    else:
        where["disable-ticketing"] = "on"
    where |= {ours: block.text(theirs) for theirs, ours in _SPICE_WORDS.items()}
    where["disable-copy-paste"] = {"no": "on", "yes": "off"}.get(block.text("clipboard") or "")
    where["disable-agent-file-xfer"] = {"no": "on", "yes": "off"}.get(block.text("filetransfer") or "")
    where["agent-mouse"] = {"client": "on", "server": "off"}.get(block.text("mouse") or "")
    if block.text("gl") == "yes":
        raise block.refuse("gl", "the backend qemu has no OpenGL")
    to.words += ("-spice", option(None, **where))


def _vnc(block: Tree, to: Command) -> None:
    address, socket, port = _place(block, to.machine.sockets / VNC_SOCKET)
    more: dict[str, object] = {"share": block.text("share_policy"), "websocket": block.text("websocket")}
    if (passwd := block.text("passwd")) is not None:
        more["password-secret"] = to.secret("vnc", passwd)
    if (audio := block.text("audio")) is not None:
        more["audiodev"] = f"audio{audio}"
    if socket is not None:
        to.words += ("-vnc", option(f"unix:{socket}", **more))
        return
    where = address or LOOPBACK
    where = f"[{where}]" if ":" in where else where
    if port is None:
        to.words += ("-vnc", option(f"{where}:0", to=LAST_VNC_DISPLAY, **more))
        return
    if int(port) < FIRST_VNC_PORT:
        raise block.refuse("port", f"VNC's ports begin at {FIRST_VNC_PORT}")
    to.words += ("-vnc", option(f"{where}:{int(port) - FIRST_VNC_PORT}", **more))
