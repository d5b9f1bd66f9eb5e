"""libvirt's XML with plain QEMU: what is taken, what every VM has anyway, and what is named."""

from __future__ import annotations

import pytest

from ovtasks.errors import InputError
from ovtasks.machine.machine import Snippet
from ovtasks.machine.qemu.argv import argv_of
from ovtasks.machine.qemu.families import command
from ovtasks.machine.qemu.snippets import refuse
from tests.machine.test_table_argv import HOST
from tests.support.machines import machine

COMMANDS = "<qemu:commandline><qemu:arg value='-device'/><qemu:arg value='edu'/></qemu:commandline>"
AGENT = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
OURS = (
    "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>",
    "<serial type='pty'><target port='0'/></serial><console type='pty'/>",
    f"<devices>{AGENT}</devices>",
    "<channel type='unix'><source mode='bind' path='/x'/><target name='org.qemu.guest_agent.0'/></channel>",
)
OTHERS = {
    "<redirdev bus='usb' type='spicevmc'/>": "redirdev",
    "<rng model='virtio'><backend model='egd' type='tcp'/></rng>": "rng",
    "<rng model='virtio'><rate bytes='1'/></rng>": "rng",
    "<rng model='virtio-transitional'/>": "rng",
    "<serial type='tcp'/>": "serial",
    "<serial type='pty'><target port='1'/></serial>": "serial",
    "<memtune><hard_limit unit='G'>1</hard_limit></memtune>": "memtune",
    "<channel type='unix'><target type='virtio' name='other.0'/></channel>": "channel",
    "<qemu:commandline><qemu:env name='A' value='b'/></qemu:commandline>": "qemu:commandline",
}


def test_arguments_are_taken() -> None:
    made = command(machine(snippets=(Snippet(COMMANDS, "s"),)), HOST)
    words = argv_of(made)
    assert words[words.index("edu") - 1] == "-device" and not made.notes
    refuse([Snippet(COMMANDS, "s")])


@pytest.mark.parametrize("text", OURS)
def test_what_every_vm_has_changes_nothing(text: str) -> None:
    made = command(machine(snippets=(Snippet(text, "s"),)), HOST)
    assert argv_of(made) == argv_of(command(machine(), HOST)) and not made.notes
    refuse([Snippet(text, "s")])


@pytest.mark.parametrize("text", OTHERS)
def test_the_rest_is_named_or_refused(text: str) -> None:
    made = command(machine(snippets=(Snippet(text, "layer gpu"),)), HOST)
    assert made.notes == [f"layer gpu: <{OTHERS[text]}> is libvirt's; the backend qemu leaves it out"]
    assert argv_of(made) == argv_of(command(machine(), HOST))
    with pytest.raises(InputError, match=f"layer gpu: the backend qemu cannot use libvirt's <{OTHERS[text]}>"):
        refuse([Snippet(text, "layer gpu")])


def test_what_is_no_xml_is_an_error() -> None:
    with pytest.raises(InputError, match="s: <rng> is not closed"):
        command(machine(snippets=(Snippet("<rng>", "s"),)), HOST)
