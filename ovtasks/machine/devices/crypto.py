"""Cryptography accelerators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ovtasks.errors import InputError
from ovtasks.machine.device import Device
from ovtasks.machine.field import Block, Field, Items
from ovtasks.machine.host import HostFeatures, unknown_word
from ovtasks.machine.kinds import POSITIVE, one_of
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.qemu.option import option
from ovtasks.machine.tree import Tree

ROWS = Items(
    Block(
        "crypto",
        "Accelerators of cryptography.",
        {
            "model": Field(one_of("virtio"), "@model", "Always virtio.", default="virtio"),
            "type": Field(one_of("qemu"), "@type", "Always qemu.", default="qemu"),
            "backend": Block(
                "backend",
                "What does the computations.",
                {
                    "model": Field(one_of("builtin", "lkcf"), "@model", "QEMU, or the kernel.", default="builtin"),
                    "queues": Field(POSITIVE, "@queues", "Queues."),
                },
                bare=True,
                required=True,
            ),
        },
        since=(9, 1),
    )
)


def _lacks(found: Sequence[Tree], host: HostFeatures) -> Iterator[InputError]:
    for one in found:
        yield from unknown_word("virtio", host, "devices/crypto/model", one.place, "accelerator of cryptography")


def _words(blocks: Sequence[Tree], to: Command) -> None:
    for index, block in enumerate(blocks):
        block.text("model"), block.text("type")
        backend, ident = block.block("backend"), f"crypto{index}"
        kind = {"builtin": "cryptodev-backend-builtin", "lkcf": "cryptodev-backend-lkcf"}
        name = backend.one_of("model", kind, "builtin") or ""
        queues = backend.number("queues")
        if queues not in {None, 1} and "builtin" in name:
            raise backend.refuse("queues", "QEMU's own has one", hint="model: lkcf")
        to.words += ("-object", option(name, id=ident, queues=queues))
        to.device("virtio-crypto-pci", id=f"{ident}-device", cryptodev=ident)


CRYPTO = Device("crypto", ROWS, lacks=_lacks, qemu=_words)
