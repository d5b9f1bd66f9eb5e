"""Rows of memory devices and of leases."""

from __future__ import annotations

from ovtasks.machine.field import Block, Field, Items
from ovtasks.machine.kinds import CPUSET, KIB, LINE, NUMBER, PATH, YES_NO, one_of, switch

FLAG = switch("yes", "no")
UNIT = {"unit": "KiB"}
DIMMS = {"model": ("dimm", "nvdimm")}
BACKED = {"model": ("nvdimm", "virtio-pmem")}
PLAIN = {"model": ("dimm", "virtio-mem")}
NVDIMM = {"model": ("nvdimm",)}
VIRTIO_MEM = {"model": ("virtio-mem",)}

MEMORY = Items(
    Block(
        "memory",
        "Memory besides ram:, which may come and go; needs the cells of cpu.numa.",
        {
            "model": Field(
                one_of("dimm", "nvdimm", "virtio-mem", "virtio-pmem"),
                "@model",
                "dimm, virtio-mem: memory; nvdimm, virtio-pmem: a file of the host that keeps its content.",
                required=True,
            ),
            "access": Field(one_of("shared", "private"), "@access", "Who may map it.", only=DIMMS),
            "discard": Field(YES_NO, "@discard", "Drop its content when the VM ends.", only=DIMMS),
            "source": Block(
                "source",
                "What it is made of.",
                {
                    "path": Field(PATH, "path", "A file or device.", only=BACKED),
                    "alignsize": Field(KIB, "alignsize", "Alignment of the mapping.", only=NVDIMM, fixed=UNIT),
                    "pmem": Field(FLAG, "pmem?", "The host's memory keeps its content, too.", only=NVDIMM),
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
                    "block": Field(KIB, "block", "Size of a block, which comes and goes.", only=VIRTIO_MEM, fixed=UNIT),
                    "requested": Field(KIB, "requested", "How much of it is there.", only=VIRTIO_MEM, fixed=UNIT),
                    "label": Field(KIB, "label/size", "Size of its labels.", only=NVDIMM, fixed=UNIT),
                    "readonly": Field(FLAG, "readonly?", "The guest cannot write.", only=NVDIMM),
                },
                required=True,
            ),
        },
    )
)

LEASES = Items(
    Block(
        "lease",
        "Leases of a lock manager that must be had before the VM starts.",
        {
            "lockspace": Field(LINE, "lockspace", "The lock space.", required=True),
            "key": Field(LINE, "key", "The lease's name.", required=True),
            "target": Block(
                "target",
                "Where it is kept.",
                {
                    "path": Field(PATH, "@path", "The file.", required=True),
                    "offset": Field(NUMBER, "@offset", "Where in it."),
                },
                required=True,
            ),
        },
    )
)
