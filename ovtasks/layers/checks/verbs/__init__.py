"""The verbs of checks: one module a subject."""

from __future__ import annotations

from collections.abc import Mapping

from ovtasks.layers.checks.model import CheckVerb
from ovtasks.layers.checks.verbs.commands import COMMAND, MATCHING
from ovtasks.layers.checks.verbs.files import FILE
from ovtasks.layers.checks.verbs.machine import LIBVIRT, SPICE
from ovtasks.layers.checks.verbs.network import ADDR, DNS, HTTP
from ovtasks.layers.checks.verbs.programs import PACKAGE, PORT, PROCESS, SERVICE
from ovtasks.layers.checks.verbs.system import GROUP, INTERFACE, KERNEL_PARAM, MOUNT, USER

VERBS: Mapping[str, CheckVerb] = {
    verb.name: verb
    for verb in (
        *(FILE, PACKAGE, SERVICE, PORT, PROCESS, USER, GROUP, INTERFACE, MOUNT, KERNEL_PARAM),
        *(ADDR, DNS, HTTP, MATCHING, COMMAND, LIBVIRT, SPICE),
    )
}
"""The checks that are carried out. ``libvirt`` and ``spice`` ask about the VM rather than its guest. The rest that a
layer may have (``mcp``, ``k8s``, ``cdp`` …) is about containers and desktops.
"""
