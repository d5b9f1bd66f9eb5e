"""``libvirt.memory_backing``, ``numatune`` and ``cpu.numa``: what the guest's memory is made of, and where it lies."""

from __future__ import annotations

from dataclasses import dataclass

from ovtasks.errors import InputError
from ovtasks.machine.field import Block, Field, Items
from ovtasks.machine.kinds import CPUSET, KIB, NUMBER, one_of, switch
from ovtasks.machine.qemu.command import Command, numbers
from ovtasks.machine.qemu.option import option
from ovtasks.machine.tree import Faults, Tree
from ovtasks.values.sizes import MiB

FLAG = switch("yes", "no")

MEMORY_BACKING = Block(
    "memoryBacking",
    "How the host provides the guest's memory.",
    {
        "hugepages": Block(
            "hugepages",
            "Huge pages of the host; {}: with its default size.",
            {
                "size": Field(KIB, "page@size", "Their size: 2M, 1G.", fixed={"unit": "KiB"}),
                "nodeset": Field(
                    CPUSET, "page@nodeset", "For these NUMA cells of the guest.", needs=("size",), qemu="never"
                ),
            },
            bare=True,
        ),
        "nosharepages": Field(FLAG, "nosharepages?", "Never merge equal pages."),
        "locked": Field(FLAG, "locked?", "Never swap them out."),
        "source": Field(
            one_of("file", "anonymous", "memfd"),
            "source@type",
            "What backs the pages; virtiofs needs memfd or file.",
            known=("memoryBacking/sourceType", "memory source"),
        ),
        "access": Field(one_of("shared", "private"), "access@mode", "Who may map them; virtiofs needs shared."),
        "allocation": Field(one_of("immediate", "ondemand"), "allocation@mode", "When they are allocated."),
        "discard": Field(FLAG, "discard?", "Discard their contents when the VM ends."),
    },
)

_NUMA_MODE = one_of("strict", "preferred", "interleave", "restrictive")

NUMATUNE = Block(
    "numatune",
    "The host's NUMA nodes that the memory comes from.",
    {
        "memory": Block(
            "memory",
            "For all of it.",
            {
                "mode": Field(_NUMA_MODE, "@mode", "How strictly."),
                "nodeset": Field(CPUSET, "@nodeset", "The nodes.", only={"placement": ("static",)}),
                "placement": Field(
                    one_of("static", "auto"), "@placement", "auto: ask the host's numad.", assumed="static"
                ),
            },
        ),
        "memnodes": Items(
            Block(
                "memnode",
                "For single cells of the guest.",
                {
                    "cellid": Field(NUMBER, "@cellid", "The guest's cell.", required=True),
                    "mode": Field(_NUMA_MODE, "@mode", "How strictly.", required=True),
                    "nodeset": Field(CPUSET, "@nodeset", "The host's nodes.", required=True),
                },
            )
        ),
    },
)

_POLICIES = {"strict": "bind", "preferred": "preferred", "interleave": "interleave"}
_KINDS = {"file": "memory-backend-file", "memfd": "memory-backend-memfd", "anonymous": "memory-backend-ram"}


@dataclass
class _Backing:
    """``kind`` is the type of QEMU's object, ``values`` its properties; ``wanted``: QEMU's default will not do."""

    kind: str
    values: dict[str, object]
    wanted: bool


def rules(tree: Tree) -> Faults:
    """A static placement names its nodes; ``memnodes`` needs cells."""
    tune = tree.block("numatune")
    memory = tune.block("memory")
    if memory.value and memory.text("placement") in {None, "static"} and not memory.has("nodeset"):
        yield memory.fault("is missing", "nodeset: 0, or placement: auto", "nodeset")
    if tune.items("memnodes") and not tree.block("cpu").items("numa"):
        yield tune.fault("needs the cells of libvirt.cpu.numa", "add cpu.numa", "memnodes")


def words(backing: Tree, tune: Tree, cells: list[Tree], to: Command) -> None:
    """Say the memory in QEMU's words, after all else: a shared folder needs memory that another process can map.

    :raises InputError: plain QEMU, or this host, lacks what a field asks for."""
    found = _backing(backing, to)
    policy = _policy(tune.block("memory"))
    nodes = {node.text("cellid") or "": _policy(node) for node in tune.items("memnodes")}
    if not cells:
        for ident in nodes:
            raise tune.refuse("memnodes", f"there is no cell {ident}", hint="declare it in libvirt.cpu.numa")
        if found.wanted or policy:
            size = f"{-(-to.machine.ram // MiB)}M"
            to.early += ("-object", option(found.kind, id="ram", size=size, **found.values, **policy))
            to.properties["memory-backend"] = "ram"
        return
    _cells(cells, found, policy, nodes, to)


