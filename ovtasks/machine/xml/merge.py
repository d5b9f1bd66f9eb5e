"""Merges XML that users write into the domain that we rendered, before libvirt sees it.

Devices and other lists grow. What a domain has once is merged attribute by attribute; two values for one thing are an
error. libvirt's documentation, "Domain XML format", says what may stand once and what may repeat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from ovtasks.errors import InputError, InputErrors, Where
from ovtasks.machine.devices import DEVICES
from ovtasks.machine.devices.disk.names import ROOT_DISK
from ovtasks.machine.field import Block
from ovtasks.machine.machine import Snippet
from ovtasks.machine.xml.names import DOMAIN_ORDER, QEMU_NAMESPACE
from ovtasks.machine.xml.text import Fragment, Part, parse_fragment, parts

# What may repeat, by parent and name → the places of the values that tell one from another ("@name" is an attribute,
# "target@dev" a child's). () means that nothing does: each is one more.
LISTS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("domain", "sysinfo"): ("@type",),
    ("domain", "seclabel"): ("@model",),
    ("os", "boot"): ("@dev",),
    ("os", "initarg"): (),
    ("os", "initenv"): ("@name",),
    ("acpi", "table"): ("@type",),
    ("firmware", "feature"): ("@name",),
    ("cpu", "feature"): ("@name",),
    ("numa", "cell"): ("@id",),
    ("distances", "sibling"): ("@id",),
    ("interconnects", "latency"): ("@initiator", "@target", "@cache", "@type"),
    ("interconnects", "bandwidth"): ("@initiator", "@target", "@cache", "@type"),
    ("cell", "cache"): ("@level",),
    ("clock", "timer"): ("@name",),
    ("hugepages", "page"): ("@nodeset", "@size", "@unit"),
    ("cputune", "vcpupin"): ("@vcpu",),
    ("cputune", "iothreadpin"): ("@iothread",),
    ("cputune", "vcpusched"): ("@vcpus",),
    ("cputune", "iothreadsched"): ("@iothreads",),
    ("cputune", "cachetune"): ("@vcpus",),
    ("cputune", "memorytune"): ("@vcpus",),
    ("cachetune", "cache"): ("@id", "@level", "@type"),
    ("cachetune", "monitor"): ("@level", "@vcpus"),
    ("memorytune", "node"): ("@id",),
    ("numatune", "memnode"): ("@cellid",),
    ("blkiotune", "device"): ("path",),
    ("iothreadids", "iothread"): ("@id",),
    ("throttlegroups", "throttlegroup"): ("group_name",),
    ("vcpus", "vcpu"): ("@id",),
    ("perf", "event"): ("@name",),
    ("keywrap", "cipher"): ("@name",),
    ("idmap", "uid"): ("@start",),
    ("idmap", "gid"): ("@start",),
    ("oemStrings", "entry"): (),
    ("sysinfo", "baseBoard"): (),
    ("sysinfo", "entry"): ("@name",),
    **{(block, "entry"): ("@name",) for block in ("bios", "system", "baseBoard", "chassis")},
    ("qemu:commandline", "qemu:arg"): (),
    ("qemu:commandline", "qemu:env"): ("@name",),
    ("qemu:capabilities", "qemu:add"): ("@capability",),
    ("qemu:capabilities", "qemu:del"): ("@capability",),
    ("qemu:override", "qemu:device"): ("@alias",),
    ("qemu:frontend", "qemu:property"): ("@name",),
    # devices that libvirt refuses to have twice
    **{("devices", device.tag): device.same for device in DEVICES if device.same},
}
_SINGLE = {device.tag: device.name for device in DEVICES if isinstance(device.rows, Block)}
ONE_DEVICE = frozenset({"emulator", "nvram", *_SINGLE})
"""A domain has at most one of each of these, and any number of other devices."""

# The words of a command line: each counts, even when it repeats another.
WORDS = frozenset({("qemu:commandline", "qemu:arg"), ("os", "initarg")})

# What we choose and no field of vms.yml sets: the user's value replaces ours.
OWN_DISK = "own disk"
"""The path of the VM's own disk, whose bus no field sets; ``devices/disk`` is that of the others."""
CHOSEN = frozenset(
    {
        *("on_poweroff", "on_reboot", "on_crash", "vcpu@placement"),
        *(f"{OWN_DISK}/target@bus", f"{OWN_DISK}/driver@discard"),
    }
)
# Place in the domain → the field of vms.yml that sets it, for hints.
_FIELDS = {
    "@type": "accel",
    "memory": "ram",
    "currentMemory": "ram",
    "vcpu": "cpus",
    "os/type@machine": "machine",
    "os/loader": "firmware",
    "os/nvram": "firmware",
    "os/firmware": "firmware",
    "os@firmware": "firmware",
    "devices/interface": "network",
    **{f"devices/{tag}": f"libvirt.devices.{name}" for tag, name in _SINGLE.items()},
    "features": "libvirt.features",
    "cpu": "libvirt.cpu",
    "clock": "libvirt.clock",
}


