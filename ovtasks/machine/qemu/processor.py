"""``libvirt.cpu``, ``features`` and ``clock``.

Names of the CPU's properties: qemu-system-x86_64 -cpu help; QEMU's documentation, "Hyper-V Enlightenments".
"""

from __future__ import annotations

from datetime import UTC, datetime

from ovtasks.machine.qemu.command import Command, switched
from ovtasks.machine.tree import Tree

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


def cpu(block: Tree, to: Command) -> None:
    mode, model = block.text("mode"), block.text("model")
    if mode == "custom" and model is None:
        raise block.refuse("mode", "custom needs a model (qemu-system-x86_64 -cpu help)")
    if model is not None and mode not in {None, "custom"}:
        raise block.refuse("model", f"mode {mode} has no model")
    # host-passthrough and host-model: all that the accelerator can do
    to.model = "max" if mode == "maximum" and to.kvm else model
    check = block.text("check")
    to.cpu |= {"partial": {"check": "on"}, "full": {"enforce": "on"}}.get(check or "", {}) if to.pc else {}
    if (migratable := block.text("migratable")) is not None:
        if not (to.pc and to.kvm):
            raise block.refuse("migratable", "it is a property of PCs under KVM")
        to.cpu["migratable"] = migratable
    for item in block.items("features"):
        name = item.text("name") or ""
        to.cpu[name] = _POLICIES[item.text("policy") or "require"]
    _topology(block.block("topology"), to)


def _topology(block: Tree, to: Command) -> None:
    found = {name: block.number(name) for name in _TOPOLOGY}
    if all(number is None for number in found.values()):
        return
    product = 1
    for number in found.values():
        product *= number or 1
    if product != to.machine.cpus:
        hint = f"cpus: {product}, or sockets × dies × cores × threads = {to.machine.cpus}"
        raise block.error(f"it makes {product} processors, and the VM has {to.machine.cpus}", hint)
    to.topology |= {name: number if number is not None else 1 for name, number in found.items() if number != 1}


def features(block: Tree, to: Command) -> None:
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


def clock(block: Tree, to: Command) -> None:
    offset = block.text("offset") or "utc"
    if offset == "absolute":
        seconds = block.number("start")
        if seconds is None:
            raise block.missing("start", "start: seconds since 1970")
        to.rtc["base"] = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
    elif offset in {"utc", "localtime"}:
        to.rtc["base"] = offset
    else:
        raise block.refuse("offset", f"QEMU alone has no {offset}", hint="utc, localtime or absolute; or libvirt")
    for item in block.items("timers"):
        _timer(item, to)


def _timer(item: Tree, to: Command) -> None:
    name = item.text("name")
    if name == "rtc":
        if (track := item.text("track")) is not None:
            if track not in _RTC_CLOCKS:
                raise item.refuse("track", f"QEMU has no {track}", hint="guest, wall or realtime")
            to.rtc["clock"] = _RTC_CLOCKS[track]
        policy = item.one_of("tickpolicy", {"delay": "none", "catchup": "slew"})
        if policy is not None:
            to.rtc["driftfix"] = policy
        if item.text("present") == "no":
            raise item.refuse("present", "every machine has one")
        return
    present = switched(item.text("present"))
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
        if (frequency := item.text("frequency")) is not None:
            to.cpu["tsc-frequency"] = frequency
    else:
        raise item.refuse("name", f"the backend qemu has no {name}")
