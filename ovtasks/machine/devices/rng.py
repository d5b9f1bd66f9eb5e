"""Sources of random numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as ET

from ovtasks.errors import InputError
from ovtasks.machine import virtio
from ovtasks.machine.characters import host_end, source_rows
from ovtasks.machine.device import Device
from ovtasks.machine.draft import Draft
from ovtasks.machine.field import Block, Field, Items
from ovtasks.machine.host import HostFeatures, unknown_word
from ovtasks.machine.kinds import POSITIVE, one_of, text
from ovtasks.machine.qemu.chardev import chardev
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.tree import ROOT, Faults, Tree
from ovtasks.machine.xml.place import ensure

ROWS = Items(
    Block(
        "rng",
        "Sources of random numbers; without any, one that reads /dev/urandom.",
        {
            "model": Field(
                one_of(*virtio.MODELS),
                "@model",
                "The device.",
                default="virtio",
                known=("devices/rng/model", "source of random numbers"),
            ),
            "rate": Block(
                "rate",
                "The limit for the guest.",
                {
                    "bytes": Field(POSITIVE, "@bytes", "Bytes in a period.", required=True),
                    "period": Field(POSITIVE, "@period", "In ms.", assumed="1000"),
                },
            ),
            "backend": Field(
                text(
                    r"^(/[^\x00-\x1f]+|builtin|egd)$",
                    "builtin, egd, or a device of the host",
                    "is neither builtin, egd nor a device such as /dev/urandom",
                    ("/dev/random", "builtin"),
                    ("random", ""),
                ),
                "backend",
                "Where they come from; egd: a daemon at source.",
                default="/dev/urandom",
                computed=True,
            ),
            "type": Field(
                one_of("unix", "tcp", "udp"),
                "backend@type",
                "With egd: how to connect to it.",
                only={"backend": ("egd",)},
                computed=True,
            ),
            "source": Block(
                "backend/source",
                "With egd: where it is.",
                source_rows("unix", "tcp", "udp").fields,
                only={"backend": ("egd",)},
            ),
            "driver": Block("driver", "Options of virtio.", virtio.options()),
        },
    )
)


def _rules(found: Sequence[Tree], _: Tree) -> Faults:
    for one in found:
        if one.text("backend") == "egd" and not one.has("type"):
            yield one.fault("is missing: backend egd needs it", "type: unix, source: {mode: connect, path: …}", "type")
        yield from host_end(one)


def _complete(found: Sequence[Tree], _: Draft) -> Sequence[Tree]:
    """Add a source when there is none: a guest without entropy waits for it at its first boot."""
    return found or [Tree({}, (*ROOT, "devices", "rng", 0))]


def _lacks(found: Sequence[Tree], host: HostFeatures) -> Iterator[InputError]:
    for one in found:
        backend = one.text("backend") or "/dev/urandom"
        kind = backend if backend in {"builtin", "egd"} else "random"
        place = (*one.place, "backend")
        yield from unknown_word(kind, host, "devices/rng/backendModel", place, "source of random numbers")


def _finish(element: ET.Element, one: Tree) -> None:
    """Name the backend: a device of the host, or a kind of source."""
    backend = ensure(element, "backend")
    text = one.text("backend") or "/dev/urandom"
    if text.startswith("/"):
        backend.set("model", "random")
        backend.text = text
    else:
        backend.set("model", text)
        if kind := one.text("type"):
            backend.set("type", kind)


def _plain(element: ET.Element) -> None:
    """The reverse of :func:`_finish`."""
    backend = element.find("backend")
    if backend is not None and (kind := backend.get("model")) in {"builtin", "egd"}:
        backend.text = kind


def _words(blocks: Sequence[Tree], to: Command) -> None:
    """The declared sources; without any, one that reads the host's /dev/urandom."""
    for index, block in enumerate(blocks or [Tree()]):
        suffix = block.one_of("model", virtio.SUFFIXES, "virtio")
        backend, rate, name = block.text("backend") or "/dev/urandom", block.block("rate"), f"rng{index}"
        if backend == "builtin":
            to.add("object", "rng-builtin", id=name)
        elif backend == "egd":
            to.add("object", "rng-egd", id=name, chardev=chardev(block, f"{name}-egd", to, default="unix"))
        elif backend.startswith("/"):
            to.add("object", "rng-random", id=name, filename=backend)
        else:
            raise block.refuse("backend", f"'{backend}' is neither builtin, egd nor an absolute path")
        limit = {"max-bytes": rate.text("bytes"), "period": rate.text("period")}
        slot = {"addr": "0x6"} if index == 0 else {}
        more = virtio.properties(block.block("driver"))
        to.device(f"virtio-rng-pci{suffix}", id=f"{name}-device", rng=name, **limit, **slot, **more)


RNG = Device("rng", ROWS, _rules, _complete, lacks=_lacks, finish=_finish, plain=_plain, qemu=_words)
