"""Rendered, read and rendered again: the XML is the same, and rows of the table say all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ovtasks.errors import InputError
from ovtasks.machine.machine import Machine
from ovtasks.machine.xml.compare import covers, same, uncovered
from ovtasks.machine.xml.domain import domain_xml
from ovtasks.machine.xml.merge import own_snippets
from ovtasks.machine.xml.reader import ReadDomain, read_domain
from ovtasks.values.jsonvalue import Json
from tests.machine.hosts import EVERYTHING
from tests.machine.samples import samples
from tests.machine.test_random_blocks import MACHINES, Choice, choices, chosen, merged
from tests.machine.walk import cases, leaves, machine_of
from tests.support.machines import machine

LEAVES = [leaf for leaf in leaves() if leaf.name not in {"snippets", "xml_passthrough"}]
BLOCKS = sorted({".".join(leaf.name.split(".")[:2]) for leaf in LEAVES})


def read_and_rendered(of: Machine, text: str) -> tuple[ReadDomain, str]:
    read = read_domain(ET.fromstring(text), of, EVERYTHING)
    return read, with_block(of, read.libvirt)


def with_block(of: Machine, block: Mapping[str, Json]) -> str:
    return domain_xml(replace(of, libvirt=block, snippets=own_snippets(block)), EVERYTHING)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_field_comes_back_by_its_row(block: str) -> None:
    for leaf in LEAVES:
        if f"{leaf.name}.".startswith(f"{block}."):
            case = [*cases(leaf)][-1]
            of = machine_of(case)
            text = domain_xml(of, EVERYTHING)
            read, again = read_and_rendered(of, text)
            assert (again, read.as_xml, read.left_out) == (text, [], []), leaf.name


def test_whole_machines_come_back() -> None:
    for name, of in samples():
        text = domain_xml(of, EVERYTHING)
        read, again = read_and_rendered(of, text)
        assert same(ET.fromstring(again), ET.fromstring(text)), name
        assert read.left_out == [], name


@pytest.mark.slow
def test_random_machines_come_back() -> None:
    """Nearly always by rows alone; else snippets say the rest. Nothing is ever left out."""
    by_rows = snippets = 0

    @settings(max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=[*HealthCheck])
    @given(choices, st.sampled_from([*MACHINES]), st.sampled_from([2, 1, 4]))
    def come_back(picked: list[Choice], name: str, cpus: int) -> None:
        nonlocal by_rows, snippets
        spec: Any = {}
        for choice in picked:
            spec = merged(spec, chosen(choice), choice[2])
        of = replace(MACHINES[name], cpus=cpus)
        try:
            text = with_block(of, spec)
        except InputError:
            return
        read, again = read_and_rendered(of, text)
        assert same(ET.fromstring(again), ET.fromstring(text)) and read.left_out == []
        by_rows, snippets = by_rows + (not read.as_xml), snippets + bool(read.as_xml)

    come_back()
    assert by_rows > 100 and snippets * 10 < by_rows


def domain_with(*devices: str, settings: str = "") -> ET.Element:
    return ET.fromstring(f"<domain>{settings}<devices>{''.join(devices)}</devices></domain>")


def test_what_no_row_says_is_a_snippet() -> None:
    read = read_domain(
        domain_with(
            "<watchdog model='i6300esb' action='reset' x='y'/>", settings="<pm><suspend-to-mem enabled='no'/></pm>"
        ),
        machine(),
        EVERYTHING,
    )
    assert read.as_xml == ["<pm>", "<watchdog model='i6300esb' action='reset'>"] and read.left_out == []
    again = ET.fromstring(with_block(machine(), read.libvirt))
    assert again.find("devices/watchdog[@x='y']") is not None
    assert again.find("pm/suspend-to-mem[@enabled='no']") is not None


def test_qemus_own_elements_are_snippets_that_people_can_read() -> None:
    name = "http://libvirt.org/schemas/domain/qemu/1.0"
    settings = f"<q:commandline xmlns:q='{name}'><q:arg value='-s'/></q:commandline>"
    read = read_domain(domain_with(settings=settings), machine(), EVERYTHING)
    (snippet,) = read.libvirt["snippets"]
    assert snippet.split() == ["<qemu:commandline>", "<qemu:arg", 'value="-s"', "/>", "</qemu:commandline>"]
    assert f"{{{name}}}commandline" in {one.tag for one in ET.fromstring(with_block(machine(), read.libvirt))}


def test_what_nothing_can_say_is_named_and_the_rest_is_taken() -> None:
    good, bad = "<watchdog model='i6300esb' action='reset'/>", "<nonsense here='1'/>"
    read = read_domain(domain_with(bad, good), machine(), EVERYTHING)
    assert read.left_out == ["<nonsense here='1'>"]
    assert read.libvirt == {"devices": {"watchdog": [{"model": "i6300esb", "action": "reset"}]}}


def test_elements_are_compared_by_what_they_say() -> None:
    one, more = (ET.fromstring(text) for text in ("<a x='1'><b/></a>", "<a y='2' x='1'><c/>\n<b/></a>"))
    assert covers(more, one) and not covers(one, more) and not same(one, more)
    two = ET.fromstring("<l><b/><b/></l>")
    assert uncovered([two[0]], [*two]) == [two[1]], "each covers one"
