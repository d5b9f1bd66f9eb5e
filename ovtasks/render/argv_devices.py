"""The spec's ``libvirt:`` mapping as QEMU options, for the fields that have an easy equivalent.

Every value that is rendered is taken out of the mapping; what is left at the end is refused by its full path. So
nothing that was written is ever silently ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ovtasks.errors import InputError, InputErrors
from ovtasks.render.libvirt.read import Read, Value, read_machine
from ovtasks.render.machine import Machine
from ovtasks.render.option import device, listener, option

SPICE_SOCKET = "spice.sock"
TPM_SOCKET = "tpm.sock"
CHANNEL_PREFIX = "channel-"
AGENT = "org.qemu.guest_agent.0"
SPICE_AGENT = "com.redhat.spice.0"
LOOPBACK = "127.0.0.1"
LIBVIRT_HINT = "remove it, or let the VM run on libvirt (backend: libvirt)"

_CHANNEL = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_VGA = {"virtio": "virtio-vga", "vga": "VGA", "cirrus": "cirrus-vga", "qxl": "qxl-vga", "bochs": "bochs-display"}
_DISPLAYS = {**_VGA, "ramfb": "ramfb"}
# libvirt's attribute (KiB, or a count) → the property of QEMU's device and the factor to its unit.
_VIDEO_SIZES = {
    ("virtio", "heads"): ("max_outputs", 1, 1),
    ("vga", "vram"): ("vgamem_mb", 1, 1024),
    ("cirrus", "vram"): ("vgamem_mb", 1, 1024),
    ("bochs", "vram"): ("vgamem", 1024, 1),
    ("qxl", "heads"): ("max_outputs", 1, 1),
    ("qxl", "ram"): ("ram_size", 1024, 1),
    ("qxl", "vram"): ("vram_size", 1024, 1),
    ("qxl", "vgamem"): ("vgamem_mb", 1, 1024),
}


@dataclass
class Block:
    """A mapping that remembers what nobody has taken; ``path`` is its own, as a user writes it."""

    value: Read
    path: str = "libvirt"
    seen: set[str] = field(default_factory=set)
    children: list[Block] = field(default_factory=list)

    def take(self, key: str) -> str | None:
        """The text at ``key``; None: there is none."""
        self.seen.add(key)
        value = self.value.get(key)
        return value if isinstance(value, str) else None

    def block(self, key: str) -> Block:
        """The mapping at ``key``; an empty one where there is none."""
        self.seen.add(key)
        value = self.value.get(key)
        return self._child(value if isinstance(value, Mapping) else {}, f"{self.path}.{key}")

    def blocks(self, key: str) -> list[Block]:
        """The list of mappings at ``key``."""
        self.seen.add(key)
        value = self.value.get(key, ())
        items = [item for item in value if isinstance(item, Mapping)] if isinstance(value, Sequence) else []
        return [self._child(item, f"{self.path}.{key}[{index}]") for index, item in enumerate(items)]

    def refuse(self, key: str, reason: str) -> InputError:
        """An error about the value at ``key``."""
        return InputError(f"{self.path}.{key}: {reason}", hint=LIBVIRT_HINT)

    def left(self) -> Iterator[str]:
        """The paths of what was not taken."""
        for key, value in self.value.items():
            if key not in self.seen:
                yield from _leaves(value, f"{self.path}.{key}")
        for child in self.children:
            yield from child.left()

    def _child(self, value: Read, path: str) -> Block:
        child = Block(value, path)
        self.children.append(child)
        return child


def _leaves(value: Value, path: str) -> Iterator[str]:
    if isinstance(value, str):
        yield path
    elif isinstance(value, Mapping):
        for key, below in value.items():
            yield from _leaves(below, f"{path}.{key}")
    else:
        for index in range(len(value)):
            yield from _leaves(value[index], f"{path}[{index}]")


@dataclass(frozen=True)
class Extras:
    """What the mapping asks for: words of the command line by what they belong to.

    ``machine`` and ``cpu`` are more properties of ``-machine`` and ``-cpu``; ``cpu_model`` None: the accelerator's own.
    ``spice``: a SPICE server is among the ``words``. ``tpm`` is the version of the emulated TPM, None without one.
    """

    machine: Mapping[str, str]
    cpu: Mapping[str, str]
    cpu_model: str | None
    words: tuple[str, ...]
    spice: bool
    tpm: str | None


def extras(machine: Machine) -> Extras:
    """The whole mapping.

    :raises InputError: a field that plain QEMU does not get from us yet, or whose value cannot be had.
    """
    root = Block(read_machine(machine))
    devices = root.block("devices")
    cpu, model = _cpu(root.block("cpu"), machine)
    features, flags = _features(root.block("features"), machine)
    graphics, spice = _graphics(devices.blocks("graphics"), machine)
    tpm, version = _tpm(devices.blocks("tpm"), machine)
    words = [
        *_rng(devices.blocks("rng")),
        *_balloon(devices.block("memballoon")),
        *_video(devices.blocks("video"), machine, wanted=bool(graphics)),
        *graphics,
        *_channels(devices.blocks("channels"), machine.sockets, spice=spice),
        *tpm,
    ]
    errors = [InputError(f"{path}: the backend qemu has no such setting", hint=LIBVIRT_HINT) for path in root.left()]
    if errors:
        raise errors[0] if len(errors) == 1 else InputErrors(errors)
    return Extras(features, {**cpu, **flags}, model, tuple(words), spice, version)


def _cpu(block: Block, machine: Machine) -> tuple[dict[str, str], str | None]:
    mode, model = block.take("mode"), block.take("model")
    if mode == "custom" and model is None:
        raise block.refuse("mode", "custom needs a model (qemu-system-x86_64 -cpu help)")
    if model is not None and mode not in {None, "custom"}:
        raise block.refuse("model", f"mode {mode} has no model")
    if mode == "maximum" and model is None and machine.accel == "kvm":
        return {}, "max"
    return {}, model  # host-passthrough and host-model: all that the accelerator can do


def _features(block: Block, machine: Machine) -> tuple[dict[str, str], dict[str, str]]:
    """Properties of the machine, properties of the CPU."""
    for name in ("acpi", "apic"):
        if block.take(name) == "off":
            raise block.refuse(name, "the backend qemu cannot leave it out")
    found: dict[str, str] = {}
    smm = block.take("smm")
    if smm == "off" and machine.boot.smm:
        raise block.refuse("smm", "this firmware needs it")
    if smm is not None and not machine.boot.smm:
        found["smm"] = smm
    if (vmport := block.take("vmport")) is not None:
        found["vmport"] = vmport
    pmu = block.take("pmu")
    return found, {"pmu": pmu} if pmu is not None else {}


def _rng(blocks: list[Block]) -> Iterator[str]:
    """One that reads the host's /dev/urandom, unless others are declared."""
    for index, block in enumerate(blocks or [Block({})]):
        block.take("model")
        backend, rate = block.take("backend") or "/dev/urandom", block.block("rate")
        name = f"rng{index}"
        if backend == "builtin":
            yield from ("-object", option("rng-builtin", id=name))
        elif backend.startswith("/"):
            yield from ("-object", option("rng-random", id=name, filename=backend))
        else:
            raise block.refuse("backend", f"'{backend}' is neither builtin nor an absolute path")
        limit = {"max-bytes": rate.take("bytes"), "period": rate.take("period")}
        slot = {"addr": "0x6"} if index == 0 else {}
        yield from device("virtio-rng-pci", id=f"{name}-device", rng=name, **limit, **slot)


