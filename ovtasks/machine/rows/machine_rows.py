"""Rows of ``libvirt.features``, ``cpu`` and ``clock``.

Names, values and places are those of libvirt's documentation, "Domain XML format"; its schema ``domaincommon.rng`` is
what the tests hold them against.
"""

from __future__ import annotations

from ovtasks.machine.field import Block, Field, Items, Node
from ovtasks.machine.kinds import CPUSET, KIB, NUMBER, ON_OFF, POSITIVE, WORD, YES_NO, number, one_of, switch, text

CUSTOM = {"mode": ("custom",)}
LAST_SECOND = 253402300799  # of the year 9999, which is as far as dates are written for QEMU

_HYPERV = {
    "relaxed": "No watchdog timeouts in the guest.",
    "vapic": "Virtual APIC.",
    "vpindex": "Virtual processor index.",
    "runtime": "Time spent in the guest and for it.",
    "synic": "Synthetic interrupt controller.",
    "stimer": "Synthetic timers.",
    "reset": "Reset by a register.",
    "frequencies": "Frequency registers.",
    "reenlightenment": "Notice of migration to another TSC frequency.",
    "tlbflush": "TLB flush by the hypervisor.",
    "ipi": "Interrupts between processors by the hypervisor.",
    "evmcs": "Enlightened VMCS (nested, Intel).",
    "avic": "Hyper-V's features together with the host's APICv or AVIC.",
}
_HYPERV_NEW = {
    "emsr_bitmap": "No traps for unchanged MSR bitmaps (nested).",
    "xmm_input": "Parameters of hypercalls in XMM registers.",
}

HYPERV = Block(
    "hyperv",
    "Hyper-V enlightenments, for Windows guests.",
    {
        "mode": Field(
            one_of("custom", "passthrough"),
            "@mode",
            "custom: those named here; passthrough: all that the host has.",
            assumed="custom",
        ),
        **{name: Field(ON_OFF, f"{name}@state", doc, only=CUSTOM) for name, doc in _HYPERV.items()},
        **{name: Field(ON_OFF, f"{name}@state", doc, only=CUSTOM, since=(11, 3)) for name, doc in _HYPERV_NEW.items()},
        "spinlocks": Block(
            "spinlocks",
            "Retries of spinlocks.",
            {
                "state": Field(ON_OFF, "@state", "Whether it is there.", default="on"),
                "retries": Field(
                    number(4095), "@retries", "After how many tries the hypervisor is told.", default="8191"
                ),
            },
            only=CUSTOM,
            bare=True,
        ),
        "vendor_id": Block(
            "vendor_id",
            "The hypervisor's vendor as the guest sees it.",
            {
                "state": Field(ON_OFF, "@state", "Whether it is there.", default="on"),
                "value": Field(
                    text(
                        r"^[^,\x00-\x1f\x7f-\uffff]{1,12}$",
                        "up to 12 characters without a comma",
                        "has more than 12 characters, or a comma",
                        ("KVM Hv",),
                        ("a,b", "0123456789abc"),
                    ),
                    "@value",
                    "The text.",
                ),
            },
            only=CUSTOM,
            bare=True,
        ),
    },
    qemu="kvm",
)

KVM = Block(
    "kvm",
    "KVM's own features.",
    {
        "hidden": Field(ON_OFF, "hidden@state", "Hide KVM from the guest."),
        "hint_dedicated": Field(ON_OFF, "hint-dedicated@state", "Tell the guest that its processors are dedicated."),
        "poll_control": Field(ON_OFF, "poll-control@state", "The guest decides whether the host polls when halted."),
        "pv_ipi": Field(ON_OFF, "pv-ipi@state", "Paravirtual interrupts between processors."),
        "dirty_ring_size": Field(
            one_of(*(str(1 << exponent) for exponent in range(10, 17))),
            "dirty-ring@size",
            "Entries of the ring of changed pages; turns it on.",
            fixed={"state": "on"},
        ),
    },
    qemu="kvm",
)

FEATURES = Block(
    "features",
    "Features of machine and hypervisor.",
    {
        "acpi": Field(switch("on", "off"), "acpi?", "ACPI.", default="on"),
        "apic": Field(switch("on", "off"), "apic?", "APIC; default on for PCs."),
        "pae": Field(switch("on", "off"), "pae?", "Physical address extension."),
        "smm": Field(ON_OFF, "smm@state", "System management mode; uefi-secure turns it on."),
        "hap": Field(ON_OFF, "hap@state", "Hardware assisted paging.", qemu="never"),
        "vmport": Field(ON_OFF, "vmport@state", "VMware's port for the mouse; off helps some SPICE guests."),
        "pmu": Field(ON_OFF, "pmu@state", "Performance monitoring unit."),
        "ibs": Field(
            one_of("broken", "workaround", "fixed-ibs", "fixed-ccd", "fixed-na"),
            "ibs@value",
            "Indirect branch speculation (pSeries).",
            qemu="never",
        ),
        "ioapic": Field(
            one_of("kvm", "qemu"), "ioapic@driver", "Who has the I/O APIC; interrupt remapping (iommu) needs qemu."
        ),
        "hyperv": HYPERV,
        "kvm": KVM,
    },
)

CPU_MODES = ("host-passthrough", "host-model", "maximum", "custom")

