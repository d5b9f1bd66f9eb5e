"""``libvirt.features``: what machine and hypervisor offer."""

from __future__ import annotations

from ovtasks.errors import InputError
from ovtasks.machine.draft import Draft
from ovtasks.machine.field import Block, Field
from ovtasks.machine.kinds import KIB, ON_OFF, number, one_of, switch, text
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.tree import Faults, Tree
from ovtasks.values.arch import arch_of

TRANSLATED_MIB = 256
"""QEMU's own 1024 MiB make a guest's boot a seventh slower, because the host's caches hold less of them, and cost each
emulated VM some 800 MiB of the host's memory."""
CUSTOM = {"mode": ("custom",)}

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

_HYPERV_ROWS = Block(
    "hyperv",
    "Hyper-V enlightenments, for Windows guests.",
    {
        "mode": Field(
            one_of("custom", "passthrough"),
            "@mode",
            "custom: the features below; passthrough: all features of the host.",
            assumed="custom",
        ),
        **{name: Field(ON_OFF, f"{name}@state", doc, only=CUSTOM) for name, doc in _HYPERV.items()},
        **{name: Field(ON_OFF, f"{name}@state", doc, only=CUSTOM, since=(11, 3)) for name, doc in _HYPERV_NEW.items()},
        "spinlocks": Block(
            "spinlocks",
            "Retries of spinlocks.",
            {
                "state": Field(ON_OFF, "@state", "Turns it on or off.", default="on"),
                "retries": Field(
                    number(4095),
                    "@retries",
                    "The number of attempts before the guest notifies the hypervisor.",
                    default="8191",
                ),
            },
            only=CUSTOM,
            bare=True,
        ),
        "vendor_id": Block(
            "vendor_id",
            "The hypervisor's vendor as the guest sees it.",
            {
                "state": Field(ON_OFF, "@state", "Turns it on or off.", default="on"),
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

_KVM_ROWS = Block(
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
            "Turns on the ring of changed pages, with this number of entries.",
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
            one_of("kvm", "qemu"),
            "ioapic@driver",
            "What emulates the I/O APIC; interrupt remapping (iommu) needs qemu.",
        ),
        "tb_cache": Field(
            KIB,
            "tcg/tb-cache",
            "Memory for translated code in an emulated VM; default 256M.",
            fixed={"unit": "KiB"},  # as libvirt writes it
            qemu="tcg",
        ),
        "hyperv": _HYPERV_ROWS,
        "kvm": _KVM_ROWS,
    },
)

HYPERV = {
    "relaxed": "hv-relaxed",
    "vapic": "hv-vapic",
    "vpindex": "hv-vpindex",
    "runtime": "hv-runtime",
    "synic": "hv-synic",
    "stimer": "hv-stimer",
    "reset": "hv-reset",
    "frequencies": "hv-frequencies",
    "reenlightenment": "hv-reenlightenment",
    "tlbflush": "hv-tlbflush",
    "ipi": "hv-ipi",
    "evmcs": "hv-evmcs",
    "avic": "hv-avic",
    "emsr_bitmap": "hv-emsr-bitmap",
    "xmm_input": "hv-xmm-input",
}

KVM = {"hint_dedicated": "kvm-hint-dedicated", "poll_control": "kvm-poll-control", "pv_ipi": "kvm-pv-ipi"}
OTHERS = (
    *("check", "enforce", "hv-crash", "hv-passthrough", "hv-spinlocks", "hv-time", "hv-vendor-id", "kvm", "kvmclock"),
    *("migratable", "pae", "pmu", "tsc", "tsc-frequency"),
)
"""All other CPU properties that we set: here, and in the files of the processor and the clock."""
SPINLOCKS = 8191


def rules(tree: Tree) -> Faults:
    """``vendor_id`` has a value, unless it is off."""
    hyperv = tree.block("features").block("hyperv")
    vendor = hyperv.block("vendor_id")
    if hyperv.has("vendor_id") and not vendor.has("value") and vendor.switch("state") is not False:
        yield vendor.fault("is missing", "value: a text of up to 12 characters", "value")


def complete(wanted: Tree, draft: Draft) -> Tree:
    """The features with the defaults that firmware and machine ask for.

    :raises InputError: a feature contradicts the firmware."""
    machine = draft.machine
    if machine.boot.smm and wanted.text("smm") == "off":
        hint = "remove libvirt.features.smm, or choose uefi-insecure"
        path = ("libvirt", "features", "smm")
        raise InputError("firmware uefi-secure needs SMM, but libvirt.features.smm turns it off", hint=hint, field=path)
    if machine.boot.smm and wanted.text("smm") is None:
        draft.notes.append("firmware uefi-secure: features.smm is on")
    if machine.accel == "kvm" and wanted.has("tb_cache"):
        raise _untranslated(wanted)
    smm = "on" if machine.boot.smm else None
    cache = None if machine.accel == "kvm" else str(TRANSLATED_MIB << 10)
    return wanted.over(acpi="on", apic="on" if arch_of(machine.arch).bios else "off", smm=smm, tb_cache=cache)


def _untranslated(block: Tree) -> InputError:
    return block.refuse("tb_cache", "KVM translates no code", hint="remove it, or accel: tcg")


def words(block: Tree, to: Command) -> None:
    """Say the features in QEMU's words.

    :raises InputError: plain QEMU, or this host, lacks what a field asks for."""
    if (acpi := block.text("acpi")) == "off":
        to.properties["acpi"] = acpi
    if block.text("apic") == "off":
        raise block.refuse("apic", "the backend qemu cannot leave it out")
    for name in ("smm", "vmport", "pae", "hyperv"):
        if name in block and not to.pc:
            raise block.refuse(name, f"{to.machine.arch} has no such thing")
    smm = block.text("smm")
    if smm == "off" and to.machine.boot.smm:
        raise block.refuse("smm", "this firmware needs it")
    if smm is not None and not to.machine.boot.smm:
        to.properties["smm"] = smm
    if (vmport := block.text("vmport")) is not None:
        to.properties["vmport"] = vmport
    if (ioapic := block.text("ioapic")) is not None:
        if not to.kvm and ioapic == "kvm":
            raise block.refuse("ioapic", "an emulated VM has QEMU's")
        to.properties["kernel-irqchip"] = ("on" if ioapic == "kvm" else "split") if to.kvm else None
    if to.kvm and "tb_cache" in block:
        raise _untranslated(block)
    if not to.kvm:
        to.accel["tb-size"] = max((block.number("tb_cache") or TRANSLATED_MIB << 10) >> 10, 1)
    for name in ("pae", "pmu"):
        if (value := block.text(name)) is not None:
            to.cpu[name] = value
    if "hyperv" in block:
        _hyperv(block.block("hyperv"), to)
    if "kvm" in block:
        _kvm(block.block("kvm"), to)


def _need_kvm(block: Tree, what: str, to: Command) -> None:
    if not to.kvm and block.value:
        first = next(iter(block.value))
        raise block.refuse(first, f"{what} need KVM, and this VM is emulated", hint="ov doctor says what KVM lacks")


def _hyperv(block: Tree, to: Command) -> None:
    _need_kvm(block, "Hyper-V enlightenments", to)
    if block.text("mode") == "passthrough":
        to.cpu["hv-passthrough"] = "on"
    to.cpu |= {ours: value for theirs, ours in HYPERV.items() if (value := block.text(theirs)) is not None}
    spinlocks, vendor = block.block("spinlocks"), block.block("vendor_id")
    if "spinlocks" in block and spinlocks.text("state") != "off":
        to.cpu["hv-spinlocks"] = hex(spinlocks.number("retries") or SPINLOCKS)
    if "vendor_id" in block and vendor.text("state") != "off":
        if (value := vendor.text("value")) is None:
            raise vendor.missing("value", "value: up to 12 characters")
        to.cpu["hv-vendor-id"] = value


def _kvm(block: Tree, to: Command) -> None:
    _need_kvm(block, "KVM's features", to)
    if (hidden := block.text("hidden")) is not None:
        to.cpu["kvm"] = "off" if hidden == "on" else "on"
    to.cpu |= {ours: value for theirs, ours in KVM.items() if (value := block.text(theirs)) is not None}
    if (size := block.text("dirty_ring_size")) is not None:
        to.accel["dirty-ring-size"] = size
