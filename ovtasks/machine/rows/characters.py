"""Rows of channels, serial and parallel ports, consoles, smart cards, and USB redirection: what bytes flow through."""

from __future__ import annotations

from dataclasses import replace

from ovtasks.machine.field import Block, Field, Items, Node, Only, Words
from ovtasks.machine.kinds import HOST_NAME, LINE, NUMBER, PATH, POSITIVE, WORD, YES_NO, one_of, text

SERVICE = text(r"^[A-Za-z0-9-]+$", "a port", "is no port", ("4555",), ("a b", ""))


def source(*types: str) -> Block:
    """The ``source`` of a character device that may have these types."""

    def of(*wanted: str) -> Only:
        return {"type": tuple(name for name in wanted if name in types)}

    fields: dict[str, Field] = {
        "path": Field(PATH, "@path", "A file, device or socket.", only=of("file", "dev", "unix")),
        "mode": Field(
            one_of("bind", "connect"),
            "@mode",
            "bind: QEMU listens; connect, libvirt's own choice: it calls.",
            only=of("unix", "tcp"),
        ),
        "host": Field(HOST_NAME, "@host", "The address.", only=of("tcp", "udp")),
        "service": Field(SERVICE, "@service", "The port.", only=of("tcp", "udp")),
        "append": Field(one_of("on", "off"), "@append", "Whether the file is kept at a start.", only=of("file")),
        "tls": Field(YES_NO, "@tls", "Encrypted.", only=of("tcp")),
    }
    return Block("source", "The host's end.", {name: one for name, one in fields.items() if one.only["type"]})


PROTOCOL = Field(one_of("raw", "telnet", "telnets", "tls"), "protocol@type", "What is spoken.", only={"type": ("tcp",)})
_TYPES = ("pty", "tcp", "udp", "file", "unix", "dev", "null")


def port(tag: str, doc: str, targets: dict[str, Node], types: tuple[str, ...] = _TYPES) -> Items:
    """A serial or parallel port, or a console."""
    return Items(
        Block(
            tag,
            doc,
            {
                "type": Field(one_of(*types), "@type", "What is at the host's end.", default="pty"),
                "source": source(*types),
                "protocol": PROTOCOL,
                "log": Field(PATH, "log@file", "A file that gets everything, too.", fixed={"append": "on"}),
                "target": Block("target", "The guest's end.", targets),
            },
        )
    )


SERIAL = port(
    "serial",
    "Serial ports besides the first one, which is the console.",
    {
        "type": Field(
            one_of("isa-serial", "usb-serial", "pci-serial", "spapr-vio-serial", "system-serial", "isa-debug"),
            "@type",
            "What hardware.",
        ),
        "port": Field(POSITIVE, "@port", "Its number, from 1: port 0 is the first one; default: counted."),
    },
)
CONSOLE = port(
    "console",
    "Consoles besides the first one.",
    {
        "type": Field(one_of("virtio", "sclp", "sclplm"), "@type", "What hardware.", default="virtio"),
        "port": Field(POSITIVE, "@port", "Its number, from 1; default: counted."),
    },
)
PARALLEL = port(
    "parallel",
    "Parallel ports.",
    {"port": Field(NUMBER, "@port", "Its number; default: counted.")},
    ("pty", "tcp", "udp", "file", "unix", "dev", "null"),
)

CHANNEL_TYPES = ("unix", "spicevmc", "pty", "spiceport", "qemu-vdagent")
CHANNELS = Items(
    Block(
        "channel",
        "virtio channels besides the guest agent's.",
        {
            "type": Field(
                one_of(*CHANNEL_TYPES, other={"virtio": "unix"}),
                "@type",
                "spicevmc: SPICE's agent; unix: a socket of the host; virtio is the same.",
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
                PATH, "source@path", "The same as path.", fixed={"mode": "bind"}, only={"type": ("unix", "virtio")}
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
                one_of("server", "client"), "source/mouse@mode", "Whose mouse.", only={"type": ("qemu-vdagent",)}
            ),
            "name": Field(
                text(
                    r"^[A-Za-z0-9._-]+$",
                    "letters, digits, dot, hyphen, underscore",
                    "is no channel's name",
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

PASSTHROUGH: Only = {"mode": ("passthrough",)}
SMARTCARDS = Items(
    Block(
        "smartcard",
        "Smart cards.",
        {
            "mode": Field(
                one_of("host", "host-certificates", "passthrough"), "@mode", "Where the card is.", required=True
            ),
            "type": Field(
                one_of("spicevmc", "tcp", "unix", "pty"),
                "@type",
                "With passthrough: what is at the host's end.",
                only=PASSTHROUGH,
            ),
            "source": replace(source("spicevmc", "tcp", "unix", "pty"), only=PASSTHROUGH),
            "protocol": replace(PROTOCOL, only={**PASSTHROUGH, "type": ("tcp",)}),
            "certificates": Words(
                LINE,
                "certificate",
                "With host-certificates: the names of three in the database.",
                {"mode": ("host-certificates",)},
                least=3,
            ),
            "database": Field(
                PATH,
                "database",
                "With host-certificates: folder of the NSS database.",
                only={"mode": ("host-certificates",)},
            ),
        },
    )
)

REDIRDEV = Items(
    Block(
        "redirdev",
        "USB devices of whoever looks at the VM.",
        {
            "bus": Field(one_of("usb"), "@bus", "Always usb.", default="usb"),
            "type": Field(one_of("spicevmc", "tcp", "unix"), "@type", "How they come.", default="spicevmc"),
            "source": source("spicevmc", "tcp", "unix"),
            "protocol": PROTOCOL,
            "boot": Field(POSITIVE, "boot@order", "Place in the order of what is booted."),
        },
    )
)
