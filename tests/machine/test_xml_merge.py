"""XML that users write, merged into the domain: lists grow, single things are merged, contradictions are errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovtasks.errors import InputError, InputErrors, Where
from ovtasks.host.run import run
from ovtasks.instance.saved_machine import load_machine, save_machine
from ovtasks.machine.devices import ELEMENTS as DEVICE_ELEMENTS
from ovtasks.machine.machine import Nic, Snippet
from ovtasks.machine.qemu.snippets import refuse
from ovtasks.machine.xml.domain import QEMU_NAMESPACE, domain_xml
from ovtasks.machine.xml.merge import LISTS, ONE_DEVICE, distinct, own_snippets
from ovtasks.machine.xml.names import DOMAIN_ELEMENTS
from tests.support.machines import FORWARDS, HOST, MAC, SNIPPETS, machine

QEMU = {"qemu": QEMU_NAMESPACE}
RNG_NAMESPACE = "{http://relaxng.org/ns/structure/1.0}"


def text_of(*texts: str, passthrough: str | None = None, **more: Any) -> str:
    libvirt: dict[str, object] = {"snippets": list(texts)}
    if passthrough is not None:
        libvirt["xml_passthrough"] = passthrough
    return domain_xml(machine(snippets=own_snippets(libvirt), **more), HOST)


def tree(*texts: str, **more: Any) -> ET.Element:
    return ET.fromstring(text_of(*texts, **more))


def refused(*texts: str, **more: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        text_of(*texts, **more)
    return caught.value


# --- lists and single things ------------------------------------------------------------------------------------------


def test_without_any_nothing_changes() -> None:
    assert text_of() == domain_xml(machine(), HOST)


@pytest.mark.parametrize(
    "text",
    [
        "<watchdog model='i6300esb' action='reset'/>",
        "<devices><watchdog model='i6300esb' action='reset'/></devices>",
        "<domain><devices><watchdog model='i6300esb' action='reset'/></devices></domain>",
        "<!-- one --><watchdog action='reset' model='i6300esb'></watchdog>\n",
    ],
)
def test_a_device_comes_to_the_others(text: str) -> None:
    found = tree(text)
    (watchdog,) = found.findall("devices/watchdog")
    assert watchdog.attrib == {"model": "i6300esb", "action": "reset"}
    assert len(found.findall("devices")) == 1
    assert [device.tag for device in found.findall("devices/*")][:2] == ["disk", "interface"]


def test_devices_append_and_what_is_there_already_does_not() -> None:
    disk = "<disk type='file' device='disk'><source file='/a'/><target dev='vdc' bus='virtio'/></disk>"
    again = disk.replace("type='file' device='disk'", "device='disk' type='file'").replace("><", "> <")
    other = disk.replace("vdc", "vdd")
    targets = [t.get("dev") for t in tree(disk, again, other).findall("devices/disk/target")]
    assert targets == ["vda", "vdc", "vdd"]


def test_equal_devices_of_one_snippet_are_several() -> None:
    redirection = "<redirdev bus='usb' type='spicevmc'/>"
    assert len(tree(redirection * 3, redirection).findall("devices/redirdev")) == 3


def test_one_rng_more() -> None:
    assert len(tree("<rng model='virtio'><backend model='builtin'/></rng>").findall("devices/rng")) == 2


def test_what_a_domain_has_once_is_merged() -> None:
    found = tree(
        "<cpu mode='maximum'><topology sockets='1' cores='2' threads='1'/><feature policy='require' name='vmx'/></cpu>",
        "<cpu><feature policy='disable' name='la57'/><numa><cell id='0' cpus='0-1' memory='262144'/></numa></cpu>",
        "<features><hyperv mode='custom'><relaxed state='on'/></hyperv><acpi/></features>",
        "<features><hyperv><vapic state='on'/></hyperv></features>",
        "<memoryBacking><source type='memfd'/></memoryBacking><memoryBacking><access mode='shared'/></memoryBacking>",
    )
    (cpu,) = found.findall("cpu")
    assert [child.tag for child in cpu] == ["feature", "topology", "feature", "numa"]
    assert [(f.get("name"), f.get("policy")) for f in cpu.findall("feature")] == [
        ("la57", "disable"),
        ("vmx", "require"),
    ]
    assert [child.tag for child in found.findall("features/*")] == ["acpi", "apic", "tcg", "hyperv"]
    assert [child.tag for child in found.findall("features/hyperv/*")] == ["relaxed", "vapic"]
    assert [child.tag for child in found.findall("memoryBacking/*")] == ["source", "access"]


def test_a_device_is_known_by_what_libvirt_knows_it_by() -> None:
    found = tree(
        "<channel type='unix'><source mode='bind' path='/s'/><target type='virtio' name='org.qemu.guest_agent.0'/>"
        "</channel>",
        "<disk><target dev='vda'/><driver cache='none'/></disk>",
        f"<interface><mac address='{MAC}'/><mtu size='1400'/></interface>",
        "<memballoon><stats period='10'/></memballoon>",
        "<serial><target port='0'/><alias name='ua-first'/></serial>",
    )
    (channel,) = found.findall("devices/channel")
    assert channel.find("source") is not None
    (driver,) = found.findall("devices/disk/driver")
    assert driver.attrib == {"name": "qemu", "type": "qcow2", "discard": "unmap", "cache": "none"}
    assert [child.tag for child in found.findall("devices/interface/*")] == ["mac", "model", "rom", "mtu"]
    assert [child.tag for child in found.findall("devices/memballoon/*")] == ["stats"]
    assert len(found.findall("devices/serial")) == 1


def test_lists_that_no_table_knows() -> None:
    found = tree("<x><y/></x>".replace("x", "resource").replace("y", "partition"), "<pm><a/></pm>")
    assert found.find("pm/a") is not None
    several = "<perf><other n='1'/><other n='2'/></perf>"
    assert len(tree("<perf/>", several).findall("perf/other")) == 2


def test_words_of_ours_that_nothing_else_chooses() -> None:
    found = tree("<on_crash>preserve</on_crash>", "<vcpu placement='auto'>2</vcpu>")
    assert found.findtext("on_crash") == "preserve"
    assert [(vcpu.get("placement"), vcpu.text) for vcpu in found.findall("vcpu")] == [("auto", "2")]
    error = refused("<on_crash>preserve</on_crash>", "<on_crash>restart</on_crash>")
    assert "'restart', but libvirt.snippets[0] says 'preserve'" in error.message


def test_smbios_tables_reach_the_guest() -> None:
    table = "<sysinfo type='smbios'><system><entry name='serial'>7</entry></system></sysinfo>"
    found = tree(table, oem_strings=("a",))
    (sysinfo,) = found.findall("sysinfo")
    assert [child.tag for child in sysinfo] == ["oemStrings", "system"]
    (smbios,) = tree(table).findall("os/smbios")
    assert smbios.attrib == {"mode": "sysinfo"}
    assert tree("<os><smbios mode='host'/></os>", table).findall("os/smbios")[0].attrib == {"mode": "host"}


def test_an_order_of_booting_by_devices() -> None:
    disk = "<disk device='cdrom'><target dev='sda' bus='sata'/><boot order='3'/></disk>"
    found = tree(disk)
    assert found.findall("os/boot") == []
    orders = [
        (disk.findall("target")[0].get("dev"), disk.findall("boot")[0].get("order")) for disk in found.iter("disk")
    ]
    assert orders == [("vda", "4"), ("sda", "3")]
    own = tree("<disk><target dev='vda'/><boot order='1'/></disk>", disk)
    assert [boot.get("order") for boot in own.findall("devices/disk/boot")] == ["1", "3"]
    assert [boot.get("dev") for boot in tree("<os><boot dev='network'/></os>").findall("os/boot")] == ["hd", "network"]
    assert [boot.get("dev") for boot in tree("<rng><alias name='ua-a'/></rng>").findall("os/boot")] == ["hd"]


# --- QEMU's and other namespaces --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "<qemu:commandline><qemu:arg value='-s'/></qemu:commandline>",
        f"<domain xmlns:q='{QEMU_NAMESPACE}'><q:commandline><q:arg value='-s'/></q:commandline></domain>",
        f"<commandline xmlns='{QEMU_NAMESPACE}'><arg value='-s'/></commandline>",
    ],
)
def test_qemu_arguments_come_after_ours(text: str) -> None:
    plain = tree(text)
    assert [arg.get("value") for arg in plain.findall("qemu:commandline/qemu:arg", QEMU)] == ["-s"]
    ours = tree(text, nic=Nic(MAC, forwards=FORWARDS))
    values = [arg.get("value") for arg in ours.findall("qemu:commandline/qemu:arg", QEMU)]
    assert values[0] == "-netdev" and values[-1] == "-s" and len(ours.findall("qemu:commandline", QEMU)) == 1
    assert list(ours)[-1].tag == f"{{{QEMU_NAMESPACE}}}commandline"


def test_an_argument_may_be_there_twice_and_a_command_line_of_two_places_once() -> None:
    both = "<qemu:commandline><qemu:arg value='-device'/><qemu:arg value='{}'/></qemu:commandline>"
    found = tree(both.format("a"), both.format("b"), passthrough=both.format("a"))
    values = [arg.get("value") for arg in found.findall("qemu:commandline/qemu:arg", QEMU)]
    assert values == ["-device", "a", "-device", "b"]


def test_other_namespaces_are_kept() -> None:
    found = tree(
        "<domain xmlns:a='urn:a'><a:one a:x='1'><two/></a:one></domain>",
        "<metadata><o:app xmlns:o='urn:o' id='7'>text</o:app></metadata>",
    )
    (one,) = found.findall("{urn:a}one")
    assert one.attrib == {"{urn:a}x": "1"} and [child.tag for child in one] == ["two"]
    assert [child.tag.rpartition("}")[2] for child in found.findall("metadata/*")] == ["vm", "app"]
    assert found.findtext("metadata/{urn:o}app") == "text"


# --- contradictions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("<cpu mode='host-model'/>", "<cpu mode> is 'host-model', but this VM has 'maximum'", "libvirt.cpu in vms.yml"),
        ("<memory unit='KiB'>1</memory>", "<memory> is '1', but this VM has '262144'", "ram in vms.yml"),
        ("<vcpu>8</vcpu>", "<vcpu> is '8', but this VM has '2'", "cpus in vms.yml"),
        ("<os><type machine='pc'/></os>", "<type machine> is 'pc', but this VM has 'q35'", "machine in vms.yml"),
        ("<name>x</name>", "<name> is 'x', but this VM has 'ov-web'", "remove it here"),
        ("<domain type='kvm'/>", "<domain type> is 'kvm', but this VM has 'qemu'", "accel in vms.yml"),
        ("<memballoon model='none'/>", "is 'none', but this VM has 'virtio'", "libvirt.devices.memballoon"),
        (
            "<disk type='file'><source file='/x'/><target dev='vda'/></disk>",
            "<source file> is '/x', but this VM has '/data/ov-web/disk.qcow2'",
            "remove it here",
        ),
        (f"<interface type='bridge'><mac address='{MAC}'/></interface>", "'bridge', but this VM has 'user'", "network"),
    ],
)
def test_two_values_for_one_thing(text: str, message: str, hint: str) -> None:
    error = refused(text)
    assert message in error.message and hint in str(error.hint)
    assert error.field == ("libvirt", "snippets", 0) and error.at is not None


def test_two_snippets_that_contradict_each_other() -> None:
    where = Where("layers/a/layer.yml", 4, 5)
    first = Snippet("<vsock model='virtio'><cid auto='yes'/></vsock>", "layer a", where=where, begins=(5, 7))
    second = Snippet("<vsock model='virtio'>\n <cid auto='no'/>\n</vsock>", "layer b", where=where, begins=(5, 7))
    with pytest.raises(InputError) as caught:
        domain_xml(machine(snippets=(first, second)), HOST)
    error = caught.value
    assert error.message == "layer b: <cid auto> is 'no', but layer a (layers/a/layer.yml:4:5) says 'yes'"
    assert error.where == Where("layers/a/layer.yml", 6, 8)


def test_all_that_is_wrong_is_said() -> None:
    error = refused("<cpu mode='x'/>\n<name>y</name>", "<dsk/>", "<rng>")
    assert isinstance(error, InputErrors)
    places = [(one.field, one.at) for one in error.errors]
    assert places == [
        (("libvirt", "snippets", 0), (1, 1)),
        (("libvirt", "snippets", 0), (2, 1)),
        (("libvirt", "snippets", 1), (1, 1)),
        (("libvirt", "snippets", 2), (1, 1)),
    ]


# --- as a whole -------------------------------------------------------------------------------------------------------


def test_valid_by_libvirts_own_schema(tmp_path: Path) -> None:
    file = tmp_path / "domain.xml"
    file.write_text(text_of(*SNIPPETS, nic=Nic(MAC, forwards=FORWARDS)))
    run(["virt-xml-validate", file, "domain"])
    assert text_of(*SNIPPETS) == text_of(*SNIPPETS)


def test_the_tables_know_every_element_of_the_installed_schema() -> None:
    """libvirt's RelaxNG: the elements directly below <domain> and <devices>."""
    common = ET.parse("/usr/share/libvirt/schemas/domaincommon.rng").getroot()
    defines: dict[str, list[ET.Element]] = {}
    for part in common.iter(f"{RNG_NAMESPACE}define"):
        defines.setdefault(part.attrib["name"], []).append(part)

    def below(element: ET.Element, seen: set[str]) -> set[str]:
        names: set[str] = set()
        for child in element:
            if child.tag == f"{RNG_NAMESPACE}element":
                names |= {child.get("name", "")} - {""} if not child.get("ns") else set()
            elif child.tag == f"{RNG_NAMESPACE}ref":
                if (name := child.attrib["name"]) not in seen:
                    seen.add(name)
                    for define in defines.get(name, ()):
                        names |= below(define, seen)
            else:
                names |= below(child, seen)
        return names

    def named(name: str) -> set[str]:
        found = [e for e in common.iter(f"{RNG_NAMESPACE}element") if e.get("name") == name]
        return {word for element in found for word in below(element, set())}

    qemu = {"commandline", "capabilities", "deprecation", "override", "namespace"}
    assert {"os", "memtune", "devices"} < named("domain") and named("domain") - qemu <= DOMAIN_ELEMENTS
    assert {"disk", "tpm", "vsock"} < named("devices") and named("devices") <= DEVICE_ELEMENTS


