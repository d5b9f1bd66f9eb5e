"""Watchdogs: what happens when a guest hangs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ovtasks.errors import InputError
from ovtasks.machine.device import Device
from ovtasks.machine.field import Block, Field, Items, Version
from ovtasks.machine.host import HostFeatures, lacking
from ovtasks.machine.kinds import one_of
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.tree import Tree

SEVERAL: Version = (9, 1)
"""The first version of libvirt that takes several."""
_QEMU_ACTIONS = ("reset", "shutdown", "poweroff", "pause", "none", "inject-nmi")

ROWS = Items(
    Block(
        "watchdog",
        "Watchdogs.",
        {
            "model": Field(
                one_of("i6300esb", "ib700", "diag288", "itco"),
                "@model",
                "The device.",
                required=True,
                since_values={"itco": (9, 1)},
            ),
            "action": Field(
                one_of("reset", "shutdown", "poweroff", "pause", "none", "dump", "inject-nmi"),
                "@action",
                "What it does; libvirt's own default is reset.",
            ),
        },
    )
)


def _lacks(found: Sequence[Tree], host: HostFeatures) -> Iterator[InputError]:
    if len(found) > 1 and host.version is not None and host.version < SEVERAL:
        problem = f"is one too many: libvirt supports several from {SEVERAL[0]}.{SEVERAL[1]} on"
        yield lacking(found[1].place, problem, "remove it, or install a newer libvirt")


def _words(blocks: Sequence[Tree], to: Command) -> None:
    actions: set[str] = set()
    for index, block in enumerate(blocks):
        model, action = block.text("model"), block.text("action") or "reset"
        if action not in _QEMU_ACTIONS:
            raise block.refuse("action", f"QEMU alone has no {action}, but {', '.join(_QEMU_ACTIONS)}")
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


WATCHDOG = Device("watchdog", ROWS, lacks=_lacks, qemu=_words)
