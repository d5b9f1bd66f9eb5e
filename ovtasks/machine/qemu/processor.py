"""``libvirt.cpu``, ``features`` and ``clock``.

Names of the CPU's properties: qemu-system-x86_64 -cpu help; QEMU's documentation, "Hyper-V Enlightenments".
"""

from __future__ import annotations

from datetime import UTC, datetime

from ovtasks.machine.qemu.block import Block
from ovtasks.machine.qemu.command import Command, switched

_TOPOLOGY = ("sockets", "dies", "cores", "threads")
_POLICIES = {"force": "on", "require": "on", "optional": "on", "disable": "off", "forbid": "off"}
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
"""The properties that are named below one by one."""
SPINLOCKS = 8191
_RTC_CLOCKS = {"guest": "vm", "wall": "host", "realtime": "rt"}


def cpu(block: Block, to: Command) -> None:
    mode, model = block.take("mode"), block.take("model")
    if mode == "custom" and model is None:
        raise block.refuse("mode", "custom needs a model (qemu-system-x86_64 -cpu help)")
    if model is not None and mode not in {None, "custom"}:
        raise block.refuse("model", f"mode {mode} has no model")
    # host-passthrough and host-model: all that the accelerator can do
    to.model = "max" if mode == "maximum" and to.kvm else model
    check = block.take("check")
    to.cpu |= {"partial": {"check": "on"}, "full": {"enforce": "on"}}.get(check or "", {}) if to.pc else {}
    if (migratable := block.take("migratable")) is not None:
        if not (to.pc and to.kvm):
            raise block.refuse("migratable", "it is a property of PCs under KVM")
        to.cpu["migratable"] = migratable
    for item in block.blocks("features"):
        name = item.take("name") or ""
        to.cpu[name] = _POLICIES[item.take("policy") or "require"]
    _topology(block.block("topology"), to)


def _topology(block: Block, to: Command) -> None:
    found = {name: block.number(name) for name in _TOPOLOGY}
    if all(number is None for number in found.values()):
        return
    product = 1
    for number in found.values():
        product *= number or 1
    if product != to.machine.cpus:
        hint = f"cpus: {product}, or sockets × dies × cores × threads = {to.machine.cpus}"
        raise block.wrong(f"it makes {product} processors, and the VM has {to.machine.cpus}", hint)
    to.topology |= {name: number if number is not None else 1 for name, number in found.items() if number != 1}


def features(block: Block, to: Command) -> None:
    if (acpi := block.take("acpi")) == "off":
        to.properties["acpi"] = acpi
    if block.take("apic") == "off":
        raise block.refuse("apic", "the backend qemu cannot leave it out")
    for name in ("smm", "vmport", "pae", "hyperv"):
        if name in block and not to.pc:
            raise block.refuse(name, f"{to.machine.arch} has no such thing")
    smm = block.take("smm")
    if smm == "off" and to.machine.boot.smm:
        raise block.refuse("smm", "this firmware needs it")
    if smm is not None and not to.machine.boot.smm:
        to.properties["smm"] = smm
    if (vmport := block.take("vmport")) is not None:
        to.properties["vmport"] = vmport
    if (ioapic := block.take("ioapic")) is not None:
        if not to.kvm and ioapic == "kvm":
            raise block.refuse("ioapic", "an emulated VM has QEMU's")
        to.properties["kernel-irqchip"] = ("on" if ioapic == "kvm" else "split") if to.kvm else None
    for name in ("pae", "pmu"):
        if (value := block.take(name)) is not None:
            to.cpu[name] = value
    if "hyperv" in block:
        _hyperv(block.block("hyperv"), to)
    if "kvm" in block:
        _kvm(block.block("kvm"), to)


def _need_kvm(block: Block, what: str, to: Command) -> None:
    if not to.kvm and block.value:
        first = next(iter(block.value))
        raise block.refuse(first, f"{what} need KVM, and this VM is emulated", hint="ov doctor says what KVM lacks")


def _hyperv(block: Block, to: Command) -> None:
    _need_kvm(block, "Hyper-V enlightenments", to)
    if block.take("mode") == "passthrough":
        to.cpu["hv-passthrough"] = "on"
    to.cpu |= {ours: value for theirs, ours in HYPERV.items() if (value := block.take(theirs)) is not None}
    spinlocks, vendor = block.block("spinlocks"), block.block("vendor_id")
    if "spinlocks" in block and spinlocks.take("state") != "off":
        to.cpu["hv-spinlocks"] = hex(spinlocks.number("retries") or SPINLOCKS)
    if "vendor_id" in block and vendor.take("state") != "off":
        if (value := vendor.take("value")) is None:
            raise vendor.missing("value", "value: up to 12 characters")
        to.cpu["hv-vendor-id"] = value


def _kvm(block: Block, to: Command) -> None:
    _need_kvm(block, "KVM's features", to)
    if (hidden := block.take("hidden")) is not None:
        to.cpu["kvm"] = "off" if hidden == "on" else "on"
    to.cpu |= {ours: value for theirs, ours in KVM.items() if (value := block.take(theirs)) is not None}
    if (size := block.take("dirty_ring_size")) is not None:
        to.accel["dirty-ring-size"] = size


def clock(block: Block, to: Command) -> None:
    offset = block.take("offset") or "utc"
    if offset == "absolute":
        seconds = block.number("start")
        if seconds is None:
            raise block.missing("start", "start: seconds since 1970")
        to.rtc["base"] = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
    elif offset in {"utc", "localtime"}:
        to.rtc["base"] = offset
    else:
        raise block.refuse("offset", f"QEMU alone has no {offset}", hint="utc, localtime or absolute; or libvirt")
    for item in block.blocks("timers"):
        _timer(item, to)


def _timer(item: Block, to: Command) -> None:
    name = item.take("name")
    if name == "rtc":
        if (track := item.take("track")) is not None:
            if track not in _RTC_CLOCKS:
                raise item.refuse("track", f"QEMU has no {track}", hint="guest, wall or realtime")
            to.rtc["clock"] = _RTC_CLOCKS[track]
        policy = item.one_of("tickpolicy", {"delay": "none", "catchup": "slew"})
        if policy is not None:
            to.rtc["driftfix"] = policy
        if item.take("present") == "no":
            raise item.refuse("present", "every machine has one")
        return
    present = switched(item.take("present"))
    if name == "hpet" and to.pc:
        to.properties["hpet"] = present
    elif name == "pit" and to.pc:
        to.properties["pit"] = present
        if (policy := item.one_of("tickpolicy", {"delay": "delay", "discard": "discard"})) is not None:
            if not to.kvm:
                raise item.refuse("tickpolicy", "it is a property of KVM's")
            to.add("global", driver="kvm-pit", property="lost_tick_policy", value=policy)
    elif name in {"kvmclock", "hypervclock"} and to.pc:
        if not to.kvm:
            raise item.refuse("name", f"{name} needs KVM, and this VM is emulated", hint="remove it")
        to.cpu["kvmclock" if name == "kvmclock" else "hv-time"] = present or "on"
    elif name == "tsc" and to.pc:
        if present is not None:
            to.cpu["tsc"] = present
        if (frequency := item.take("frequency")) is not None:
            to.cpu["tsc-frequency"] = frequency
    else:
        raise item.refuse("name", f"the backend qemu has no {name}")