def test_the_lists_are_of_elements_that_exist() -> None:
    devices = {tag for parent, tag in LISTS if parent == "devices"}
    assert (devices | ONE_DEVICE) <= DEVICE_ELEMENTS and not devices & ONE_DEVICE


@pytest.mark.parametrize(
    ("libvirt", "message", "field"),
    [
        ({"snippets": "<rng/>"}, "libvirt.snippets is not a list", ("libvirt", "snippets")),
        ({"snippets": {"a": 1}}, "libvirt.snippets is not a list", ("libvirt", "snippets")),
        ({"snippets": ["<rng/>", 1]}, "libvirt.snippets[1] is not a text", ("libvirt", "snippets", 1)),
        ({"xml_passthrough": ["<rng/>"]}, "libvirt.xml_passthrough is not a text", ("libvirt", "xml_passthrough")),
    ],
)
def test_what_is_no_text(libvirt: dict[str, object], message: str, field: tuple[str | int, ...]) -> None:
    with pytest.raises(InputError) as caught:
        own_snippets(libvirt)
    assert (caught.value.message, caught.value.field) == (message, field)


def test_the_same_text_of_several_layers_counts_once() -> None:
    texts = [Snippet(" <a/>\n", "x"), Snippet("<b/>", "y"), Snippet("<a/>", "z")]
    assert [snippet.name for snippet in distinct(texts)] == ["x", "y"]