def _backing(block: Tree, to: Command) -> _Backing:
    source, access = block.text("source"), block.text("access")
    if to.shared and not (source and access):
        to.notes.append("virtiofs: memory_backing is shared" + ("" if source else ", memfd"))
    if to.shared and (source == "anonymous" or access == "private"):
        key = "access" if access == "private" else "source"
        raise block.refuse(key, "a virtiofs folder needs memory that is shared", hint="access: shared, source: memfd")
    values: dict[str, object] = {}
    huge = "hugepages" in block
    if huge:
        pages = block.block("hugepages")
        if source in {"file", "anonymous"}:
            raise block.refuse("source", f"hugepages are not {source} for the backend qemu", hint="source: memfd")
        size = pages.text("size")
        values |= {"hugetlb": "on", "hugetlbsize": f"{size}K" if size is not None else None}
    shared = to.shared or access == "shared"
    kind = _KINDS["memfd" if huge or (shared and source is None) else source or "anonymous"]
    if kind == _KINDS["file"]:
        values["mem-path"] = to.machine.disk.parent
    if shared or access is not None:
        values["share"] = "on" if shared else "off"
    if (allocation := block.text("allocation")) is not None:
        values["prealloc"] = "on" if allocation == "immediate" else "off"
    if block.text("discard") == "yes":
        if kind != _KINDS["file"]:
            raise block.refuse("discard", "it is for memory in a file", hint="source: file")
        values["discard-data"] = "on"
    if block.text("nosharepages") == "yes":
        to.properties["mem-merge"] = "off"
    if block.text("locked") == "yes":
        to.add("overcommit", **{"mem-lock": "on"})
    return _Backing(kind, values, bool(values) or source is not None)


def _policy(block: Tree) -> dict[str, object]:
    """Which nodes of the host the memory comes from."""
    if block.text("placement") == "auto":
        raise block.refuse("placement", "only libvirt asks numad")
    nodes, mode = block.text("nodeset"), block.one_of("mode", _POLICIES)
    if nodes is None:
        if mode is not None:
            raise block.refuse("mode", "it needs a nodeset", hint="nodeset: '0'")
        return {}
    return {"policy": mode or "bind", "host-nodes": numbers(nodes)}


def _cells(
    cells: list[Tree], found: _Backing, policy: dict[str, object], nodes: dict[str, dict[str, object]], to: Command
) -> None:
    total = 0
    for index, cell in enumerate(cells):
        ident, kib = cell.text("id") or str(index), cell.number("memory") or 0
        if ident != str(index):
            raise cell.refuse("id", "QEMU alone wants them counted from 0, in order", hint=f"id: {index}")
        cell.text("unit")  # taken into account already, when `memory` was read
        total += kib
        kind, values = found.kind, dict(found.values)
        if (access := cell.text("memaccess")) is not None:
            values["share"] = "on" if access == "shared" else "off"
            kind = _KINDS["memfd"] if access == "shared" and kind == _KINDS["anonymous"] else kind
        if cell.text("discard") == "yes":
            if kind != _KINDS["file"]:
                raise cell.refuse("discard", "it is for memory in a file", hint="memory_backing: {source: file}")
            values["discard-data"] = "on"
        name = f"ram-node{ident}"
        to.early += ("-object", option(kind, id=name, size=f"{kib}K", **values, **nodes.pop(ident, policy)))
        spans = numbers(cell.text("cpus") or "") if "cpus" in cell else ()
        if spans and spans[-1] >= to.machine.cpus:
            raise cell.refuse("cpus", f"the VM has {to.machine.cpus} processors, from 0 on", hint="cpus: more")
        to.early += ("-numa", option("node", nodeid=ident, memdev=name, cpus=spans))
    if total * 1024 != to.machine.ram:
        hint = f"ram: {total // 1024}M, or cells of {to.machine.ram >> 20}M together"
        raise InputError(f"libvirt.cpu.numa has {total >> 10} MiB, the VM {to.machine.ram >> 20} MiB", hint=hint)
    for ident in nodes:
        raise InputError(f"libvirt.numatune.memnodes: there is no cell {ident}", hint="declare it in libvirt.cpu.numa")
