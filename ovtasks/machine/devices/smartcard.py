"""Smart cards, each in a reader of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ovtasks.machine.characters import PROTOCOL, host_end, sockets, source_rows
from ovtasks.machine.device import Device
from ovtasks.machine.field import Block, Field, Items, Only, Words
from ovtasks.machine.kinds import LINE, PATH, one_of
from ovtasks.machine.qemu.chardev import chardev
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.tree import Faults, Tree

PASSTHROUGH: Only = {"mode": ("passthrough",)}

ROWS = Items(
    Block(
        "smartcard",
        "Smart cards.",
        {
            "mode": Field(
                one_of("host", "host-certificates", "passthrough"), "@mode", "Where the card is.", required=True
            ),
            "type": Field(
                one_of("spicevmc", "tcp", "unix", "pty"),
                "@type",
                "With passthrough: what is at the host's end.",
                only=PASSTHROUGH,
            ),
            "source": replace(source_rows("spicevmc", "tcp", "unix", "pty"), only=PASSTHROUGH),
            "protocol": replace(PROTOCOL, only={**PASSTHROUGH, "type": ("tcp",)}),
            "certificates": Words(
                LINE,
                "certificate",
                "With host-certificates: the names of three in the database.",
                {"mode": ("host-certificates",)},
                least=3,
            ),
            "database": Field(
                PATH,
                "database",
                "With host-certificates: folder of the NSS database.",
                only={"mode": ("host-certificates",)},
            ),
        },
    )
)


def _rules(found: Sequence[Tree], _: Tree) -> Faults:
    for one in found:
        yield from host_end(one)
        for mode, key in (("passthrough", "type"), ("host-certificates", "certificates")):
            if one.text("mode") == mode and not one.has(key):
                yield one.fault(f"is missing: mode {mode} needs it", f"{key}: …", key)
        if len(one.texts("certificates")) > 3:
            yield one.fault("has more than three", "three certificates", "certificates")


def _through_spice(one: Tree) -> str | None:
    return "spicevmc" if one.peek("type") == "spicevmc" else None


def _words(blocks: Sequence[Tree], to: Command) -> None:
    """The cards, each in a reader of its own."""
    for index, block in enumerate(blocks):
        mode = block.text("mode")
        to.device("usb-ccid", id=f"ccid{index}", bus=to.usb_bus())
        where = {"id": f"smartcard{index}", "bus": f"ccid{index}.0"}
        if mode == "passthrough":
            ident = chardev(block, f"smartcard{index}-chardev", to, default="spicevmc", spice="smartcard")
            to.device("ccid-card-passthru", **where, chardev=ident)
        elif mode == "host":
            to.device("ccid-card-emulated", **where, backend="nss-emulated")
        else:
            names = {f"cert{number}": name for number, name in enumerate(block.texts("certificates"), 1)}
            database = block.text("database") or "/etc/pki/nssdb"
            to.device("ccid-card-emulated", **where, backend="certificates", db=database, **names)


SMARTCARD = Device("smartcard", ROWS, _rules, qemu=_words, sockets=sockets, spice=_through_spice)