def _balloon(block: Block) -> Iterator[str]:
    model, deflate, period = block.take("model"), block.take("autodeflate"), block.block("stats").take("period")
    if model == "virtio":
        more = {"deflate-on-oom": deflate, "guest-stats-polling-interval": period}
        yield from device("virtio-balloon-pci", id="balloon0", **more)
    elif deflate is not None:
        raise block.refuse("autodeflate", "it needs model: virtio")


def _video(blocks: list[Block], machine: Machine, *, wanted: bool) -> Iterator[str]:
    """The cards; a display server without one gets a virtio card."""
    for index, block in enumerate(blocks or ([Block({"model": "virtio"})] if wanted else [])):
        model = block.take("model") or "virtio"
        if block.take("accel3d") == "yes":
            raise block.refuse("accel3d", "the backend qemu has no 3D acceleration")
        if block.take("primary") == ("no" if index == 0 else "yes"):
            raise block.refuse("primary", "the first card is the primary one")
        if model == "virtio":
            block.take("vram")  # it has none, and libvirt passes none on
        sizes: dict[str, object] = {}
        for (name, key), (prop, factor, divisor) in _VIDEO_SIZES.items():
            if name == model and (text := block.take(key)) is not None:
                sizes[prop] = int(text) * factor // divisor
        if model == "none":
            continue
        if model not in _DISPLAYS:
            raise block.refuse("model", f"the backend qemu has no {model}")
        yield from device(_card(model, index, machine), id=f"video{index}", **sizes)


