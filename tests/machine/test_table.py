"""The walk through the table: each field with each kind of value is at its place in the XML, which libvirt's own schema
accepts; each wrong value is an error at its line and column."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from jsonschema import Draft202012Validator

from ovtasks.errors import InputError
from ovtasks.host.run import run
from ovtasks.machine.field import Field, Items, Words
from ovtasks.machine.placeholders import expand
from ovtasks.machine.schema import schema
from ovtasks.machine.xml.domain import domain_xml
from ovtasks.project.load import check
from tests.machine.hosts import EVERYTHING, versions
from tests.machine.samples import samples
from tests.machine.walk import LEAVES, Case, Leaf, cases, leaves, machine_of, spec_with, spec_without, spec_wrong
from tests.support.machines import FOLDER, machine
from tests.support.projects import CLOUD, place, write

DOMAIN_RNG = Path("/usr/share/libvirt/schemas/domain.rng")
WORDS = {
    "${vm.dir}": str(FOLDER),
    "${vm.name}": machine().domain,
    "${vm.sockets}": str(machine().sockets),
    "${vm.project}": str(machine().project),
}
# A test for each block: pytest's own work for a test costs more than a field's.
BLOCKS = sorted({".".join(leaf.name.split(".")[:2]) for leaf in LEAVES})
by_block = pytest.mark.parametrize("block", BLOCKS)


def leaves_of(block: str) -> list[Leaf]:
    return [leaf for leaf in LEAVES if f"{leaf.name}.".startswith(f"{block}.")]


# --- where the declaration alone does not tell ------------------------------------------------------------------------

Place = tuple[str, str, str | None]
"""Path, attribute ("": the text), value (None: it must not be there)."""


def _filesystem_driver(text: str) -> Place:
    return "devices/filesystem/driver", "type", None if text == "9p" else text


def _rng_backend(text: str) -> Place:
    return ("devices/rng/backend", "", text) if text.startswith("/") else ("devices/rng/backend", "model", text)


def _usb(kind: str) -> Callable[[str], Place]:
    return lambda text: (f"devices/hostdev/source/{kind}", "id", f"0x{int(text, 16):04x}")


FACTORS = {"KiB": 1, "MiB": 1 << 10, "GiB": 1 << 20}
COMPUTED: dict[str, Callable[[str], Place]] = {
    "cpu.numa.unit": lambda text: ("cpu/numa/cell", "memory", str(2048 * FACTORS[text])),
    "launch_security.type": lambda text: ("launchSecurity", "type", "sev" if text == "sev-es" else text),
    "launch_security.policy": lambda text: ("launchSecurity/policy", "", f"0x{int(text, 0):04x}"),
    "sysinfo.type": lambda text: ("metadata/x", "", None),  # it only says which of its neighbours may be there
    "devices.filesystems.driver": _filesystem_driver,
    "devices.rng.backend": _rng_backend,
    "devices.hostdevs.source.vendor": _usb("vendor"),
    "devices.hostdevs.source.product": _usb("product"),
    "devices.hostdevs.source.device": lambda text: ("devices/hostdev/source/address", "device", str(int(text, 16))),
    "devices.hostdevs.source.model": lambda text: ("devices/hostdev", "model", text),
}


def where(case: Case) -> Place:
    """Where the value must be."""
    text = expand(case.text, WORDS) if case.leaf.field.kind.path else case.text
    if (computed := COMPUTED.get(case.leaf.name)) is not None:
        return computed(text)
    blocks = [node.block if isinstance(node, Items) else node for node in case.leaf.nodes]
    path, _, attribute = case.leaf.field.at.partition("@")
    whole = "/".join(part for part in (*(block.at for block in blocks), path) if part)
    if whole.endswith("?"):
        return whole[:-1], "", "" if text in {"yes", "on"} else None
    return whole.replace("entry[", "entry[@").replace("=", "='").replace("]", "']"), attribute, text


@by_block
def test_every_value_is_at_its_place(block: str) -> None:
    """And has an effect: a field without which the XML is the same would be silently ignored."""
    for leaf in leaves_of(block):
        texts = {domain_xml(machine_of(case), EVERYTHING): case for case in cases(leaf)}
        for text, case in texts.items():
            check_place(ET.fromstring(text), leaf, case)
        if may_be_without_effect(leaf):
            continue
        try:
            without = domain_xml(machine(libvirt=spec_without(leaf)), EVERYTHING)
        except InputError:
            continue  # what it goes with cannot be without it
        assert {*texts} - {without}, leaf.name


def check_place(root: ET.Element, leaf: Leaf, case: Case) -> None:
    path, attribute, wanted = where(case)
    found = root.findall(path)
    if wanted is None:
        assert found == [] or all(element.get(attribute) is None for element in found), (leaf.name, case.value, path)
        return
    values = [element.get(attribute) if attribute else element.text or "" for element in found]
    assert wanted in values, (leaf.name, case.value, path, attribute, values)
    element = found[values.index(wanted)]
    for key, fixed in leaf.field.fixed.items() if isinstance(leaf.field, Field) else ():
        assert element.get(key) == fixed, leaf.name


def may_be_without_effect(leaf: Leaf) -> bool:
    if leaf.name == "sysinfo.type":
        return True  # its effect is which of its neighbours are refused
    # it can only say what is so anyway
    return isinstance(leaf.field, Field) and leaf.field.kind.values == (leaf.field.default or leaf.field.assumed,)


def test_everything_is_valid_by_libvirts_own_schema(tmp_path: Path) -> None:
    """What a newer libvirt brought is left out where this one's schema does not know it."""
    here, files = versions(), []
    for leaf in LEAVES:
        for index, case in enumerate(cases(leaf)):
            if case.since <= here:
                files.append(tmp_path / f"{leaf.name}-{index}.xml")
                files[-1].write_text(domain_xml(machine_of(case), EVERYTHING), encoding="utf-8")
    assert len(files) > 1400
    for name, of in samples():
        files.append(tmp_path / f"sample-{name}.xml")
        files[-1].write_text(domain_xml(of, EVERYTHING), encoding="utf-8")
    done = run(["xmllint", "--noout", "--relaxng", DOMAIN_RNG, *files], check=False, timeout=300)
    said = done.stdout + done.stderr
    assert [line for line in said.splitlines() if not line.endswith(" validates")] == []
    assert said.count(" validates") == len(files)