_RANK = {name: index for index, name in enumerate(DOMAIN_ORDER)}


def own_snippets(libvirt: Mapping[str, object]) -> tuple[Snippet, ...]:
    """The snippets of the spec's ``libvirt:``: ``snippets``, then ``xml_passthrough``.

    :raises InputError: they are not texts.
    """
    written, last = libvirt.get("snippets", ()), libvirt.get("xml_passthrough")
    if isinstance(written, str) or not isinstance(written, Sequence):
        hint = "snippets: [\"<watchdog model='i6300esb'/>\"]"
        raise InputError("libvirt.snippets is not a list", hint=hint, field=("libvirt", "snippets"))
    found = [
        Snippet(_text(text, f"libvirt.snippets[{index}]", place), f"libvirt.snippets[{index}]", place)
        for index, text in enumerate(written)
        for place in [("libvirt", "snippets", index)]
    ]
    if last is not None:
        name, place = "libvirt.xml_passthrough", ("libvirt", "xml_passthrough")
        found.append(Snippet(_text(last, name, place), name, place))
    return tuple(found)


def _text(value: object, name: str, field: Sequence[str | int]) -> str:
    if not isinstance(value, str):
        raise InputError(f"{name} is not a text", hint="XML, in quotes or in a block after |", field=field)
    return value


def distinct(snippets: Sequence[Snippet]) -> tuple[Snippet, ...]:
    """The snippets without repeated texts (blanks around them aside): several layers may bring the same one."""
    first = {snippet.text.strip(): snippet for snippet in reversed(snippets)}
    return tuple(snippet for snippet in snippets if first[snippet.text.strip()] is snippet)


def merge(domain: ET.Element, snippets: Sequence[Snippet]) -> None:
    """Put what ``snippets`` say into ``domain``.

    :raises InputError: one is not XML, has an element that libvirt does not know, or contradicts a value that is there
        already; several errors come as InputErrors.
    """
    merging = _Merging(domain)
    for snippet in distinct(snippets):
        merging.add(snippet)
    if len(merging.errors) == 1:
        raise merging.errors[0]
    if merging.errors:
        raise InputErrors(merging.errors)
    merging.finish()


def canonical(element: ET.Element) -> tuple[object, ...]:
    """A value that is equal for elements that say the same: attributes in any order, blanks around text aside."""
    text = (element.text or "").strip()
    return element.tag, tuple(sorted(element.attrib.items())), text, tuple(canonical(child) for child in element)


def _value(element: ET.Element, place: str) -> str | None:
    path, at, attribute = place.partition("@")
    found = element.find(path) if path else element
    if found is None:
        return None
    return found.get(attribute) if at else (found.text or "").strip()


def _identity(element: ET.Element, places: Sequence[str]) -> tuple[str | None, ...] | None:
    """The values that tell ``element`` from others; None: it has none of them."""
    values = tuple(_value(element, place) for place in places)
    return values if any(value is not None for value in values) else None


