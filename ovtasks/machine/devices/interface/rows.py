"""Rows of ``libvirt.devices.interfaces``."""

from __future__ import annotations

from ovtasks.machine import virtio
from ovtasks.machine.field import Block, Field, Items, Node
from ovtasks.machine.kinds import ADDRESS, MAC, ON_OFF, PATH, PORT, POSITIVE, YES_NO, number, one_of, text

USER = {"type": ("user",)}
DEVICE = text(
    r"^[A-Za-z0-9_.:-]{1,15}$", "a name of the host's, such as br0", "is not an interface name", ("br0",), ("a b", "")
)
_OFFLOADS = {
    "csum": "Checksums.",
    "gso": "Generic segmentation.",
    "tso4": "TCP segmentation, IPv4.",
    "tso6": "TCP segmentation, IPv6.",
    "ecn": "Congestion notification.",
    "ufo": "UDP fragmentation.",
    "mrg_rxbuf": "Mergeable receive buffers.",
}


def _offloads(*without: str) -> dict[str, Node]:
    return {name: Field(ON_OFF, f"@{name}", doc) for name, doc in _OFFLOADS.items() if name not in without}


DRIVER = Block(
    "driver",
    "How the host serves a virtio interface.",
    {
        "name": Field(one_of("qemu", "vhost"), "@name", "qemu: in QEMU; vhost: in the kernel."),
        "queues": Field(POSITIVE, "@queues", "Pairs of queues.", qemu="never"),
        "rx_queue_size": Field(POSITIVE, "@rx_queue_size", "Packets in a receive queue, a power of two."),
        "tx_queue_size": Field(POSITIVE, "@tx_queue_size", "Packets in a send queue, a power of two."),
        "txmode": Field(one_of("iothread", "timer"), "@txmode", "How packets are sent."),
        "ioeventfd": Field(ON_OFF, "@ioeventfd", "Packets by event file descriptors."),
        "event_idx": Field(ON_OFF, "@event_idx", "Fewer interrupts."),
        "rss": Field(ON_OFF, "@rss", "Receive side scaling."),
        "rss_hash_report": Field(ON_OFF, "@rss_hash_report", "Tell the guest the hash."),
        **virtio.options(),
        "host": Block("host", "Offloads of the host.", _offloads()),
        "guest": Block("guest", "Offloads of the guest.", _offloads("gso", "mrg_rxbuf")),
    },
)

FORWARDS = Items(
    Block(
        "portForward",
        "Ports of the host that lead into the VM; passt serves them.",
        {
            "proto": Field(one_of("tcp", "udp"), "@proto", "The protocol.", default="tcp"),
            "address": Field(ADDRESS, "@address", "The host's address.", default="127.0.0.1"),
            "start": Field(
                PORT,
                "range@start",
                "The host port, or the first one of a range; only one VM can use it.",
                required=True,
            ),
            "end": Field(PORT, "range@end", "The last port of the range."),
            "to": Field(
                PORT,
                "range@to",
                "The guest's port; default: the same.",
            ),
        },
        only=USER,
    )
)

ROWS = Items(
    Block(
        "interface",
        "Network interfaces in addition to the first one (network:).",
        {
            "type": Field(
                one_of("user", "bridge", "network", "direct"), "@type", "What it is connected to.", default="user"
            ),
            "source": Block(
                "source",
                "The other end.",
                {
                    "bridge": Field(DEVICE, "@bridge", "The host's bridge.", only={"type": ("bridge",)}),
                    "network": Field(
                        text(
                            r"^[^\x00-\x1f/]+$", "a network's name", "is not a network name", ("default",), ("a/b", "")
                        ),
                        "@network",
                        "libvirt's network.",
                        only={"type": ("network",)},
                        qemu="never",
                    ),
                    "dev": Field(
                        DEVICE, "@dev", "The host's interface (macvtap).", only={"type": ("direct",)}, qemu="never"
                    ),
                    "mode": Field(
                        one_of("vepa", "bridge", "private", "passthrough"),
                        "@mode",
                        "How macvtap switches.",
                        only={"type": ("direct",)},
                        qemu="never",
                    ),
                },
            ),
            "mac": Field(
                MAC,
                "mac@address",
                "Its MAC address. Default, and for every instance made with -i: a unique, permanent one.",
            ),
            "model": Field(
                text(r"^[A-Za-z0-9_-]+$", "a card's name", "is not a model name", ("virtio", "e1000"), ("a b", "")),
                "model@type",
                "The card.",
                default="virtio",
            ),
            "mtu": Field(
                number(68, 65535),
                "mtu@size",
                "The largest packet in bytes.",
                only={"type": ("bridge", "network", "direct")},
            ),
            "link_state": Field(one_of("up", "down"), "link@state", "down: the cable is unplugged.", qemu="never"),
            "driver": DRIVER,
            "backend": Field(
                one_of("passt"),
                "backend@type",
                "What connects it; default: passt if it works, else QEMU itself (slirp).",
                only=USER,
                qemu="never",
            ),
            "port_forwards": FORWARDS,
            "target": Field(DEVICE, "target@dev", "Name of its other end on the host.", qemu="never"),
            "boot": Field(POSITIVE, "boot@order", "Its place in the boot order."),
            "rom": Block(
                "rom",
                "Its boot ROM.",
                {
                    "enabled": Field(YES_NO, "@enabled", "Whether it has one; default: only with boot."),
                    "bar": Field(ON_OFF, "@bar", "Whether the guest sees it."),
                    "file": Field(PATH, "@file", "A file with it."),
                },
            ),
        },
    )
)
