"""The whole table in a real libvirt: it takes each case, or says that this host lacks something; what it took comes
back with the values that were set."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from xml.etree import ElementTree as ET

import pytest

from ovtasks.values.jsonvalue import Json
from tests.machine.samples import ROOT
from tests.machine.test_table import where
from tests.machine.walk import LEAVES, Case, cases
from tests.support.session import session_user

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("libvirt")]

# What libvirt says when this kind of host, machine or QEMU has no such thing.
REASONS = re.compile(
    "|".join(
        (
            "not (yet )?supported (by|with|for|in) (this|session|architecture|virtType)",
            "(is not supported in|unsupported for) this QEMU",
            "does not support (virt type 'kvm'|TPM model)",
            "Invalid value for attribute 'type' in element 'backend': 'passt'",
            "greater than specified machine type limit",
            "(allowed for|only|are only supported (with|on)) .*(s390|pSeries|S390|ARM Virt|440fx)",
            "No master USB controller specified",  # a companion controller alone
            "a PCI slot is needed|Cannot automatically add a new PCI bus|must be larger than bus",  # a switch alone
            "node 0 not found|must correspond to existing guest's NUMA cell",  # a cell without the others
            "Cannot check QEMU binary",  # the emulator does not exist
            "TLS is disabled in qemu.conf",
            "Serial device with target type 'spapr-vio-serial'",
        )
    )
)
# Values that mean "as usual", which libvirt leaves out; or that it spells in another way.
USUAL = {
    "0": re.compile(
        r"iothreads|cputune\..*quota|devices\.disks\.iotune\..*|memory_backing\.hugepages\.nodeset|devices\.leases\.target\.offset"
    ),
    "1": re.compile(r"devices\.interfaces\.driver\.queues"),
    "no": re.compile(
        r"devices\.graphics\.(p2p|fullscreen)|devices\.tpm\.backend\.persistent_state|devices\.video\.primary"
    ),
    "any": re.compile(r"devices\.graphics\.default_mode"),
    "default": re.compile(r"devices\.disks\.driver\.cache|devices\.filesystems\.multidevs"),
    "static": re.compile(r"numatune\.memory\.placement"),
    "tcp": re.compile(r"devices\.disks\.source\.hosts\.transport"),
    "dynamic": re.compile(r"seclabel\.type"),  # none, where the host has no security driver
}
SPELLED: dict[str, Callable[[str], str]] = {
    "0-3,^2": lambda text: "0-1,3",
    "devices.controllers.target.port": lambda text: hex(int(text)),
    "cpu.numa.cpus": lambda text: "0-3",  # a cell alone gets all
    "devices.hostdevs.source.name": lambda text: f"{text}/0",
}


@pytest.fixture(scope="module")
def defined() -> Iterator[dict[tuple[str, str], tuple[str | None, str]]]:
    """By name and value: libvirt's refusal, or its version of the definition."""
    with session_user() as user:
        folder = user.home / "samples"
        folder.mkdir()
        shutil.copy(ROOT / "vms.yml", folder)
        user.owned(folder)
        done = user.run(user.python, "-m", "tests.machine.defined", folder)
        assert done.returncode == 0, done.stderr
        found: list[tuple[str, Json, str | None, str]] = json.loads(done.stdout)
        yield {(name, json.dumps(value)): (refusal, dump) for name, value, refusal, dump in found}


def test_libvirt_takes_it_or_lacks_something(defined: dict[tuple[str, str], tuple[str | None, str]]) -> None:
    refused = {key: refusal for key, (refusal, _) in defined.items() if refusal is not None}
    assert {key: said for key, said in refused.items() if not REASONS.search(said)} == {}
    assert len(defined) > 900 and len(refused) < len(defined) // 8


def test_the_samples_are_taken(defined: dict[tuple[str, str], tuple[str | None, str]]) -> None:
    found = {value: refusal for (name, value), (refusal, _) in defined.items() if name == "sample"}
    assert '"arch"' in found and '"selkies-desktop-bootc-bootc"' in found and len(found) >= 7
    assert [refusal for refusal in found.values() if refusal is not None] == []


def test_what_was_set_comes_back(defined: dict[tuple[str, str], tuple[str | None, str]]) -> None:
    lost = []
    for leaf in LEAVES:
        for case in cases(leaf):
            refusal, dump = defined.get((leaf.name, json.dumps(case.value)), ("not known to it", ""))
            if refusal is None and not _is_there(case, ET.fromstring(dump)):
                lost.append((leaf.name, case.value))
    assert lost == []


def _is_there(case: Case, root: ET.Element) -> bool:
    path, attribute, wanted = where(case)
    if wanted is None:
        return True  # libvirt may well write what it has by default
    found = [element.get(attribute) if attribute else element.text or "" for element in root.findall(path)]
    spelled = SPELLED.get(case.leaf.name) or SPELLED.get(wanted)
    usual = USUAL.get(wanted)
    return (
        wanted in found
        or (spelled is not None and spelled(wanted) in found)
        or (usual is not None and usual.fullmatch(case.leaf.name) is not None)
    )
