"""Rows of memory, NUMA and processor tuning, security, resources and SMBIOS."""

from __future__ import annotations

from dataclasses import replace

from ovtasks.machine.field import Block, Field, Items, Node, Words
from ovtasks.machine.kinds import CPUSET, KIB, LINE, NUMBER, PATH, TEXT, YES_NO, number, one_of, switch, text

FLAG = switch("yes", "no")

MEMORY_BACKING = Block(
    "memoryBacking",
    "What the guest's memory is made of.",
    {
        "hugepages": Block(
            "hugepages",
            "Huge pages of the host; {}: of its default size.",
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
        "discard": Field(FLAG, "discard?", "Drop their content when the VM ends."),
    },
)


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
                "Processors pinned to the host's.",
                {
                    "vcpu": Field(number(0, 4095), "@vcpu", "The guest's processor.", required=True),
                    "cpuset": Field(CPUSET, "@cpuset", "The host's processors.", required=True),
                },
            )
        ),
        "emulatorpin": Block(
            "emulatorpin",
            "The emulator's threads pinned.",
            {"cpuset": Field(CPUSET, "@cpuset", "The host's processors.", required=True)},
            qemu="never",
        ),
        "iothreadpin": Items(
            Block(
                "iothreadpin",
                "I/O threads pinned.",
                {
                    "iothread": Field(number(1), "@iothread", "The I/O thread, from 1.", required=True),
                    "cpuset": Field(CPUSET, "@cpuset", "The host's processors.", required=True),
                },
            )
        ),
    },
)

_LABELLED = {"type": ("static",)}

SECLABEL = Block(
    "seclabel",
    "The security label of the VM's process.",
    {
        "type": Field(one_of("dynamic", "static", "none"), "@type", "Who chooses the label.", default="dynamic"),
        "model": Field(
            one_of("selinux", "dac", "apparmor"), "@model", "The security driver; default: the host's first one."
        ),
        "relabel": Field(YES_NO, "@relabel", "Whether files get the label: dynamic always, none never."),
        "label": Field(TEXT, "label", "The label.", only=_LABELLED),
        "baselabel": Field(TEXT, "baselabel", "What the label is derived from.", only={"type": ("dynamic",)}),
    },
    qemu="never",
)

SEV = ("sev", "sev-es")
_HEX = text(
    r"^(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,10})$", "a number, also hexadecimal", "is no number", ("0x0003", "7"), ("x", "")
)

LAUNCH_SECURITY = Block(
    "launchSecurity",
    "Encrypted memory.",
    {
        "type": Field(
            one_of("sev", "sev-es", "sev-snp", "tdx", "s390-pv"),
            "@type",
            "The technique; libvirt knows sev-es as sev with bit 2 of the policy.",
            required=True,
            computed=True,
            since_values={"sev-snp": (10, 5), "tdx": (11, 6)},
            qemu="kvm",
        ),
        "kernel_hashes": Field(
            YES_NO, "@kernelHashes", "Measure the kernel.", only={"type": (*SEV, "sev-snp")}, qemu="kvm"
        ),
        "cbitpos": Field(
            NUMBER, "cbitpos", "Place of the encryption bit.", only={"type": (*SEV, "sev-snp")}, qemu="kvm"
        ),
        "reduced_phys_bits": Field(
            NUMBER, "reducedPhysBits", "Address bits that it takes.", only={"type": (*SEV, "sev-snp")}, qemu="kvm"
        ),
        "policy": Field(
            _HEX,
            "policy",
            "What is allowed, in bits; default 0x3 (sev), 0x7 (sev-es), 0x30000 (sev-snp).",
            only={"type": (*SEV, "sev-snp", "tdx")},
            computed=True,
            qemu="kvm",
        ),
        "dh_cert": Field(
            TEXT, "dhCert", "The guest owner's Diffie-Hellman key, base64.", only={"type": SEV}, qemu="never"
        ),
        "session": Field(TEXT, "session", "The guest owner's session blob, base64.", only={"type": SEV}, qemu="never"),
    },
)

