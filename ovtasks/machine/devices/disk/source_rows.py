"""Rows of a disk's ``source``: where its content is, and as whom it is read."""

from __future__ import annotations

from ovtasks.machine.field import Block, Field, Items
from ovtasks.machine.kinds import HOST_NAME, LINE, PATH, PORT, UUID, WORD, one_of, text

FILE = {"type": ("file",)}
BLOCK = {"type": ("block",)}
VOLUME = {"type": ("volume",)}
NETWORK = {"type": ("network",)}
PROTOCOLS = ("nbd", "rbd", "iscsi", "gluster", "http", "https", "ftp", "ftps", "tftp", "nfs", "sheepdog", "ssh")

HOSTS = Items(
    Block(
        "host",
        "The servers.",
        {
            "name": Field(HOST_NAME, "@name", "Name or address.", only={"transport": ("tcp", "rdma")}),
            "port": Field(PORT, "@port", "Port.", needs=("name",)),
            "transport": Field(one_of("tcp", "rdma", "unix"), "@transport", "How it is reached.", assumed="tcp"),
            "socket": Field(PATH, "@socket", "Unix socket.", only={"transport": ("unix",)}),
        },
        only=NETWORK,
    )
)

NAME = text(
    r"^[A-Za-z0-9_+-]+$", "letters, digits, _ + -", "has more than letters, digits, _ + -", ("vm_1",), ("a b", "")
)

AUTH = Block(
    "auth",
    "The login at the server.",
    {
        "username": Field(NAME, "@username", "Name.", required=True),
        "type": Field(one_of("ceph", "iscsi"), "secret@type", "The kind of libvirt's secret.", required=True),
        "secret": Field(UUID, "secret@uuid", "libvirt's secret with the key (virsh secret-list).", required=True),
    },
    only={"protocol": ("rbd", "iscsi")},
    qemu="never",
)

SOURCE = Block(
    "source",
    "Where it is.",
    {
        "file": Field(PATH, "@file", "Path of an image.", only=FILE),
        "dev": Field(PATH, "@dev", "Path of a block device.", only=BLOCK),
        "pool": Field(WORD, "@pool", "libvirt's storage pool.", only=VOLUME, needs=("volume",), qemu="never"),
        "volume": Field(LINE, "@volume", "The volume in it.", only=VOLUME, needs=("pool",), qemu="never"),
        "protocol": Field(
            one_of(*PROTOCOLS), "@protocol", "The protocol of the server.", only=NETWORK, since_values={"ssh": (9, 8)}
        ),
        "name": Field(LINE, "@name", "The image's name there.", only=NETWORK),
        "hosts": HOSTS,
        "auth": AUTH,
        "identity": Block(
            "identity",
            "The account for NFS.",
            {
                "user": Field(NAME, "@user", "User, by name or +NUMBER.", required=True),
                "group": Field(NAME, "@group", "Group, by name or +NUMBER.", required=True),
            },
            only={"protocol": ("nfs",)},
            qemu="never",
        ),
        "startup_policy": Field(
            one_of("mandatory", "requisite", "optional"),
            "@startupPolicy",
            "What to do at a start if it is missing.",
            only={"device": ("cdrom", "floppy")},
            qemu="never",
        ),
    },
    bare=True,
)
