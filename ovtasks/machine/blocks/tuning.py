"""``libvirt.iothreads``, ``cputune``, ``memtune`` and ``resource``: shares, limits, and who runs where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ovtasks.errors import InputError
from ovtasks.machine.field import Block, Field, Items, Node
from ovtasks.machine.host import HostFeatures, lacking
from ovtasks.machine.kinds import CPUSET, KIB, PATH, number, text
from ovtasks.machine.qemu.command import Command, numbers
from ovtasks.machine.qemu.option import option
from ovtasks.machine.tree import Faults, Tree


def _limit(name: str, doc: str) -> Field:
    return Field(KIB, name, doc, fixed={"unit": "KiB"})


MEMTUNE = Block(
    "memtune",
    "Limits of the host's memory (cgroups).",
    {
        "hard_limit": _limit("hard_limit", "The most memory."),
        "soft_limit": _limit("soft_limit", "The most memory when the host is short of it."),
        "swap_hard_limit": _limit("swap_hard_limit", "The most memory and swap together."),
    },
    qemu="never",
)

_PERIOD = number(1000, 1_000_000, "microseconds")
_QUOTA = number(-1, 17_592_186_044_415, "microseconds; -1: no limit")


def _quotas() -> dict[str, Node]:
    found: dict[str, Node] = {}
    for prefix, whose in (
        ("", "each processor"),
        ("global_", "the whole VM"),
        ("emulator_", "the emulator"),
        ("iothread_", "each I/O thread"),
    ):
        found[f"{prefix}period"] = Field(
            _PERIOD, f"{prefix}period", f"Period of the quota of {whose}, in µs.", qemu="never"
        )
        found[f"{prefix}quota"] = Field(
            _QUOTA, f"{prefix}quota", f"Time of {whose} in a period, in µs; -1: no limit.", qemu="never"
        )
    return found


CPUTUNE = Block(
    "cputune",
    "Shares and pinning of the host's processors (cgroups).",
    {
        "shares": Field(number(2, 262_144), "shares", "Weight against other VMs.", qemu="never"),
        **_quotas(),
        "vcpupin": Items(
            Block(
                "vcpupin",
                "Pins the guest's processors to the host's.",
                {
                    "vcpu": Field(number(0, 4095), "@vcpu", "The guest's processor.", required=True),
                    "cpuset": Field(CPUSET, "@cpuset", "The host's processors.", required=True),
                },
            )
        ),
        "emulatorpin": Block(
            "emulatorpin",
            "Pins the emulator's threads.",
            {"cpuset": Field(CPUSET, "@cpuset", "The host's processors.", required=True)},
            qemu="never",
        ),
        "iothreadpin": Items(
            Block(
                "iothreadpin",
                "Pins I/O threads.",
                {
                    "iothread": Field(number(1), "@iothread", "The I/O thread, from 1.", required=True),
                    "cpuset": Field(CPUSET, "@cpuset", "The host's processors.", required=True),
                },
            )
        ),
    },
)

IOTHREADS = Field(number(0, 1000), "iothreads", "The number of I/O threads for disks and controllers.")

RESOURCE = Block(
    "resource",
    "The VM's resource group on the host.",
    {
        "partition": Field(PATH, "partition", "cgroup partition, such as /machine/production."),
        "fibrechannel": Block(
            "fibrechannel",
            "Fibre Channel.",
            {
                "appid": Field(
                    text(r"^[ -~]{1,128}$", "up to 128 ASCII characters", "is not an application identity", ("vm-1",)),
                    "@appid",
                    "Application identity.",
                    required=True,
                )
            },
        ),
    },
    qemu="never",
)


def rules(tree: Tree, users: Sequence[Tree]) -> Faults:
    """Every I/O thread that is named exists; ``users`` are the blocks that may name one."""
    threads = tree.number("iothreads") or 0
    for user in (*tree.block("cputune").items("iothreadpin"), *users):
        number = user.number("iothread")
        if number is not None and number > threads:
            many = f"there are {threads}" if threads else "there are none"
            yield user.fault(f"is {number}, but {many}", f"iothreads: {number} in libvirt", "iothread")


def lacks(block: Tree, host: HostFeatures) -> Iterator[InputError]:
    """Errors for limits in a user's session: only the system's daemon has cgroups for them. Pinning needs none."""
    for name in ("cputune", "memtune") if host.session else ():
        limits = block.block(name)
        for key in limits.value:
            if not key.endswith("pin"):
                hint = "remove it, or OV_LIBVIRT_URI=qemu:///system"
                yield lacking((*limits.place, key), "is a limit that a user's own libvirt session has not", hint)


def iothreads(count: int | None, to: Command) -> None:
    """Make the threads that disks and controllers name. The rules have checked those names."""
    for index in range(1, (count or 0) + 1):
        to.early += ("-object", option("iothread", id=f"iothread{index}"))


def pinning(block: Tree, to: Command) -> None:
    """Note the host CPUs for QEMU's threads: those of the guest's CPUs, and I/O threads. The rest needs cgroups."""
    for item in block.items("vcpupin"):
        number = item.number("vcpu") or 0
        if number >= to.machine.cpus:
            raise item.refuse("vcpu", f"the VM has {to.machine.cpus} processors, from 0 on", hint="cpus: more")
        to.pins[number] = frozenset(numbers(item.text("cpuset") or ""))
    for item in block.items("iothreadpin"):
        to.thread_pins[item.number("iothread") or 0] = frozenset(numbers(item.text("cpuset") or ""))
