"""Memory besides ``ram:``, which may come and go."""

from __future__ import annotations

from collections.abc import Sequence

from ovtasks.machine.device import Device
from ovtasks.machine.draft import Draft
from ovtasks.machine.field import Block, Field, Items
from ovtasks.machine.kinds import CPUSET, KIB, NUMBER, PATH, YES_NO, one_of, switch
from ovtasks.machine.tree import Faults, Tree
from ovtasks.values.sizes import format_size

FLAG = switch("yes", "no")
UNIT = {"unit": "KiB"}
DIMMS = {"model": ("dimm", "nvdimm")}
BACKED = {"model": ("nvdimm", "virtio-pmem")}
PLAIN = {"model": ("dimm", "virtio-mem")}
NVDIMM = {"model": ("nvdimm",)}
VIRTIO_MEM = {"model": ("virtio-mem",)}
_NEEDS = {
    "nvdimm": [("source", "path")],
    "virtio-pmem": [("source", "path")],
    "virtio-mem": [("target", "block"), ("target", "requested")],
}

ROWS = Items(
    Block(
        "memory",
        "Memory in addition to ram:, which can be plugged in and out; needs the cells of cpu.numa.",
        {
            "model": Field(
                one_of("dimm", "nvdimm", "virtio-mem", "virtio-pmem"),
                "@model",
                "dimm, virtio-mem: memory; nvdimm, virtio-pmem: a persistent file of the host.",
                required=True,
            ),
            "access": Field(one_of("shared", "private"), "@access", "Who may map it.", only=DIMMS),
            "discard": Field(YES_NO, "@discard", "Discard its contents when the VM ends.", only=DIMMS),
            "source": Block(
                "source",
                "Where the memory comes from.",
                {
                    "path": Field(PATH, "path", "A file or device.", only=BACKED),
                    "alignsize": Field(KIB, "alignsize", "Alignment of the mapping.", only=NVDIMM, fixed=UNIT),
                    "pmem": Field(FLAG, "pmem?", "The host's memory is persistent, too.", only=NVDIMM),
                    "pagesize": Field(KIB, "pagesize", "Size of the host's pages.", only=PLAIN, fixed=UNIT),
                    "nodemask": Field(CPUSET, "nodemask", "The host's NUMA nodes.", only=PLAIN),
                },
            ),
            "target": Block(
                "target",
                "What the guest sees.",
                {
                    "size": Field(KIB, "size", "Its size.", required=True, fixed=UNIT),
                    "node": Field(
                        NUMBER, "node", "The guest's cell; default 0.", only={"model": ("dimm", "nvdimm", "virtio-mem")}
                    ),
                    "block": Field(
                        KIB, "block", "The size of a block that can be plugged.", only=VIRTIO_MEM, fixed=UNIT
                    ),
                    "requested": Field(KIB, "requested", "The size that is plugged in.", only=VIRTIO_MEM, fixed=UNIT),
                    "label": Field(KIB, "label/size", "Size of its labels.", only=NVDIMM, fixed=UNIT),
                    "readonly": Field(FLAG, "readonly?", "The guest cannot write.", only=NVDIMM),
                },
                required=True,
            ),
        },
        qemu="never",
    )
)


def _rules(found: Sequence[Tree], block: Tree) -> Faults:
    """Each module belongs to a cell, and has what its model needs."""
    cells = len(block.block("cpu").items("numa"))
    for one in found:
        model, node = one.text("model") or "", one.block("target").number("node")
        if not cells:
            yield one.fault("needs the cells of libvirt.cpu.numa", "cpu: {numa: [{cpus: 0-1, memory: 2G}]}")
        elif node is not None and node >= cells:
            yield one.fault(f"is {node}, but the last cell is {cells - 1}", "node: 0", "target", "node")
        for name, key in _NEEDS.get(model, ()):
            if not one.block(name).has(key):
                yield one.fault(f"is missing: model {model} needs it", f"{name}: {{{key}: …}}", name, key)
        yield from _sizes(one.block("target"))


def _sizes(target: Tree) -> Faults:
    """Rules between the sizes, which are all in KiB."""
    size, block, label = (target.number(key) for key in ("size", "block", "label"))
    for key in ("size", "requested"):
        if block is not None and (target.number(key) or 0) % block:
            yield target.fault(f"is not a multiple of block {format_size(block * 1024)}", "whole blocks", key)
    if size is not None and label is not None and label >= size:
        yield target.fault("is not smaller than size", "label: 2M", "label")


def _complete(found: Sequence[Tree], _: Draft) -> Sequence[Tree]:
    return [
        one if one.text("model") == "virtio-pmem" else one.put(target=one.block("target").over(node="0"))
        for one in found
    ]


def size_of(one: Tree) -> int:
    """The size of a module, in KiB."""
    return one.block("target").number("size") or 0


MEMORY = Device("memory", ROWS, _rules, _complete)