def _card(model: str, index: int, machine: Machine) -> str:
    """Only the first card is a VGA, and only PCs have one at all."""
    if model == "virtio" and (index > 0 or machine.arch != "x86_64"):
        return "virtio-gpu-pci"
    if model == "qxl" and index > 0:
        return "qxl"
    return _DISPLAYS[model]


def _graphics(blocks: list[Block], machine: Machine) -> tuple[list[str], bool]:
    """The words, and whether SPICE is among them."""
    words: list[str] = []
    types = [block.take("type") for block in blocks]
    for block, type_ in zip(blocks, types, strict=True):
        if types.count(type_) > 1:
            raise block.refuse("type", f"the backend qemu has one {type_} server")
        port, listen, auto = block.take("port"), _address(block.blocks("listen")), block.take("autoport") != "no"
        if type_ == "spice":
            words += ("-spice", _spice(port, listen, machine.sockets))
        elif type_ == "vnc":
            words += ("-vnc", _vnc(block, port, listen))
        else:
            raise block.refuse("type", "spice or vnc")
        if port is None and not auto:
            raise block.refuse("autoport", "without it, port: is needed")
    if blocks and machine.arch != "x86_64":  # a PC has PS/2 ports
        words += [*device("virtio-keyboard-pci", id="keyboard0"), *device("virtio-tablet-pci", id="tablet0")]
    return words, "spice" in types


def _address(listeners: list[Block]) -> str:
    """Where a display server listens; the mapping's other shapes are left to be refused."""
    for block in listeners:
        if block.take("type") in {None, "address"}:
            return block.take("address") or LOOPBACK
        raise block.refuse("type", "address")
    return LOOPBACK


def _spice(port: str | None, listen: str, sockets: Path) -> str:
    """QEMU chooses no port for SPICE: without one it listens on a Unix socket that only the VM's owner can reach."""
    where = {"addr": listen, "port": port} if port is not None else {"unix": "on", "addr": sockets / SPICE_SOCKET}
    return option(None, **where, **{"disable-ticketing": "on"})


def _vnc(block: Block, port: str | None, listen: str) -> str:
    address = f"[{listen}]" if ":" in listen else listen
    if port is None:
        return option(f"{address}:0", to=199)
    if int(port) < 5900:
        raise block.refuse("port", "VNC's ports begin at 5900")
    return option(f"{address}:{int(port) - 5900}")


def _channels(blocks: list[Block], sockets: Path, *, spice: bool) -> Iterator[str]:
    """Beside the guest agent's channel, which every VM has. One of type unix gets a socket named after it."""
    for index, block in enumerate(blocks):
        type_, name = block.take("type") or "unix", block.take("name")
        if type_ == "unix" and name in {None, AGENT}:
            continue
        ident = f"channel{index}"
        if type_ == "spicevmc":
            if not spice:
                raise block.refuse("type", "spicevmc needs devices.graphics with type: spice")
            yield from ("-chardev", option("spicevmc", id=ident, name="vdagent"))
        else:
            if not _CHANNEL.fullmatch(name or ""):
                raise block.refuse("name", "letters, digits, dot, hyphen, underscore")
            yield from ("-chardev", listener(ident, sockets / f"{CHANNEL_PREFIX}{name}.sock"))
        yield from device("virtserialport", id=f"{ident}-device", chardev=ident, name=name or SPICE_AGENT)


def _tpm(blocks: list[Block], machine: Machine) -> tuple[list[str], str | None]:
    """The words, and the version of the TPM that swtpm(8) emulates behind its socket."""
    if not blocks:
        return [], None
    if len(blocks) > 1:
        raise blocks[1].refuse("model", "a machine has one TPM")
    pc = machine.arch == "x86_64"
    model = blocks[0].take("model") or ("tpm-crb" if pc else "tpm-tis")
    backend = blocks[0].block("backend")
    backend.take("type")
    if model == "tpm-spapr" or (model == "tpm-crb" and not pc):
        raise blocks[0].refuse("model", f"{machine.arch} has no {model}")
    words = [
        *("-chardev", option("socket", id="tpm0-swtpm", path=machine.sockets / TPM_SOCKET)),
        *("-tpmdev", option("emulator", id="tpm0", chardev="tpm0-swtpm")),
        *device(model if pc else "tpm-tis-device", id="tpm0-device", tpmdev="tpm0"),
    ]
    return words, backend.take("version") or "2.0"
