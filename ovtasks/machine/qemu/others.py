"""The devices that are left: random numbers, TPM, watchdog, balloon, memory, IOMMU, vsock, panic, cryptography."""

from __future__ import annotations

from ovtasks.machine.qemu.block import Block
from ovtasks.machine.qemu.characters import chardev
from ovtasks.machine.qemu.command import Command, Tpm, virtio
from ovtasks.machine.qemu.names import TPM_SOCKET
from ovtasks.machine.qemu.option import device, option

_ACTIONS = ("reset", "shutdown", "poweroff", "pause", "none", "inject-nmi")
SHMEM_SIZE = 4  # MiB, as libvirt has it
VIRTIO_SUFFIXES = {"virtio": "", "virtio-transitional": "-transitional", "virtio-non-transitional": "-non-transitional"}
"""libvirt's models of a virtio device → what QEMU appends to its name."""


def rng(blocks: list[Block], to: Command) -> None:
    """One that reads the host's /dev/urandom, unless others are declared."""
    for index, block in enumerate(blocks or [Block({})]):
        suffix = block.one_of("model", VIRTIO_SUFFIXES, "virtio")
        backend, rate, name = block.take("backend") or "/dev/urandom", block.block("rate"), f"rng{index}"
        if backend == "builtin":
            to.add("object", "rng-builtin", id=name)
        elif backend == "egd":
            to.add("object", "rng-egd", id=name, chardev=chardev(block, f"{name}-egd", to, default="unix"))
        elif backend.startswith("/"):
            to.add("object", "rng-random", id=name, filename=backend)
        else:
            raise block.refuse("backend", f"'{backend}' is neither builtin, egd nor an absolute path")
        limit = {"max-bytes": rate.take("bytes"), "period": rate.take("period")}
        slot = {"addr": "0x6"} if index == 0 else {}
        more = virtio(block.block("driver"))
        to.device(f"virtio-rng-pci{suffix}", id=f"{name}-device", rng=name, **limit, **slot, **more)


def balloon(block: Block, to: Command) -> None:
    model = block.take("model")
    keys = {"autodeflate": "deflate-on-oom", "free_page_reporting": "free-page-reporting"}
    more: dict[str, object] = {ours: block.take(theirs) for theirs, ours in keys.items()}
    more["guest-stats-polling-interval"] = block.block("stats").take("period")
    more |= virtio(block.block("driver"))
    used = any(value is not None for value in more.values())
    if model in VIRTIO_SUFFIXES or (model is None and used):
        suffix = VIRTIO_SUFFIXES[model or "virtio"]
        to.device(f"virtio-balloon-pci{suffix}", id="balloon0", **more)
    elif used:
        key = next((key for key in ("autodeflate", "free_page_reporting") if key in block), "model")
        raise block.refuse(key, "it needs model: virtio")


def tpm(blocks: list[Block], to: Command) -> None:
    if not blocks:
        return
    if len(blocks) > 1:
        raise blocks[1].wrong("a machine has one TPM", "remove one of them")
    block, backend = blocks[0], blocks[0].block("backend")
    model = block.take("model") or ("tpm-crb" if to.pc else "tpm-tis")
    if model == "tpm-spapr" or (model == "tpm-crb" and not to.pc):
        raise block.refuse("model", f"{to.machine.arch} has no {model}")
    kind = backend.take("type") or "emulator"
    if kind == "passthrough":
        to.add("tpmdev", "passthrough", id="tpm0", path=backend.take("path") or "/dev/tpm0")
    else:
        path: object = to.machine.sockets / TPM_SOCKET
        if kind == "emulator":
            to.helpers.append(Tpm(backend.take("version") or "2.0"))
            backend.take("persistent_state")  # it is kept in the VM's folder until that goes
        else:
            path = backend.take("source")
        to.add("chardev", "socket", id="tpm0-swtpm", path=path)
        to.add("tpmdev", "emulator", id="tpm0", chardev="tpm0-swtpm")
    to.device(model if to.pc else "tpm-tis-device", id="tpm0-device", tpmdev="tpm0")


def watchdogs(blocks: list[Block], to: Command) -> None:
    actions: set[str] = set()
    for index, block in enumerate(blocks):
        model, action = block.take("model"), block.take("action") or "reset"
        if action not in _ACTIONS:
            raise block.refuse("action", f"QEMU alone has no {action}, but {', '.join(_ACTIONS)}")
        if model == "itco":
            if not to.q35:
                raise block.refuse("model", f"{to.machine.machine} has no itco", hint="model: i6300esb")
            to.add("global", driver="ICH9-LPC", property="noreboot", value="off")
        elif model == "i6300esb" or (model == "ib700" and to.pc):
            to.device(str(model), id=f"watchdog{index}")
        else:
            raise block.refuse("model", f"{to.machine.arch} has no {model}")
        actions.add(action)
        if len(actions) > 1:
            raise block.refuse("action", "QEMU has one action for all watchdogs")
    for action in actions:
        to.add("action", watchdog=action)


