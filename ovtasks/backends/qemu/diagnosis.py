"""Turns the output of a QEMU that cannot start into errors that say what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from ovtasks.errors import InputError, OvError, RefusedError
from ovtasks.host import accel, ports
from ovtasks.host.packages import package_hint
from ovtasks.machine.machine import Machine

TAIL_LINES = 15


def missing_file(machine: Machine) -> OvError | None:
    """An error for the first file that the machine needs but that is missing. None if all are there."""
    again = f"ov vm create {machine.vm}" + (f" -i {machine.instance}" if machine.instance else "")
    firmware = f"install the firmware's package; then `{again}` chooses anew"
    wanted: tuple[tuple[str, Path | None, str], ...] = (
        ("disk", machine.disk, f"bring it back; or `{again}` makes a new one"),
        ("seed", machine.seed, f"`{again}` writes it anew"),
        ("firmware", machine.boot.code, firmware),
        ("variables file", machine.boot.nvram, f"`{again}` copies the template anew"),
        *((f"credential {name}", path, f"`{again}` writes it anew") for name, path in machine.credentials.items()),
    )
    for name, path, hint in wanted:
        if path is not None and not path.is_file():
            return OvError(f"the {name} of {machine.domain} is missing: {path}", hint=hint)
    return None


def diagnose(said: str, machine: Machine, status: int | None, log: Path) -> OvError:
    """The error for ``said``, QEMU's output before it ended with ``status`` (negative: killed by that signal)."""
    for pattern, make in _SIGNS:
        if found := re.search(pattern, said):
            return make(found, machine)
    end = f"was killed by signal {-status}" if status is not None and status < 0 else f"ended with status {status}"
    lines = "\n".join(f"  | {line}" for line in said.rstrip().splitlines()[-TAIL_LINES:])
    return OvError(f"QEMU {end}" + (f":\n{lines}" if lines else ""), hint=f"its output is in {log}")


def _port(found: re.Match[str], machine: Machine) -> OvError:
    protocol, address, port = found["protocol"], found["address"], int(found["port"])
    owner = ports.owner(port, protocol, address)
    if owner is None and port < 1024:
        return OvError(f"port {port} can only be opened by root", hint="forward a port above 1023")
    hint = "end that program, or choose another port (network.port_forwards, ssh.port)"
    return OvError(f"port {port} ({protocol}) of {address} is taken by {owner or 'another process'}", hint=hint)


def _locked(found: re.Match[str], machine: Machine) -> OvError:
    hint = "a disk can only be in one machine at a time; look for another QEMU, qemu-img or qemu-nbd (ps, fuser)"
    return RefusedError(f"a disk of {machine.domain} is in use by another process", hint=hint)


def _not_opened(found: re.Match[str], machine: Machine) -> OvError:
    path, reason = found["path"], found["reason"].strip().lower()
    if "no such file" in reason:
        whose = f"{machine.disk} or a disk of libvirt.devices.disks is or stands on it"
        return OvError(f"{path} is missing", hint=f"{whose}; bring it back")
    return OvError(f"{path} cannot be opened: {reason}", hint=f"ls -l '{path}'")


def _kvm(found: re.Match[str], machine: Machine) -> OvError:
    try:
        accel.choose("kvm", machine.arch)
    except OvError as e:
        return e
    return OvError(f"KVM cannot be used: {found[0].strip()}", hint="accel: tcg emulates the CPU, ten times slower")


def _bridge(found: re.Match[str], machine: Machine) -> OvError:
    bridge = machine.nic.bridge or "br0"
    if "denied by acl" in found[0] or "acl file" in found[0]:
        hint = f"as root: mkdir -p /etc/qemu && echo 'allow {bridge}' >> /etc/qemu/bridge.conf"
        return OvError(f"qemu-bridge-helper may not use the bridge {bridge}", hint=hint)
    hint = f"it must exist (ip link show {bridge}), and qemu-bridge-helper must be setuid root"
    return OvError(f"the bridge {bridge} cannot be joined: {found[0].strip()}", hint=hint)


def _memory(found: re.Match[str], machine: Machine) -> OvError:
    hint = "reduce `ram`, or stop another VM; free -h shows the memory"
    return OvError(f"the host has no {machine.ram >> 20} MiB of memory for {machine.domain}", hint=hint)


