"""Whatever stands in the ``libvirt:`` block, also what the schema forbids: rules and reader end with errors only."""

from __future__ import annotations

from random import Random
from typing import Any

from ovtasks.errors import InputError
from ovtasks.render.libvirt.read import read
from ovtasks.spec.libvirt_block import stated
from ovtasks.spec.libvirt_rules import block_rules, cpu_count_rules
from ovtasks.spec.schema import libvirt_schema

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
        faults = [*stated(block, schema), *block_rules(block), *cpu_count_rules(block, 2)]
        assert all(fault.message and fault.path[0] == "libvirt" for fault in faults)
        try:
            read(block)
        except InputError as e:
            refused += 1
            assert e.message
        else:
            taken += 1
    assert taken > 100 and refused > 1000
