"""``devices.video``, ``graphics``: what is seen, and by whom."""

from __future__ import annotations

from pathlib import Path

from ovtasks.machine.qemu.block import Block
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.qemu.names import SPICE_SOCKET, VNC_SOCKET
from ovtasks.machine.qemu.option import option

LOOPBACK = "127.0.0.1"
FIRST_VNC_PORT = 5900
LAST_VNC_DISPLAY = 199
_VGA = {"virtio": "virtio-vga", "vga": "VGA", "cirrus": "cirrus-vga", "qxl": "qxl-vga", "bochs": "bochs-display"}
_DISPLAYS = {**_VGA, "ramfb": "ramfb"}
# libvirt's attribute (KiB, or a count) → the property of QEMU's device and the factor to its unit.
_VIDEO_SIZES = {
    ("virtio", "heads"): ("max_outputs", 1, 1),
    ("vga", "vram"): ("vgamem_mb", 1, 1024),
    ("cirrus", "vram"): ("vgamem_mb", 1, 1024),
    ("bochs", "vram"): ("vgamem", 1024, 1),
    ("qxl", "heads"): ("max_outputs", 1, 1),
    ("qxl", "ram"): ("ram_size", 1024, 1),
    ("qxl", "vram"): ("vram_size", 1024, 1),
    ("qxl", "vram64"): ("vram64_size_mb", 1, 1024),
    ("qxl", "vgamem"): ("vgamem_mb", 1, 1024),
}
_RESOLUTION = frozenset({"virtio", "vga", "bochs", "qxl"})
# libvirt's field → SPICE's option
_SPICE_WORDS = {
    "image": "image-compression",
    "jpeg": "jpeg-wan-compression",
    "zlib": "zlib-glz-wan-compression",
    "playback": "playback-compression",
    "streaming": "streaming-video",
}


def video(blocks: list[Block], to: Command, *, wanted: bool) -> None:
    """The cards; a display server without one gets a virtio card."""
    for index, block in enumerate(blocks or ([Block({"model": "virtio"})] if wanted else [])):
        model = block.take("model") or "virtio"
        for name in ("accel3d", "accel2d"):
            if block.take(name) == "yes":
                raise block.refuse(name, "the backend qemu has no acceleration")
        if block.take("primary") == ("no" if index == 0 else "yes"):
            raise block.refuse("primary", "the first card is the primary one")
        if model == "none":
            continue
        if model == "virtio":
            block.take("vram")  # it has none, and libvirt passes none on
        sizes: dict[str, object] = {}
        for (name, key), (prop, factor, divisor) in _VIDEO_SIZES.items():
            if name == model and (number := block.number(key)) is not None:
                if number % divisor:
                    raise block.refuse(key, f"QEMU takes whole MiB: a multiple of {divisor}")
                sizes[prop] = number * factor // divisor
        if model in _RESOLUTION:
            resolution = block.block("resolution")
            sizes |= {"xres": resolution.take("x"), "yres": resolution.take("y")}
        if model not in _DISPLAYS:
            raise block.refuse("model", f"the backend qemu has no {model}")
        to.device(_card(model, index, to), id=f"video{index}", **sizes)


def _card(model: str, index: int, to: Command) -> str:
    """Only the first card is a VGA, and only PCs have one at all."""
    if model == "virtio" and (index > 0 or not to.pc):
        return "virtio-gpu-pci"
    if model == "vga" and index > 0:
        return "secondary-vga"
    if model == "qxl" and index > 0:
        return "qxl"
    return _DISPLAYS[model]


def graphics(blocks: list[Block], to: Command) -> None:
    """Servers for people who look at the VM, on a Unix socket or an address."""
    types = [block.take("type") or "" for block in blocks]
    keymaps = {keymap for block in blocks if (keymap := block.take("keymap")) is not None}
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


def _place(block: Block, usual: Path) -> tuple[str | None, Path | None, str | None]:
    """An address, a socket, a port: where it listens."""
    listen = block.blocks("listen")
    if len(listen) > 1:
        raise block.refuse("listen", "QEMU listens in one place", hint="one address, or one socket")
    port, auto = block.take("port"), block.take("autoport")
    address, socket = None, None
    if listen:
        item = listen[0]
        address, path = item.take("address"), item.take("socket")
        kind = item.take("type") or ("address" if address else "socket" if path else "network")
        if kind == "network":
            raise item.wrong("a network is libvirt's", "type: address, or type: socket")
        if kind in {"socket", "none"}:
            socket = Path(path) if path else usual
    if socket is not None and port is not None:
        raise block.refuse("port", "a socket has none")
    if auto == "no" and port is None and socket is None:
        raise block.refuse("autoport", "without it, port: is needed")
    return address, socket, port


def _spice(block: Block, to: Command) -> None:
    """QEMU chooses no port for SPICE: without one it listens on a Unix socket that only the VM's owner can reach."""
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
    if (passwd := block.take("passwd")) is not None:
        where["password-secret"] = to.secret("spice", passwd)
    else:
        where["disable-ticketing"] = "on"
    where |= {ours: block.take(theirs) for theirs, ours in _SPICE_WORDS.items()}
    where["disable-copy-paste"] = {"no": "on", "yes": "off"}.get(block.take("clipboard") or "")
    where["disable-agent-file-xfer"] = {"no": "on", "yes": "off"}.get(block.take("filetransfer") or "")
    where["agent-mouse"] = {"client": "on", "server": "off"}.get(block.take("mouse") or "")
    if block.take("gl") == "yes":
        raise block.refuse("gl", "the backend qemu has no OpenGL")
    to.words += ("-spice", option(None, **where))


def _vnc(block: Block, to: Command) -> None:
    address, socket, port = _place(block, to.machine.sockets / VNC_SOCKET)
    more: dict[str, object] = {"share": block.take("share_policy"), "websocket": block.take("websocket")}
    if (passwd := block.take("passwd")) is not None:
        more["password-secret"] = to.secret("vnc", passwd)
    if (audio := block.take("audio")) is not None:
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
