"""Whatever stands in the ``libvirt:`` block, also what the schema forbids: rules and reader end with errors only."""

from __future__ import annotations

from random import Random
from typing import Any

from ovtasks.errors import InputError
from ovtasks.machine.blocks.cpu import count_rules
from ovtasks.machine.qemu.argv import argv
from ovtasks.machine.read import read, reading
from ovtasks.machine.xml.domain import domain_xml
from ovtasks.project.schema import libvirt_schema
from tests.machine.hosts import EVERYTHING
from tests.machine.test_table_argv import HOST
from tests.machine.walk import leaves, spec_wrong
from tests.support.machines import machine

SEEDS = 3000
WORDS: list[Any] = [
    *(None, True, False, 0, -5, 7, 3.5, "", "a", "yes", "/x", "${vm.dir}/x", "${", "{{", "1G", {}, [], ["a"], [{}]),
    *({"a": 1}, "0x1", "spice", "usb", "pci", "static", "custom", "virtiofs", "9" * 30, "²", "\n", "none", "network"),
]


def something(schema: dict[str, Any], random: Random) -> Any:
    """Often what the schema wants, often not."""
    if random.random() < 0.15:
        return random.choice(WORDS)
    if "properties" in schema and random.random() < 0.9:
        keys = list(schema["properties"])
        chosen = random.sample(keys, min(len(keys), random.choice([0, 1, 2, 3, 6])))
        return {key: something(schema["properties"][key], random) for key in chosen}
    if "items" in schema:
        return [something(schema["items"], random) for _ in range(random.choice([0, 1, 2]))]
    return random.choice(schema.get("enum", WORDS))


def test_anything_is_read_or_refused() -> None:
    schema = libvirt_schema()
    taken = refused = 0
    for seed in range(SEEDS):
        block = something(schema, Random(seed))
        if not isinstance(block, dict):
            continue
        found = reading(block)
        faults = [*found.faults, *count_rules(found.tree, 2)]
        assert all(fault.message and fault.path[0] == "libvirt" for fault in faults)
        try:
            read(block)
        except InputError as e:
            refused += 1
            assert e.message
        else:
            taken += 1
    assert taken > 100 and refused > 1000


def test_extreme_values_are_rendered_or_refused() -> None:
    """In each field: numbers beyond all that there is, and what means something on a command line."""
    refused = rendered = 0
    for leaf in leaves():
        for value in (10**12, "9" * 18, "3-1,0-99999999", "-a,b=c"):
            of = machine(libvirt=spec_wrong(leaf, value))
            try:
                argv(of, HOST)
                domain_xml(of, EVERYTHING)
            except InputError:
                refused += 1
            else:
                rendered += 1
    assert refused > 1000 and rendered > 50
