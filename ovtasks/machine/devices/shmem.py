"""Memory shared between VMs."""

from __future__ import annotations

from collections.abc import Sequence

from ovtasks.machine.device import Device
from ovtasks.machine.draft import Draft
from ovtasks.machine.field import Block, Field, Items
from ovtasks.machine.kinds import MIB, ON_OFF, PATH, POSITIVE, one_of, text
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.tree import Faults, Tree

DEFAULT_SIZE = 4  # MiB: libvirt's default
DOORBELL = {"model.type": ("ivshmem-doorbell",)}

ROWS = Items(
    Block(
        "shmem",
        "Memory shared between VMs.",
        {
            "name": Field(
                text(r"^[^/\x00-\x1f]+$", "a name without slashes", "has slashes", ("shm0",), ("a/b", "")),
                "@name",
                "Its name; /dev/shm/NAME.",
                required=True,
            ),
            "role": Field(one_of("master", "peer"), "@role", "Whether it migrates along."),
            "model": Block(
                "model",
                "The device.",
                {
                    "type": Field(
                        one_of("ivshmem-plain", "ivshmem-doorbell"),
                        "@type",
                        "doorbell has a server and interrupts.",
                        default="ivshmem-plain",
                    )
                },
                bare=True,
            ),
            "size": Field(MIB, "size", "Its size, a power of two; default 4 MiB.", fixed={"unit": "M"}),
            "server": Block(
                "server",
                "The server of a doorbell.",
                {"path": Field(PATH, "@path", "Its socket; default: one that libvirt chooses.")},
                only=DOORBELL,
                bare=True,
            ),
            "msi": Block(
                "msi",
                "Interrupts of a doorbell.",
                {
                    "vectors": Field(POSITIVE, "@vectors", "How many."),
                    "ioeventfd": Field(ON_OFF, "@ioeventfd", "By event file descriptors."),
                },
                only=DOORBELL,
            ),
        },
    )
)


def _rules(found: Sequence[Tree], _: Tree) -> Faults:
    for one in found:
        if one.block("model").text("type") == "ivshmem-doorbell" and not one.has("server"):
            yield one.fault("is missing: a doorbell needs it", "server: {path: …}", "server")


def _complete(found: Sequence[Tree], _: Draft) -> Sequence[Tree]:
    return [one.over(model={"type": "ivshmem-plain"}) for one in found]


def _words(blocks: Sequence[Tree], to: Command) -> None:
    for index, block in enumerate(blocks):
        name, role = block.text("name"), block.text("role")
        model = block.block("model").text("type") or "ivshmem-plain"
        size, ident = block.text("size"), f"shmem{index}"
        master = {"master": "on", "peer": "off"}.get(role or "")
        if model == "ivshmem-plain":
            where = {"size": f"{size or DEFAULT_SIZE}M", "mem-path": f"/dev/shm/{name}", "share": "on"}
            to.add("object", "memory-backend-file", id=f"{ident}-memory", **where)
            to.device("ivshmem-plain", id=ident, memdev=f"{ident}-memory", master=master)
            continue
        if size is not None:
            raise block.refuse("size", "the server decides that")
        msi = block.block("msi")
        path = block.block("server").text("path") or f"/var/lib/libvirt/shmem-{name}-sock"
        to.add("chardev", "socket", id=f"{ident}-server", path=path)
        more = {"vectors": msi.text("vectors"), "ioeventfd": msi.text("ioeventfd"), "master": master}
        to.device("ivshmem-doorbell", id=ident, chardev=f"{ident}-server", **more)


SHMEM = Device("shmem", ROWS, _rules, _complete, qemu=_words)