def shmem(blocks: list[Block], to: Command) -> None:
    for index, block in enumerate(blocks):
        name, role = block.take("name"), block.take("role")
        model = block.block("model").take("type") or "ivshmem-plain"
        size, ident = block.take("size"), f"shmem{index}"
        master = {"master": "on", "peer": "off"}.get(role or "")
        if model == "ivshmem-plain":
            where = {"size": f"{size or SHMEM_SIZE}M", "mem-path": f"/dev/shm/{name}", "share": "on"}
            to.add("object", "memory-backend-file", id=f"{ident}-memory", **where)
            to.device("ivshmem-plain", id=ident, memdev=f"{ident}-memory", master=master)
            continue
        if size is not None:
            raise block.refuse("size", "the server decides that")
        msi = block.block("msi")
        path = block.block("server").take("path") or f"/var/lib/libvirt/shmem-{name}-sock"
        to.add("chardev", "socket", id=f"{ident}-server", path=path)
        more = {"vectors": msi.take("vectors"), "ioeventfd": msi.take("ioeventfd"), "master": master}
        to.device("ivshmem-doorbell", id=ident, chardev=f"{ident}-server", **more)


def iommu(block: Block, to: Command) -> None:
    """An Intel one comes before all PCI devices: those that are there already would go past it."""
    model = block.take("model")
    if model == "smmuv3":
        if to.machine.arch != "aarch64":
            raise block.refuse("model", f"{to.machine.arch} has no smmuv3", hint="model: intel, or virtio")
        to.properties["iommu"] = "smmuv3"
    elif model == "virtio":
        to.device("virtio-iommu-pci", id="iommu0")
    elif model == "intel":
        if not to.q35:
            raise block.refuse("model", f"{to.machine.machine} has no intel", hint="machine: q35, or model: virtio")
        driver = block.block("driver")
        keys = {"intremap": "intremap", "caching_mode": "caching-mode", "eim": "eim", "iotlb": "device-iotlb"}
        values = {ours: driver.take(theirs) for theirs, ours in keys.items()}
        if values["eim"] == "on" and not to.kvm:
            raise driver.refuse("eim", "it needs KVM, and this VM is emulated", hint="remove it")
        if to.kvm and "on" in {values["intremap"], values["eim"]}:
            to.properties["kernel-irqchip"] = "split"
        to.early += device("intel-iommu", id="iommu0", **values, **{"aw-bits": driver.take("aw_bits")})


def vsock(block: Block, to: Command, *, declared: bool) -> None:
    """The VM's own address unless another one is written; without vhost-vsock it is none."""
    cid = block.block("cid")
    auto, address = cid.take("auto"), cid.number("address")
    suffix = block.one_of("model", VIRTIO_SUFFIXES, "virtio")
    more = virtio(block.block("driver"))
    if to.machine.cid is not None:
        number = address if address is not None and auto != "yes" else to.machine.cid
        values = {"id": "vsock0", "addr": "0x7", "guest-cid": number}
        to.words += device(f"vhost-vsock-pci{suffix}", **values, **more)
    elif declared:
        hint = "as root: modprobe vhost_vsock; or remove libvirt.devices.vsock"
        raise block.wrong("this host's guests cannot have vsock now", hint)


def panics(blocks: list[Block], to: Command) -> None:
    for index, block in enumerate(blocks):
        model = block.take("model") or ("isa" if to.pc else "pvpanic")
        if model == "isa" and to.pc:
            address = block.block("address")
            address.take("type")
            to.device("pvpanic", id=f"panic{index}", ioport=address.take("iobase"))
        elif model == "pvpanic":
            to.device("pvpanic-pci", id=f"panic{index}")
        elif model == "hyperv" and to.pc:
            if not to.kvm:
                raise block.refuse("model", "hyperv needs KVM", hint="model: isa")
            to.cpu["hv-crash"] = "on"
        else:
            raise block.refuse("model", f"{to.machine.arch} has no {model}")


def crypto(blocks: list[Block], to: Command) -> None:
    for index, block in enumerate(blocks):
        block.take("model"), block.take("type")
        backend, ident = block.block("backend"), f"crypto{index}"
        kind = {"builtin": "cryptodev-backend-builtin", "lkcf": "cryptodev-backend-lkcf"}
        name = backend.one_of("model", kind, "builtin") or ""
        queues = backend.number("queues")
        if queues not in {None, 1} and "builtin" in name:
            raise backend.refuse("queues", "QEMU's own has one", hint="model: lkcf")
        to.words += ("-object", option(name, id=ident, queues=queues))
        to.device("virtio-crypto-pci", id=f"{ident}-device", cryptodev=ident)