CPU = Block(
    "cpu",
    "The processor.",
    {
        "mode": Field(
            one_of(*CPU_MODES),
            "@mode",
            "Default: custom with a model; else host-passthrough under KVM, maximum under emulation.",
        ),
        "check": Field(
            one_of("none", "partial", "full"), "@check", "How exactly the processor must match.", default="none"
        ),
        "migratable": Field(
            ON_OFF,
            "@migratable",
            "Only what survives a migration.",
            only={"mode": ("host-passthrough", "maximum")},
            qemu="kvm",
        ),
        "model": Field(WORD, "model", "The model's name, with mode custom.", fixed={"fallback": "forbid"}, only=CUSTOM),
        "topology": Block(
            "topology",
            "Its product is the number of processors (cpus).",
            {
                "sockets": Field(POSITIVE, "@sockets", "Sockets.", default="1"),
                "dies": Field(POSITIVE, "@dies", "Dies of a socket.", assumed="1"),
                "cores": Field(POSITIVE, "@cores", "Cores of a die.", default="1"),
                "threads": Field(POSITIVE, "@threads", "Threads of a core.", default="1"),
            },
        ),
        "cache": Block(
            "cache",
            "The processor's cache as the guest sees it.",
            {
                "level": Field(one_of("3"), "@level", "With mode emulate: always 3.", assumed="3"),
                "mode": Field(
                    one_of("emulate", "passthrough", "disable"), "@mode", "Where it comes from.", required=True
                ),
            },
            qemu="never",
        ),
        "features": Items(
            Block(
                "feature",
                "Single features.",
                {
                    "policy": Field(
                        one_of("force", "require", "optional", "disable", "forbid"),
                        "@policy",
                        "What is done about it.",
                        default="require",
                    ),
                    "name": Field(WORD, "@name", "Its name, such as vmx.", required=True),
                },
            )
        ),
        "numa": Items(
            Block(
                "numa/cell",
                "NUMA cells of the guest.",
                {
                    "id": Field(NUMBER, "@id", "Its number; default: counted from 0."),
                    "cpus": Field(CPUSET, "@cpus", "Its processors."),
                    "memory": Field(
                        KIB,
                        "@memory",
                        "Its memory; a number without a unit counts in unit.",
                        required=True,
                        fixed={"unit": "KiB"},
                    ),
                    "unit": Field(
                        one_of("KiB", "MiB", "GiB", other={"K": "KiB", "M": "MiB", "G": "GiB", "k": "KiB"}),
                        "@memory",
                        "The unit of memory, when that has none.",
                        assumed="KiB",
                        computed=True,
                    ),
                    "memaccess": Field(one_of("shared", "private"), "@memAccess", "Who may map it."),
                    "discard": Field(YES_NO, "@discard", "Drop its content when the VM ends."),
                },
                suffix={"memory": "unit"},
            )
        ),
    },
)

OFFSETS = ("utc", "localtime", "timezone", "variable", "absolute")
TIMERS = ("rtc", "pit", "hpet", "tsc", "kvmclock", "hypervclock", "armvtimer")
_TRACKING = {"name": ("rtc",)}
_TICKING = {"name": ("pit", "rtc", "hpet")}
_TSC = {"name": ("tsc",)}


def _delta(extra: str = "") -> Field:
    kind = text(rf"^([-+]?[0-9]{{1,18}}{extra})$", "seconds", "is no number of seconds", ("3600", "-60"), ("an hour",))
    return Field(
        kind, "@adjustment", "Seconds from the basis.", only={"offset": ("variable", "utc", "localtime")}, qemu="never"
    )


CLOCK = Block(
    "clock",
    "The guest's clock.",
    {
        "offset": Field(one_of(*OFFSETS), "@offset", "Where it starts.", default="utc"),
        "timezone": Field(
            text(r"^[A-Za-z0-9_.+/-]+$", "a time zone", "is no time zone", ("Europe/Vienna",), ("a b", "")),
            "@timezone",
            "Its time zone.",
            only={"offset": ("timezone",)},
            qemu="never",
        ),
        "adjustment": _delta(),
        "basis": Field(
            one_of("utc", "localtime"),
            "@basis",
            "What adjustment counts from.",
            only={"offset": ("variable",)},
            qemu="never",
        ),
        "start": Field(
            number(0, LAST_SECOND, "seconds"),
            "@start",
            "Seconds since 1970 that it starts with.",
            only={"offset": ("absolute",)},
        ),
        "timers": Items(
            Block(
                "timer",
                "Single timers.",
                {
                    "name": Field(one_of(*TIMERS), "@name", "Which one.", required=True),
                    "present": Field(YES_NO, "@present", "Whether the guest has it."),
                    "track": Field(one_of("guest", "wall", "realtime"), "@track", "What it follows.", only=_TRACKING),
                    "tickpolicy": Field(
                        one_of("delay", "catchup", "discard"),
                        "@tickpolicy",
                        "What becomes of ticks that were missed: pit has all, rtc no discard, hpet delay only.",
                        only=_TICKING,
                    ),
                    "frequency": Field(POSITIVE, "@frequency", "In Hz.", only=_TSC),
                    "mode": Field(
                        one_of("auto", "native", "emulate", "paravirt", "smpsafe"),
                        "@mode",
                        "How it is made.",
                        only=_TSC,
                        qemu="never",
                    ),
                    "catchup": Block(
                        "catchup",
                        "How fast missed ticks are delivered.",
                        {
                            "threshold": Field(POSITIVE, "@threshold", "Ticks missed before it begins."),
                            "slew": Field(POSITIVE, "@slew", "Rate of the ticks."),
                            "limit": Field(POSITIVE, "@limit", "The most ticks to catch up."),
                        },
                        only={"tickpolicy": ("catchup",)},
                        needs=("tickpolicy",),
                        qemu="never",
                    ),
                },
            )
        ),
    },
)

MACHINE: dict[str, Node] = {"features": FEATURES, "cpu": CPU, "clock": CLOCK}
