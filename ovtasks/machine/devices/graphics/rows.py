"""Rows of ``libvirt.devices.graphics``."""

from __future__ import annotations

from ovtasks.machine.field import Block, Field, Items, Only
from ovtasks.machine.kinds import AUDIO_ID, HOST_NAME, LINE, ON_OFF, PATH, PORT, TEXT, YES_NO, one_of, text

SPICE: Only = {"type": ("spice",)}
VNC: Only = {"type": ("vnc",)}
SERVERS: Only = {"type": ("spice", "vnc", "rdp")}
BOTH: Only = {"type": ("spice", "vnc")}
_KEYMAP = text(r"^[a-z0-9-]+$", "a keymap such as de", "is not a keymap such as de", ("de", "en-us"), ("D E", ""))

LISTEN = Items(
    Block(
        "listen",
        "Where it listens: an address, or one of these, or a list; an empty text: nowhere. Default: 127.0.0.1.",
        {
            "type": Field(
                one_of("address", "network", "socket", "none"), "@type", "Default: follows from the other fields."
            ),
            "address": Field(HOST_NAME, "@address", "The host's address.", only={"type": ("address",)}),
            "network": Field(LINE, "@network", "libvirt's network.", only={"type": ("network",)}, qemu="never"),
            "socket": Field(
                PATH, "@socket", "A Unix socket; default: one that libvirt chooses.", only={"type": ("socket",)}
            ),
        },
        only=SERVERS,
    ),
    short="address",
)

ROWS = Items(
    Block(
        "graphics",
        "Displays for people.",
        {
            "type": Field(
                one_of("spice", "vnc", "rdp", "sdl", "dbus", "egl-headless"),
                "@type",
                "The protocol.",
                required=True,
                since_values={"rdp": (11, 1)},
            ),
            "port": Field(PORT, "@port", "The port; default: one that libvirt chooses.", only=SERVERS),
            "tls_port": Field(PORT, "@tlsPort", "The port for TLS.", only=SPICE, qemu="never"),
            "autoport": Field(YES_NO, "@autoport", "libvirt chooses the port; default yes without port.", only=SERVERS),
            "websocket": Field(PORT, "@websocket", "VNC over WebSocket at this port.", only=VNC),
            "passwd": Field(
                text(r"^[^\x00-\x1f]+$", "a text", "is not one line of text", ("secret",), ("", "a\nb")),
                "@passwd",
                "A password of at most 8 bytes for VNC, 60 for SPICE.",
                only=BOTH,
            ),
            "keymap": Field(_KEYMAP, "@keymap", "The keyboard's layout.", only=BOTH),
            "share_policy": Field(
                one_of("allow-exclusive", "force-shared", "ignore"),
                "@sharePolicy",
                "Whether several viewers may connect.",
                only=VNC,
            ),
            "default_mode": Field(
                one_of("any", "secure", "insecure"),
                "@defaultMode",
                "Whether channels are encrypted.",
                only=SPICE,
                qemu="never",
            ),
            "p2p": Field(
                YES_NO, "@p2p", "No message bus: connections by libvirt.", only={"type": ("dbus",)}, qemu="never"
            ),
            "display": Field(TEXT, "@display", "The X display.", only={"type": ("sdl",)}, qemu="never"),
            "xauth": Field(PATH, "@xauth", "The X authority file.", only={"type": ("sdl",)}, qemu="never"),
            "fullscreen": Field(YES_NO, "@fullscreen", "The whole screen.", only={"type": ("sdl",)}, qemu="never"),
            "listen": LISTEN,
            "image": Field(
                one_of("auto_glz", "auto_lz", "quic", "glz", "lz", "off"), "image@compression", "Images.", only=SPICE
            ),
            "jpeg": Field(one_of("auto", "never", "always"), "jpeg@compression", "Images over slow links.", only=SPICE),
            "zlib": Field(one_of("auto", "never", "always"), "zlib@compression", "Over slow links.", only=SPICE),
            "playback": Field(ON_OFF, "playback@compression", "Sound.", only=SPICE),
            "streaming": Field(one_of("filter", "all", "off"), "streaming@mode", "Moving pictures.", only=SPICE),
            "clipboard": Field(YES_NO, "clipboard@copypaste", "Share the clipboard.", only=SPICE),
            "mouse": Field(one_of("server", "client"), "mouse@mode", "Which side draws the mouse.", only=SPICE),
            "filetransfer": Field(YES_NO, "filetransfer@enable", "Files by drag and drop.", only=SPICE),
            "gl": Field(
                YES_NO,
                "gl@enable",
                "OpenGL in the host.",
                only={"type": ("spice", "sdl", "dbus")},
            ),
            "rendernode": Field(
                PATH,
                "gl@rendernode",
                "The host's device for it.",
                only={"type": ("spice", "dbus", "egl-headless")},
                qemu="never",
            ),
            "audio": Field(
                AUDIO_ID, "audio@id", "The audio backend (id of audio) that it plays.", only={"type": ("vnc", "dbus")}
            ),
        },
    )
)
