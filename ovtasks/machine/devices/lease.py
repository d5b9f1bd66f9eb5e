"""Leases of a lock manager, which a VM must hold before it starts."""

from __future__ import annotations

from ovtasks.machine.device import Device
from ovtasks.machine.field import Block, Field, Items
from ovtasks.machine.kinds import LINE, NUMBER, PATH

ROWS = Items(
    Block(
        "lease",
        "Leases of a lock manager that the VM needs to start.",
        {
            "lockspace": Field(LINE, "lockspace", "The lock space.", required=True),
            "key": Field(LINE, "key", "The lease's name.", required=True),
            "target": Block(
                "target",
                "Where it is kept.",
                {
                    "path": Field(PATH, "@path", "The file.", required=True),
                    "offset": Field(NUMBER, "@offset", "Where in it."),
                },
                required=True,
            ),
        },
        qemu="never",
    )
)

LEASE = Device("leases", ROWS)