def test_a_stored_machine_has_them(tmp_path: Path) -> None:
    snippets = (
        *own_snippets({"snippets": ["<a/>"]}),
        Snippet("<b/>", "layer a", where=Where("f", 1, 2), begins=(1, 3)),
    )
    save_machine(tmp_path / "machine.json", machine(snippets=snippets))
    assert load_machine(tmp_path / "machine.json") == machine(snippets=snippets)


def test_qemu_alone_has_no_use_for_them() -> None:
    for libvirt in ({"snippets": ["<rng/>"]}, {"xml_passthrough": "<rng/>"}):
        with pytest.raises(InputError) as caught:
            refuse(own_snippets(libvirt))
        (name,) = libvirt
        assert f"libvirt.{name}" in caught.value.message and caught.value.field is not None


# --- whatever is written ----------------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    [
        *("domain", "devices", "disk", "cpu", "feature", "memory", "os", "boot", "qemu:commandline", "qemu:arg", "x:y"),
        *("metadata", "sysinfo", "entry", "target", "vcpu", "sauce", "rng", "channel", "perf", "source", "name"),
    ]
)
VALUES = st.sampled_from(["on", "1", "vda", "urn:x", "", "q35", "4", "smbios"])
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["type", "dev", "name", "xmlns:x", "order", "id", "model"]), VALUES, max_size=3
)