# --- what is wrong ----------------------------------------------------------------------------------------------------

MARK = "@MARK@"


def wrongs() -> Iterator[tuple[Leaf, Any]]:
    for leaf in leaves():
        for value in leaf.field.kind.wrong:
            yield leaf, value


def test_every_wrong_value_is_an_error_at_its_place(tmp_path: Path) -> None:
    found = list(wrongs())
    lines, columns = ["vms:"], []
    for number, (leaf, value) in enumerate(found):
        block = spec_wrong(leaf, MARK)
        text = json.dumps({"source": "S", "libvirt": block}).replace('"S"', CLOUD)
        head, _, tail = text.partition(json.dumps(MARK))
        line = f"  v{number}: {head}{json.dumps(value)}{tail.replace(json.dumps(MARK), json.dumps(value))}"
        columns.append(len(f"  v{number}: {head}") + 1)
        lines.append(line)
    write(tmp_path, "\n".join(lines) + "\n")
    places = {place(error)[1:] for error in check((), tmp_path).errors}
    missed = [
        (leaf.name, value, lines[number + 1])
        for number, (leaf, value) in enumerate(found)
        if (number + 2, columns[number]) not in places
    ]
    assert missed == []


def test_reader_and_schema_agree() -> None:
    """What an editor accepts is what the renderer accepts."""
    for leaf in leaves():
        one: dict[str, Any] = dict(leaf.field.kind.schema)
        validator = Draft202012Validator(one)
        for value in (*leaf.field.kind.samples, *leaf.field.kind.wrong):
            assert validator.is_valid(value) == (leaf.field.kind.parse(value) is not None), (leaf.name, value)


def test_every_field_says_what_it_is() -> None:
    for leaf in leaves():
        assert leaf.field.doc.endswith((".", ":")) or leaf.field.doc.endswith(")"), leaf.name
        if isinstance(leaf.field, Field) and leaf.field.default is not None:
            assert leaf.field.kind.parse(leaf.field.default) == leaf.field.default, leaf.name
    Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("leaf", [one for one in leaves() if isinstance(one.field, Words)], ids=lambda leaf: leaf.name)
def test_lists_are_lists(leaf: Leaf, tmp_path: Path) -> None:
    least = leaf.field.least if isinstance(leaf.field, Words) else 0
    block = json.dumps(spec_with(leaf, "x")).replace(json.dumps(["x"] * max(1, least)), '"x"')
    write(tmp_path, f"vms: {{a: {{source: {CLOUD}, libvirt: {block}}}}}")
    assert any("must be a list" in error.message for error in check((), tmp_path).errors)
