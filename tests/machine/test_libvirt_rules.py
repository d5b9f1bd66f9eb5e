"""The ``libvirt:`` block in a file: every violation with its line, column and hint."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.project.load import check
from tests.support.projects import CLOUD, errors_of, one, place, vm_of, write


def _vm(block: str) -> str:
    return f"vms:\n  a:\n    source: {CLOUD}\n    cpus: 4\n    libvirt: {block}\n"


# block of VM a (line 5, from column 14), message, hint, column
ERRORS = [
    # the schema
    ("{featurs: {}}", "unknown key 'featurs' in vms.a.libvirt", "did you mean 'features'?", 15),
    ("{devices: {graphic: []}}", "unknown key 'graphic' in vms.a.libvirt.devices", "'graphics'", 25),
    ("{devices: {video: [{model: vga, heads: two}]}}", "'two' is not a whole number", None, 53),
    ("{devices: {video: [{model: vgaa}]}}", "must be one of virtio, vga", "did you mean 'vga'?", 41),
    ("{devices: {video: [{heads: 1}]}}", "'model' is missing in vms.a.libvirt.devices.video[0]", "card", 33),
    ("{features: {acpi: perhaps}}", "'perhaps' is neither on nor off", None, 32),
    ("{features: {hyperv: {vendor_id: {value: 0123456789abc}}}}", "has more than 12 characters", None, 54),
    ("{cpu: {cache: {mode: emulate, level: 4}}}", "must be one of 3, not 4", None, 51),
    ("{memtune: {hard_limit: 1K5}}", "is not a size in whole KiB", None, 37),
    ("{memtune: {hard_limit: 9999999P}}", "is more than 1 EiB", None, 37),
    ("{cputune: {quota: -2}}", "is -2, but must be at least -1", None, 32),
    ("{cputune: {period: '999'}}", "is 999, but must be at least 1000", None, 33),
    ("{devices: {graphics: [{type: vnc, port: '70000'}]}}", "is 70000, but must be at most 65535", None, 54),
    ('{devices: {graphics: [{type: vnc, passwd: "hun\\nter"}]}}', ".passwd: '…' is not one line of text", None, 56),
    ("{devices: {smartcard: [{mode: host-certificates, certificates: [a]}]}}", "at least 3", None, 77),
    ("{sysinfo: {processor: []}}", "unknown key 'processor'", "no SMBIOS tables of processors", 25),
    ("{clock: utc}", "must be a mapping, not 'utc'", None, 22),
    ("{snippets: <a/>}", "must be a list", None, 25),
    # where a key was meant to stand, but only if that can be told
    ("{devices: {disks: [{source: {}, file: /x}]}}", "unknown key 'file'", "belongs under source:", 0),
    ("{devices: {hostdevs: [{type: pci, source: {address: 1}}]}}", "unknown key 'address'", "known keys: adapter", 0),
    ("{graphics: []}", "unknown key 'graphics'", "belongs under devices:", 15),
    ("{sysinfo: {system: {uuid: x}}}", "unknown key 'uuid'", "it is the VM's own", 34),
    ("{devices: {graphics: [{type: vnc, port: -1}]}}", "is -1, but must be at least 1", "one that libvirt chooses", 54),
    ("{devices: {graphics: [{type: spice, listen: none}]}}", "is none, which is a type", "listen: {type: none}", 58),
    # what goes with what
    ("{devices: {disks: [{source: {pool: p, volume: v}}]}}", "pool goes with type: volume, not with file", "type:", 0),
    (
        "{cpu: {mode: maximum, model: qemu64}}",
        "libvirt.cpu.model goes with mode: custom, not with maximum",
        "mode:",
        36,
    ),
    ("{clock: {timezone: Europe/Vienna}}", "timezone goes with offset: timezone, not with utc", None, 23),
    ("{clock: {timers: [{name: pit, track: boot}]}}", "track goes with name: rtc, not with pit", None, 44),
    ("{features: {hyperv: {mode: passthrough, ipi: on}}}", "ipi goes with mode: custom", None, 54),
    ("{memory_backing: {hugepages: {nodeset: 0}}}", "'size' is missing in libvirt.memory_backing.hugepages", None, 44),
    ("{devices: {shmem: [{name: s, msi: {vectors: 1}}]}}", "msi goes with model.type: ivshmem-doorbell", None, 43),
    ("{devices: {hostdevs: [{type: usb, source: {slot: 1}}]}}", "slot goes with type: pci, not with usb", None, 57),
    ("{devices: {channels: [{type: spicevmc, path: /x}]}}", "path goes with type: unix or virtio", None, 53),
    (
        "{devices: {graphics: [{type: egl-headless, listen: 127.0.0.1}]}}",
        "listen goes with type: spice or vnc",
        None,
        57,
    ),
    ("{cputune: {emulatorpin: {cpuset: 3-1}}}", "3-1 goes down", "1-3", 0),
    ("{clock: {offset: absolute, start: 253402300800}}", "must be at most 253402300799", None, 0),
    # placeholders
    ("{devices: {channels: [{name: a, path: '${vm.dri}/x'}]}}", "is not an absolute path", None, 52),
    ("{devices: {channels: [{name: a, path: '/x/${vm.nam}'}]}}", "${vm.nam} is not a placeholder", "${vm.name}?", 52),
    ("{devices: {channels: [{name: a, path: '/x/{{.Vm}}'}]}}", "{{.Vm}} is not a placeholder", "{{.VmName}}", 52),
    (
        "{devices: {channels: [{name: a, path: /home/me/x}]}}",
        "is in a home folder of this machine",
        "${vm.sockets}/x",
        52,
    ),
    (
        "{devices: {graphics: [{type: vnc, listen: {socket: /home/me/x}}]}}",
        "is in a home folder",
        "socket: ${vm.sockets}/x",
        65,
    ),
    # processor, clock, memory
    ("{cpu: {mode: custom}}", "libvirt.cpu.model is missing", "model: qemu64", 20),
    ("{cpu: {topology: {cores: 3}}}", "is 3 cores, but the VM has cpus: 4", "cpus: 3", 31),
    ("{cpu: {topology: {sockets: 2, cores: 4}}}", "2 sockets × 4 cores, but the VM has cpus: 4", "cpus: 8", 31),
    ("{cpu: {features: [{name: x}, {name: x}]}}", "feature x appears twice", "rename", 50),
    ("{cpu: {features: [{name: x, policy: maybe}]}}", "must be one of force", None, 50),
    ("{cpu: {features: [{policy: force}]}}", "'name' is missing", None, 32),
    ("{cpu: {cache: {mode: passthrough, level: 3}}}", "goes with mode: emulate", None, 55),
    ("{cpu: {numa: [{memory: 1G, unit: MiB}]}}", "has no effect: memory has a unit", None, 47),
    ("{cputune: {vcpupin: [{vcpu: 4, cpuset: 0}]}}", "is 4, but the VM has the processors 0 to 3", None, 42),
    ("{cputune: {iothreadpin: [{iothread: 1, cpuset: 0}]}}", "is 1, but there are none", "iothreads: 1", 50),
    ("{iothreads: 1, devices: {disks: [{source: {file: /x}, driver: {iothread: 2}}]}}", "there are 1", "2", 87),
    ("{numatune: {memnodes: [{cellid: 0, mode: strict, nodeset: 0}]}}", "needs the cells of", None, 0),
    ("{numatune: {memory: {placement: auto, nodeset: 0}}}", "nodeset goes with placement: static", None, 52),
    ("{clock: {offset: absolute}}", "libvirt.clock.start is missing", "start:", 22),
    ("{clock: {offset: timezone}}", "libvirt.clock.timezone is missing", "Berlin", 22),
    (
        "{memory_backing: {access: private}, devices: {filesystems: [{driver: virtiofs, source: /s, target: t}]}}",
        "is private, but virtiofs needs shared memory",
        "access: shared",
        40,
    ),
    (
        "{memory_backing: {source: anonymous}, devices: {filesystems: [{driver: virtiofs, source: /s, target: t}]}}",
        "is anonymous, but virtiofs",
        "memfd",
        40,
    ),
    ("{seclabel: {type: static}}", "libvirt.seclabel.label is missing", "label", 25),
    ("{seclabel: {type: none, relabel: yes}}", "contradicts type: none", None, 47),
    ("{launch_security: {type: sgx}}", "must be one of sev, sev-es, sev-snp, tdx, s390-pv", None, 39),
    ("{sysinfo: {type: fwcfg}}", "entries is missing: type fwcfg needs it", "opt/", 24),
    ("{sysinfo: {type: fwcfg, entries: [{name: opt/x}]}}", "needs either file or value", None, 48),
    # devices
    ("{devices: {disks: [{target: {dev: vda}, source: {file: /x}}]}}", "vda is taken by the VM's own disk", None, 48),
    (
        "{devices: {disks: [{target: {dev: sda}}, {target: {dev: sda}}]}}",
        "sda is taken by disk 0",
        "another name",
        0,
    ),
    ("{devices: {disks: [{type: network, source: {protocol: nbd}}]}}", "hosts is missing: nbd needs a server", None, 0),
    ("{devices: {disks: [{}]}}", "source.file is missing: type file needs it", "source: {file: …}", 33),
    ("{devices: {disks: [{device: lun, source: {file: /x}}]}}", "is lun, which needs a block device", None, 42),
    ("{devices: {disks: [{device: cdrom, target: {bus: virtio}}]}}", "virtio, which has no cdrom", "sata", 63),
    (
        "{devices: {disks: [{source: {file: /x}, iotune: {total_iops_sec: 1, read_iops_sec: 1}}]}}",
        "contradicts total_iops_sec",
        None,
        0,
    ),
    ("{devices: {interfaces: [{type: bridge}]}}", "source.bridge is missing: type bridge needs it", "bridge", 38),
    ("{devices: {interfaces: [{port_forwards: [{start: 9, end: 8}]}]}}", "is 8, less than start", None, 71),
    ("{devices: {serial: [{target: {port: 0}}]}}", "must be at least 1", None, 50),
    ("{devices: {serial: [{target: {port: 1}}, {target: {port: 1}}]}}", "1 is taken by serial[0]", "another", 71),
    ("{devices: {serial: [{type: tcp}]}}", "source.host is missing: type tcp needs it", "host", 0),
    ("{devices: {channels: [{}]}}", "channels[0].name is missing", "org.qemu.guest_agent.0", 36),
    ("{devices: {channels: [{name: a}, {name: a}]}}", "the channel a appears twice", "remove", 54),
    ("{devices: {channels: [{type: spicevmc}, {type: qemu-vdagent}]}}", "com.redhat.spice.0 appears twice", None, 0),
    ("{devices: {channels: [{name: a, path: /x, source: /y}]}}", "source contradicts path", "remove", 64),
    (
        "{devices: {channels: [{name: org.qemu.guest_agent.0, type: pty}]}}",
        "which ov itself talks through",
        "every VM has it",
        43,
    ),
    ("{devices: {graphics: [{type: vnc}, {type: vnc}]}}", "QEMU has one vnc server", "remove", 56),
    ("{devices: {graphics: [{type: vnc, passwd: hunter234}]}}", "passwd has 9 bytes: VNC cuts", "type: spice", 56),
    ("{devices: {graphics: [{type: vnc, passwd: 123456789}]}}", "passwd has 9 bytes", "at most 8 bytes", 56),
    ("{devices: {graphics: [{type: vnc, passwd: ääääx}]}}", "9 bytes (5 characters in UTF-8)", "8 bytes", 56),
    ("{devices: {graphics: [{type: spice, passwd: %s}]}}" % ("x" * 61), "has 61 bytes: SPICE", "at most 60", 58),
    ("{devices: {graphics: [{type: vnc, autoport: no}]}}", "port is missing: autoport is off", "5901", 36),
    ("{devices: {graphics: [{type: vnc, autoport: yes, port: 5901}]}}", "port contradicts autoport", None, 69),
    ("{devices: {graphics: [{type: vnc, listen: [a, b]}]}}", "has several listeners", "remove", 60),
    ("{devices: {graphics: [{type: vnc, listen: a b}]}}", "'a b' is not a host's name or address", None, 56),
    ("{devices: {graphics: [{type: vnc, listen: {}}]}}", "has no type", "address, socket", 56),
    ("{devices: {graphics: [{type: vnc, listen: {address: a, socket: /x}}]}}", "contradicts address", None, 0),
    ("{devices: {graphics: [{type: vnc, listen: {type: network}}]}}", "network is missing", "default", 0),
    ("{devices: {graphics: [{type: vnc, listen: {socket: /x}, port: 5901}]}}", "it listens on a socket", None, 76),
    ("{devices: {graphics: [{type: vnc, listen: '', port: 5901}]}}", "it listens nowhere", "remove it", 66),
    ("{devices: {graphics: [{type: spice, listen: [a], gl: yes}]}}", "OpenGL", "socket", 67),
    ("{devices: {graphics: [{type: spice, rendernode: /dev/dri/a, port: 5930}]}}", "OpenGL", "socket", 0),
    ("{devices: {graphics: [{type: spice, listen: a, gl: yes}]}}", "OpenGL", "socket", 65),
    ("{devices: {video: [{model: vga, primary: yes}, {model: vga, primary: on}]}}", "a second time", None, 83),
    ("{devices: {video: [{model: none}, {model: vga}]}}", "is none, but there are other cards", None, 41),
    ("{devices: {sound: [{model: ich9, audio: 1}]}}", "there is no such audio backend", "audio: [", 54),
    ("{devices: {audio: [{id: 1}, {id: 1}]}}", "audio backend 1 appears twice", None, 47),
    ("{devices: {hostdevs: [{type: pci, source: {bus: 1}}]}}", "needs bus, slot: type pci", None, 56),
    ("{devices: {hostdevs: [{type: mdev, source: {}}]}}", "needs uuid: type mdev", None, 57),
    (
        "{devices: {hostdevs: [{type: scsi, source: {protocol: iscsi, name: n, hosts: [{name: h}], unit: 1}}]}}",
        "unit contradicts protocol",
        None,
        0,
    ),
    ("{devices: {smartcard: [{mode: host, source: {path: /x}}]}}", "source goes with mode: passthrough", None, 50),
    ("{devices: {hostdevs: [{type: pci}]}}", "'source' is missing", None, 36),
    ("{devices: {filesystems: [{source: share, target: t}]}}", "is not an absolute path", "${vm.project}", 48),
    (
        "{devices: {filesystems: [{source: /a, target: t}, {source: /b, target: t}]}}",
        "tag t appears twice",
        None,
        85,
    ),
    ("{devices: {rng: [{backend: egd}]}}", "type is missing: backend egd needs it", "unix", 31),
    ("{devices: {tpm: [{}, {}]}}", "a machine has one TPM", None, 35),
    ("{devices: {vsock: {cid: {auto: yes, address: 3}}}}", "contradicts auto", None, 59),
    ("{devices: {vsock: {cid: {auto: no}}}}", "address is missing: auto is off", "remove auto", 0),
    ("{devices: {shmem: [{name: s, model: {type: ivshmem-doorbell}}]}}", "server is missing", None, 33),
    ("{devices: {inputs: [{type: evdev}]}}", "source.dev is missing: type evdev needs it", None, 34),
    ("{devices: {memory: [{model: dimm, target: {size: 1G}}]}}", "needs the cells of libvirt.cpu.numa", "numa", 34),
    ("{cpu: {numa: [{memory: 1G}]}, devices: {memory: [{model: dimm, target: {size: 1G, node: 1}}]}}", "is 1", None, 0),
    (
        "{cpu: {numa: [{memory: 1G}]}, devices: {memory: [{model: virtio-mem, target: {size: 1G}}]}}",
        "target.block is missing: model virtio-mem needs it",
        None,
        0,
    ),
    (
        "{cpu: {numa: [{memory: 1G}]}, devices: {memory: [{model: nvdimm, target: {size: 1M, label: 1M}}]}}",
        "is not smaller than size",
        None,
        0,
    ),
    (
        "{cpu: {numa: [{memory: 1G}]}, devices: {memory: "
        "[{model: virtio-mem, target: {size: 1G, block: 2M, requested: 3M}}]}}",
        "is not a multiple of block 2M",
        None,
        0,
    ),
    ("{devices: {controllers: [{type: pci}]}}", "model is missing: type pci", None, 39),
    ("{devices: {controllers: [{type: scsi, model: pci-bridge}]}}", "no scsi controller", None, 59),
    (
        "{devices: {interfaces: [{boot: 1}], hostdevs: [{type: usb, boot: 1, source: {bus: 1, device: 1}}]}}",
        "place 1",
        None,
        0,
    ),
]


@pytest.mark.parametrize(("block", "message", "hint", "column"), ERRORS, ids=[entry[0] for entry in ERRORS])
def test_errors(tmp_path: Path, block: str, message: str, hint: str | None, column: int) -> None:
    errors = errors_of(tmp_path, _vm(block))
    found = [error for error in errors if message in error.message]
    assert found, [str(error) for error in errors]
    assert hint is None or hint in (found[0].hint or "")
    name, line, at = place(found[0])
    assert (name, line) == ("vms.yml", 5)
    assert column in {0, at}


def test_all_at_once(tmp_path: Path) -> None:
    errors = errors_of(tmp_path, _vm("{cpu: {mode: custom, topology: {cores: 3}}, devices: {tpm: [{}, {}], vide: []}}"))
    assert len(errors) == 4


@pytest.mark.parametrize(
    "block",
    [
        "{devices: {graphics: [{type: vnc, port: -1, autoport: yes}]}}",
        "{devices: {console: [{target: {port: 0}}]}}",
        "{devices: {disks: [{source: /srv/disk.qcow2}]}}",
        "{devices: {video: [{model: {type: virtio}}]}}",
    ],
)
def test_one_value_is_wrong_once(tmp_path: Path, block: str) -> None:
    """What the schema refuses, no rule refuses again; and a mapping is not "none of the words", too."""
    one(errors_of(tmp_path, _vm(block)))


def test_the_usual_number_of_processors(tmp_path: Path) -> None:
    write(tmp_path, f"vms: {{a: {{source: {CLOUD}, libvirt: {{cpu: {{topology: {{cores: 3}}}}}}}}}}")
    assert "cpus: 2" in one(list(check((), tmp_path).errors)).message
    vm_of(tmp_path, "libvirt: {cpu: {topology: {cores: 2}}}")


def test_ports_of_more_cards_are_taken_too(tmp_path: Path) -> None:
    fields = "network: {port_forwards: ['80:80']}, libvirt: {devices: {interfaces: [{port_forwards: [{start: 80}]}]}}"
    write(tmp_path, f"vms: {{a: {{source: {CLOUD}, {fields}}}}}")
    assert "host port 80/tcp is taken by this VM itself" in one(list(check((), tmp_path).errors)).message


@pytest.mark.parametrize(
    "block",
    [
        "{}",
        "{features: {vmport: off, pmu: false}, cputune: {quota: -1}, memory_backing: {hugepages: {}}}",
        "{devices: {disks: [{type: network, source: {protocol: rbd, name: p/i, hosts: [{name: h, port: 6789}]}}]}}",
        "{devices: {graphics: [{type: spice, autoport: yes, listen: {type: socket}}, {type: vnc, listen: ''}]}}",
        "{devices: {graphics: [{type: spice, autoport: no, listen: [{socket: /x}], gl: yes}]}}",
        "{devices: {channels: [{type: spicevmc}, {name: a, path: '{{.VmStateDir}}/a'}]}}",
        "{devices: {channels: [{name: org.qemu.guest_agent.0, type: virtio}]}}",
        "{devices: {tpm: [{model: tpm-crb, backend: {type: emulator, version: 2.0}}]}}",
        "{devices: {hostdevs: [{type: pci, source: {domain: 0x0, bus: 0x0a, slot: 0x1f, function: 0x7}}]}}",
        "{cpu: {mode: host-passthrough, topology: {sockets: 1, dies: 1, cores: 2, threads: 2}}}",
        "{clock: {offset: absolute, start: 1700000000}}",
        "{devices: {panic: [{model: isa, address: {type: isa, iobase: '0x505'}}]}}",
        "{clock: {timers: [{name: rtc, tickpolicy: catchup, catchup: {slew: 1}}]}}",
    ],
)
def test_valid(tmp_path: Path, block: str) -> None:
    assert [str(error) for error in errors_of(tmp_path, _vm(block))] == []


def test_messages_have_the_users_own_word(tmp_path: Path) -> None:
    block = (
        "libvirt: {devices: {channels: [{type: virtio, name: a.0, clipboard: yes}], audio: [{type: pulse, path: /x}]}}"
    )
    messages = sorted(error.message for error in errors_of(tmp_path, f"vms: {{a: {{source: {CLOUD}, {block}}}}}"))
    assert [message.rpartition("not with ")[2] for message in messages] == ["pulse", "virtio"]