def _element(name: str, attributes: dict[str, str], below: list[str]) -> str:
    return f"<{name}{''.join(f' {key}={value!r}' for key, value in attributes.items())}>{''.join(below)}</{name}>"


ELEMENTS = st.recursive(
    st.sampled_from(["", "text", "4", "&amp;", "<!-- c -->", "<![CDATA[<]]>"]),
    lambda below: st.builds(_element, NAMES, ATTRIBUTES, st.lists(below, max_size=3)),
    max_leaves=8,
)
PIECES = st.sampled_from(
    ["<", ">", "</", "/>", "<disk", "'", '"', "&", "]]>", "<?x", "<!DOCTYPE", "\x85", "ä", " ", "a='b'"]
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.one_of(ELEMENTS, st.lists(PIECES, max_size=8).map("".join)), min_size=1, max_size=3))
def test_any_text_is_merged_or_refused(texts: list[str]) -> None:
    snippets = own_snippets({"snippets": texts})
    try:
        text = domain_xml(machine(snippets=snippets), HOST)
    except InputError as e:
        assert e.message
        return
    assert text == domain_xml(machine(snippets=snippets), HOST)
    root = ET.fromstring(text)
    assert [root.findtext(name) for name in ("name", "memory")] == ["ov-web", "262144"]
    assert len(root.findall("devices")) == 1


def test_passwords_are_in_no_error() -> None:
    error = refused("<graphics type='vnc' passwd='hunter2'/>", "<graphics type='vnc' passwd='hunter3'/>")
    assert "<graphics passwd> is '…', but libvirt.snippets[0] says '…'" in error.message
    assert "hunter" not in str(error)


def test_the_own_disks_bus_is_ours_to_choose() -> None:
    """A guest may have no driver for virtio. Other disks have a field for it."""
    own = "<disk><target dev='vda' bus='sata'/><driver discard='ignore' cache='none'/></disk>"
    disk = tree(own).find("devices/disk[source]")
    assert disk is not None
    found = {place.tag: dict(place.attrib) for place in disk}
    assert found["target"] == {"dev": "vda", "bus": "sata"}
    assert found["driver"] == {"name": "qemu", "type": "qcow2", "discard": "ignore", "cache": "none"}
    again = refused(own, "<disk><target dev='vda' bus='ide'/></disk>")
    assert "'ide'" in again.message and "'sata'" in again.message
    other = {"devices": {"disks": [{"source": {"file": "/d.img"}, "target": {"dev": "vdc"}}]}}
    assert "'virtio'" in refused("<disk><target dev='vdc' bus='sata'/></disk>", libvirt=other).message