def _backing_store(found: re.Match[str], machine: Machine) -> OvError:
    path, reason = found["path"], found["reason"].strip().lower()
    hint = f"ls -ld '{path}'; libvirt.memory_backing says what kind of memory the guest gets"
    return OvError(f"QEMU cannot put the guest's memory into {path}: {reason}", hint=hint)


def _input(field: str, hint: str) -> Callable[[re.Match[str], Machine], OvError]:
    return lambda found, machine: InputError(f"{field}: {found[0].strip()}", hint=hint)


def _firmware_missing(found: re.Match[str], machine: Machine) -> OvError:
    return OvError(f"QEMU's BIOS is not installed: {found[0].strip()}", hint=package_hint("seabios"))


def _twice(found: re.Match[str], machine: Machine) -> OvError:
    return RefusedError(f"{machine.domain} is being started by another process", hint="wait for it: ov vm list")


def _module(found: re.Match[str], machine: Machine) -> OvError:
    kind = found["name"].replace("curl", "http, https, ftp")
    return InputError(f"libvirt.devices.disks: QEMU here cannot speak {kind}", hint=package_hint("qemu-block-extra"))


def _audio(found: re.Match[str], machine: Machine) -> OvError:
    hint = "type: none or file; qemu-system-x86_64 -audiodev help lists those that it has"
    return InputError(f"libvirt.devices.audio: {found[0].strip()}", hint=hint)


def _no_folder(found: re.Match[str], machine: Machine) -> OvError:
    path = found["path"]
    return InputError(f"libvirt.devices.filesystems: {path} cannot be opened", hint=f"mkdir -p '{path}'")


_SIGNS: tuple[tuple[str, Callable[[re.Match[str], Machine], OvError]], ...] = (
    (r"Could not set up host forwarding rule '(?P<protocol>tcp|udp):(?P<address>[\d.]+):(?P<port>\d+)-", _port),
    (r"Failed to get (?:shared )?\"[\w ]+\" lock", _locked),
    (r"Cannot lock pid file", _twice),
    (r"Could not access KVM kernel module.*|[Ff]ailed to initialize kvm.*|kvm_create_vm.*failed.*", _kvm),
    (r".*(?:denied by acl file|parse default acl file|failed to get mtu of bridge|failed to add interface).*", _bridge),
    (r".*bridge helper failed.*|.*launch bridge helper.*", _bridge),
    (r"can't open backing store (?P<path>\S+) for guest RAM: (?P<reason>.*)", _backing_store),
    (
        r".*(?:unable to map backing store|failed to (?:create|resize) memfd).*",
        _input("libvirt.memory_backing", "huge pages must be reserved: sysctl vm.nr_hugepages; or without hugepages"),
    ),
    (
        r".*(?:mlockall|mlock: |locking memory failed).*",
        _input("libvirt.memory_backing.locked", "a higher limit of locked memory: ulimit -l (limits.conf(5))"),
    ),
    (r".*(?:cannot set up guest memory|Cannot allocate memory).*", _memory),
    (r"module block-block-(?P<name>\w+) not found", _module),
    (r"module audio-audio-\w+ not found|.*audio driver.*|-audiodev .*does not accept value.*", _audio),
    (r"invalid object type: .*", _input("libvirt.devices", "a newer QEMU has it")),
    (
        r".*failed to initialize vcard.*",
        _input("libvirt.devices.smartcard", "an NSS database must be at /etc/pki/nssdb or at `database:` (certutil)"),
    ),
    (r"cannot initialize fsdev .*failed to open '(?P<path>[^']+)'", _no_folder),
    (
        r"Property '[\w-]+-cpu\.[^']+' not found",
        _input("libvirt.cpu.features", "qemu-system-x86_64 -cpu help lists the features"),
    ),
    (r"could not load PC BIOS.*", _firmware_missing),
    (r"[Uu]nsupported machine type.*", _input("machine", "qemu-system-x86_64 -machine help lists them")),
    (r"unable to find CPU model.*", _input("libvirt.cpu.model", "qemu-system-x86_64 -cpu help lists them")),
    (r"(?:Invalid SMP CPUs|Number of .*CPUs requested).*", _input("cpus", "fewer, or another `machine`")),
    (r"Could not open '(?P<path>[^']+)': (?P<reason>.*)", _not_opened),
)