RESOURCE = Block(
    "resource",
    "Where the host counts the VM's resources.",
    {
        "partition": Field(PATH, "partition", "cgroup partition, such as /machine/production."),
        "fibrechannel": Block(
            "fibrechannel",
            "Fibre Channel.",
            {
                "appid": Field(
                    text(r"^[ -~]{1,128}$", "up to 128 ASCII characters", "is no application identity", ("vm-1",)),
                    "@appid",
                    "Application identity.",
                    required=True,
                )
            },
        ),
    },
    qemu="never",
)


def _entries(tag: str, doc: str, *names: str) -> Block:
    return Block(
        tag,
        doc,
        {name: Field(LINE, f"entry[name={name}]", f"Its {name}.") for name in names},
        only={"type": ("smbios",)},
        computed=True,
    )


_BIOS = _entries("bios", "The BIOS.", "vendor", "version", "date", "release")
_RELEASE = Field(LINE, "entry[name=release]", "Its release.", qemu="never")
BASEBOARD = _entries("baseBoard", "Boards.", "manufacturer", "product", "version", "serial", "asset", "location")

DATE = text(
    r"^[01][0-9]/[0-3][0-9]/([0-9]{2}|[12][0-9]{3})$",
    "a date, MM/DD/YYYY",
    "is no date: MM/DD/YYYY",
    ("02/29/2024",),
    ("2024-02-29",),
)

_DATED = {"date": Field(DATE, "entry[name=date]", "Its date."), "release": _RELEASE}
_BIOS_ROWS = replace(_BIOS, fields={**_BIOS.fields, **_DATED})

SYSINFO = Block(
    "sysinfo",
    "What the firmware tells the guest.",
    {
        "type": Field(
            one_of("smbios", "fwcfg"),
            "@type",
            "smbios: the tables below; fwcfg: entries.",
            assumed="smbios",
            computed=True,
        ),
        "bios": replace(
            _BIOS, fields={**_BIOS.fields, "date": Field(DATE, "entry[name=date]", "Its date."), "release": _RELEASE}
        ),
        "system": _entries("system", "The system.", "manufacturer", "product", "version", "serial", "sku", "family"),
        "baseboard": Items(BASEBOARD),
        "chassis": _entries("chassis", "The chassis.", "manufacturer", "version", "serial", "asset", "sku"),
        "oem_strings": Words(
            LINE,
            "oemStrings/entry",
            "OEM strings, after those with the credentials.",
            {"type": ("smbios",)},
            computed=True,
        ),
        "entries": Items(
            Block(
                "entry",
                "Files of QEMU's firmware configuration (fw_cfg).",
                {
                    "name": Field(
                        text(
                            r"^opt/[^\x00-\x20,]{1,51}$",
                            "a name that begins with opt/",
                            "must begin with opt/, at most 55 characters",
                            ("opt/org.example/a",),
                            ("etc/x", ""),
                        ),
                        "@name",
                        "Its name, such as opt/org.example/answers.",
                        required=True,
                    ),
                    "file": Field(PATH, "@file", "A file of the host with its content."),
                    "value": Field(LINE, "", "Its content."),
                },
                only={"type": ("fwcfg",)},
                computed=True,
            )
        ),
    },
    computed=True,
)
# no system.uuid: it must be the domain's own

TUNING: dict[str, Node] = {
    "iothreads": Field(number(0, 1000), "iothreads", "Threads that disks and controllers can be given to."),
    "cputune": CPUTUNE,
    "memtune": MEMTUNE,
    "numatune": NUMATUNE,
    "memory_backing": MEMORY_BACKING,
}
AFTER_DEVICES: dict[str, Node] = {
    "seclabel": SECLABEL,
    "launch_security": LAUNCH_SECURITY,
    "sysinfo": SYSINFO,
    "resource": RESOURCE,
}