def _number(boot: ET.Element) -> bool:
    return boot.get("order", "").isdecimal()


class _Merging:
    """One domain while it grows. ``brought`` maps an element or attribute to the snippet that it came from."""

    def __init__(self, domain: ET.Element) -> None:
        self.domain = domain
        devices = domain.find("devices")
        self.devices = devices if devices is not None else ET.SubElement(domain, "devices")
        self.errors: list[InputError] = []
        self.brought: dict[tuple[int, str], Snippet] = {}
        self.commands: set[tuple[object, ...]] = set()
        self.snippet = Snippet("", "")
        self.fragment = Fragment((), {}, frozenset())

    def add(self, snippet: Snippet) -> None:
        self.snippet = snippet
        try:
            self.fragment = parse_fragment(snippet.text)
            found = parts(self.fragment)
        except InputError as e:
            self.errors.append(self._error(e.message, e.at, e.hint))
            return
        for part in found:
            self._part(part)

    def finish(self) -> None:
        """Add what the added elements need."""
        if any(element.tag.startswith("qemu:") for element in self.domain.iter()):
            self.domain.set("xmlns:qemu", QEMU_NAMESPACE)
        os = self.domain.find("os")
        tables = any(element.get("type") == "smbios" for element in self.domain.findall("sysinfo"))
        if tables and os is not None and os.find("smbios") is None:
            ET.SubElement(os, "smbios", {"mode": "sysinfo"})  # without it the guest never sees them
        if os is not None:
            self._order(os)

    def _order(self, os: ET.Element) -> None:
        """Order by devices once a snippet does: libvirt orders by devices or by kinds, never by both. The VM's own disk
        comes last."""
        places = [int(boot.get("order", "")) for boot in self.devices.iterfind("*/boot") if _number(boot)]
        ours = [boot for boot in os.findall("boot") if (id(boot), "") not in self.brought]
        if not places or not ours:
            return
        for boot in ours:
            os.remove(boot)
        disk = next((one for one in self.devices.findall("disk") if _value(one, "target@dev") == ROOT_DISK), None)
        if disk is not None and disk.find("boot") is None:
            ET.SubElement(disk, "boot", {"order": str(max(places) + 1)})

    def _part(self, part: Part) -> None:
        element = part.element
        if part.attributes:
            self._attributes(self.domain, element, "")
        elif part.device:
            self._child(self.devices, element, f"devices/{element.tag}")
        elif element.tag == "qemu:commandline":
            # arguments may repeat, but a whole command line that two places bring counts once
            if (said := canonical(element)) not in self.commands:
                self.commands.add(said)
                self._child(self.domain, element, element.tag)
        elif id(element) in self.fragment.foreign:
            self._append(self.domain, element)
        else:
            self._child(self.domain, element, element.tag)

    def _child(self, parent: ET.Element, child: ET.Element, path: str, *, several: bool = False) -> None:
        """Merge ``child`` into ``parent``. ``several``: it is one of a list that the table does not know."""
        places = () if several else self._places(parent, child)
        if (parent.tag, child.tag) not in WORDS and self._said(parent, child):
            return
        twin = self._twin(parent, child, places)
        if twin is None:
            self._append(parent, child)
            return
        if path == "devices/disk" and _value(twin, "target@dev") == ROOT_DISK:
            path = OWN_DISK
        self._attributes(twin, child, path)
        self._words(twin, child, path)
        tags = [below.tag for below in child]
        for below in child:
            known = (child.tag, below.tag) in LISTS
            self._child(twin, below, f"{path}/{below.tag}", several=not known and tags.count(below.tag) > 1)

    def _said(self, parent: ET.Element, child: ET.Element) -> bool:
        """Whether another snippet, or we, said exactly that. Equal devices within one snippet count each."""
        said = canonical(child)
        return any(
            canonical(other) == said and self.brought.get((id(other), "")) is not self.snippet for other in parent
        )

    def _places(self, parent: ET.Element, child: ET.Element) -> tuple[str, ...] | None:
        """The places of the values that tell such children apart; None: there can be only one."""
        if (places := LISTS.get((parent.tag, child.tag))) is not None:
            return places
        if parent is self.devices:
            return None if child.tag in ONE_DEVICE else ()
        if parent.tag == "metadata" or id(child) in self.fragment.foreign:
            return ()
        return None

    def _twin(self, parent: ET.Element, child: ET.Element, places: tuple[str, ...] | None) -> ET.Element | None:
        """The element of ``parent`` that ``child`` is about; None: there is none yet."""
        others = [other for other in parent if other.tag == child.tag]
        if places is None:
            return others[0] if len(others) == 1 else None
        identity = _identity(child, places) if places else None
        if identity is None:
            return None
        return next((other for other in others if _identity(other, places) == identity), None)

    def _append(self, parent: ET.Element, child: ET.Element) -> None:
        if parent is self.domain and child.tag in _RANK and id(child) not in self.fragment.foreign:
            later = (at for at, other in enumerate(parent) if _RANK.get(other.tag, len(_RANK)) > _RANK[child.tag])
            parent.insert(next(later, len(parent)), child)
        else:
            parent.append(child)
        for element in child.iter():
            self.brought[id(element), ""] = self.snippet
            self.brought.update({(id(element), key): self.snippet for key in element.attrib})

    def _attributes(self, mine: ET.Element, theirs: ET.Element, path: str) -> None:
        for key, value in theirs.attrib.items():
            there = mine.get(key)
            if there == value:
                continue
            if there is None or (f"{path}@{key}" in CHOSEN and (id(mine), key) not in self.brought):
                mine.set(key, value)
                self.brought[id(mine), key] = self.snippet
            else:
                self._conflict(mine, theirs, f"{path}@{key}", key, there, value)

    def _words(self, mine: ET.Element, theirs: ET.Element, path: str) -> None:
        text, there = (theirs.text or "").strip(), (mine.text or "").strip()
        if not text or text == there:
            return
        if not there or (path in CHOSEN and (id(mine), "") not in self.brought):
            mine.text = text
            self.brought[id(mine), ""] = self.snippet
        else:
            self._conflict(mine, theirs, path, "", there, text)

    def _conflict(self, mine: ET.Element, theirs: ET.Element, path: str, key: str, there: str, here: str) -> None:
        other = self.brought.get((id(mine), key))
        shown = f"<{theirs.tag} {key}>" if key else f"<{theirs.tag}>"
        if key == "passwd":  # errors end in logs
            there = here = "…"
        if other is not None:
            whose = f"{other.name}{f' ({_place(other)})' if other.where else ''} says {there!r}"
            hint = "keep one of the two"
        else:
            whose = f"this VM has {there!r}"
            steps = path.replace("@", "/@").split("/")
            fields = (_FIELDS.get("/".join(steps[:n]).replace("/@", "@")) for n in range(len(steps), 0, -1))
            field = next((field for field in fields if field), None)
            hint = f"remove it here; {field} in vms.yml chooses it" if field else "remove it here"
        at = self.fragment.places.get(id(theirs))
        self.errors.append(self._error(f"{shown} is {here!r}, but {whose}", at, hint))

    def _error(self, message: str, at: tuple[int, int] | None, hint: str | None) -> InputError:
        snippet = self.snippet
        return InputError(
            f"{snippet.name}: {message}", hint=hint, where=_place(snippet, at), field=snippet.field, at=at
        )


def _place(snippet: Snippet, at: tuple[int, int] | None = None) -> Where | None:
    """The file, line and column of ``at`` in the snippet's text; None: it stands in the spec, at its ``field``."""
    where = snippet.where
    if where is None or at is None or snippet.begins is None:
        return where
    line, column = snippet.begins
    return Where(where.file, line + at[0] - 1, column + at[1] - 1)
