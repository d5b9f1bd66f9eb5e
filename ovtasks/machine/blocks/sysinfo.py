"""``libvirt.sysinfo``: what the firmware tells the guest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from xml.etree import ElementTree as ET

from ovtasks.errors import InputError
from ovtasks.machine.field import Block, Field, Items, Words
from ovtasks.machine.kinds import LINE, PATH, one_of, text
from ovtasks.machine.machine import Machine
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.smbios import FW_CFG
from ovtasks.machine.tree import Faults, Tree
from ovtasks.machine.xml.place import ensure, fill, sub


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
    "is not a date: MM/DD/YYYY",
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

# Number of the SMBIOS table, and libvirt's names that are not QEMU's (qemu(1), -smbios)
_TABLES: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "bios": (0, ("vendor", "version", "date", "release")),
    "system": (1, ("manufacturer", "product", "version", "serial", "sku", "family")),
    "baseboard": (2, ("manufacturer", "product", "version", "serial", "asset", "location")),
    "chassis": (3, ("manufacturer", "version", "serial", "asset", "sku")),
}
OEM_STRINGS = 11


def rules(tree: Tree) -> Faults:
    """Type fwcfg has entries; each entry has either a file or a value."""
    told = tree.block("sysinfo")
    if told.text("type") == "fwcfg" and not told.has("entries"):
        yield told.fault("is missing: type fwcfg needs it", "entries: [{name: opt/org.example/a, value: …}]", "entries")
    for entry in told.items("entries"):
        if entry.has("file") == entry.has("value"):
            yield entry.fault("needs either file or value", "value: …, or file: /path")


def elements(domain: ET.Element, machine: Machine, wanted: Tree) -> bool:
    """Add the VM's own strings and files, then the spec's; returns whether there are SMBIOS tables.

    libvirt doubles the commas in strings itself, but (in 9.0) not those in a file's name.

    :raises InputError: a file's name has a comma.
    """
    strings = [*machine.told, *wanted.texts("oem_strings")]
    tables = wanted.put(type=None, oem_strings=None, entries=None)
    if strings or tables:
        smbios = sub(domain, "sysinfo", {"type": "smbios"})
        for name in ("bios", "system", "chassis"):
            block = SYSINFO.fields[name]
            assert isinstance(block, Block)
            if tables.block(name):
                fill(ensure(smbios, block.at), block, tables.block(name))
        for board in tables.items("baseboard"):
            fill(sub(smbios, "baseBoard"), BASEBOARD, board)
        for text in strings:
            sub(ensure(smbios, "oemStrings"), "entry", text=text)
    entries = wanted.items("entries")
    if machine.credentials or entries:
        files = sub(domain, "sysinfo", {"type": "fwcfg"})
        named = {f"{FW_CFG}{name}": str(path) for name, path in sorted(machine.credentials.items())}
        for name, path in named.items():
            sub(files, "entry", {"name": name, "file": path})
        for item in entries:
            sub(files, "entry", {"name": item.text("name"), "file": item.text("file")}, item.text("value") or "")
        for entry in files:
            if "," in entry.get("file", ""):
                message = f"libvirt cannot pass on {entry.get('file')}"
                raise InputError(message, hint="choose a folder without a comma in its name")
    return bool(strings or tables)


def words(block: Tree, to: Command) -> None:
    """Say the SMBIOS tables in QEMU's words.

    :raises InputError: plain QEMU, or this host, lacks what a field asks for."""
    block.text("type")
    for name, (number, keys) in _TABLES.items():
        tables = block.items(name) if name == "baseboard" else [block.block(name)] if name in block else []
        for table in tables:
            release = table.peek("release") if name == "bios" else None
            if release is not None and not re.fullmatch(r"\d{1,3}\.\d{1,3}", release, re.ASCII):
                raise table.refuse("release", f"'{release}' is not a release", hint="two numbers, such as 4.2")
            if values := {key: text for key in keys if (text := table.text(key)) is not None}:
                to.add("smbios", **{"type": number, **values})
    for word in block.texts("oem_strings"):
        to.add("smbios", type=OEM_STRINGS, value=word)
    for entry in block.items("entries"):
        file, value = entry.text("file"), entry.text("value")
        if (file is None) == (value is None):
            raise entry.error("it has neither or both of file and value", "one of them")
        to.add("fw_cfg", name=entry.text("name"), file=file, string=value)
