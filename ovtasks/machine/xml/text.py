"""XML as users write it (``libvirt.snippets``, ``libvirt.xml_passthrough``) → elements with their places.

It accepts elements, attributes, text and comments. It refuses document types, declared entities and processing
instructions: so a text can neither name other files nor grow while it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET

from ovtasks.errors import InputError
from ovtasks.machine.devices import ELEMENTS as DEVICE_ELEMENTS
from ovtasks.machine.xml.names import DOMAIN_ELEMENTS, QEMU_ELEMENTS, QEMU_NAMESPACE
from ovtasks.values.words import near
from ovtasks.values.yamlio import Position

MAX_DEPTH = 64
_ROOT = (
    f'<ov xmlns:qemu="{QEMU_NAMESPACE}">'  # an element around all others: a text may have several, or begin with qemu:
)
_XML = "http://www.w3.org/XML/1998/namespace"


def _error(message: str, at: Position, hint: str | None = None) -> InputError:
    """An error; ``at`` is line and column in the text, from 1."""
    return InputError(message, hint=hint, at=at)


@dataclass(frozen=True)
class Fragment:
    """``elements`` in their order. Names of another namespace have their prefix, in place of ElementTree's ``{uri}``,
    which is declared at its first use. QEMU's prefix is always ``qemu``, and is not declared.

    ``places`` are line and column of every element, by ``id``; ``foreign`` are the ids of those of other namespaces.
    """

    elements: tuple[ET.Element, ...]
    places: Mapping[int, Position]
    foreign: frozenset[int]


def parse_fragment(text: str) -> Fragment:
    """The elements of ``text``; several may stand side by side.

    :raises InputError: it is not well-formed, has something that is refused, or has no element.
    """
    from xml.parsers import expat

    reader = _XmlReader()
    parser = reader.parser
    try:
        parser.Parse(_ROOT, False)
        reader.inside = True
        parser.Parse(text, False)
        if len(reader.stack) != 1:
            name = reader.stack[-1].element.tag
            raise _error(f"<{name}> is not closed", reader.places[id(reader.stack[-1].element)], hint=f"</{name}>")
        reader.inside = False
        parser.Parse("</ov>", True)
    except expat.ExpatError as e:
        at = (e.lineno, e.offset + 1 - (len(_ROOT) if e.lineno == 1 else 0))
        raise _refused(text) or _error(f"not XML: {_said(e)}", at, hint=_HINTS.get(e.code)) from None
    if not reader.top:
        raise _error(*_NOTHING)
    return Fragment(tuple(reader.top), reader.places, frozenset(reader.foreign))


_NOTHING = "there is no XML element in it", (1, 1), "for example <rng model='virtio'>…</rng>"
_REFUSED = {
    "<!": "a document type (<!DOCTYPE …>) or an entity (<!ENTITY …>)",
    "<?": "an XML declaration or processing instruction (<?…?>)",
}
_HINTS = {
    # numbers of expat's errors: xml.parsers.expat.errors.codes
    4: "values stand in quotes, > ends a tag, and < or & in text or in a value is written &lt; or &amp;",
    7: "each element is closed by its own name, the innermost first",
    11: "XML knows only &lt; &gt; &amp; &apos; &quot; and numbers (&#10;)",
}


def _refused(text: str) -> InputError | None:
    """The error for the first declaration or processing instruction; None: there is none."""
    found = re.search(r"<!(?=[A-Z])|<\?", text)
    if found is None:
        return None
    before = text[: found.start()]
    at = (before.count("\n") + 1, len(before) - before.rfind("\n"))
    return _error(f"{_REFUSED[found[0]]} is not taken", at, "remove it; write elements only")


def _said(error: Any) -> str:
    from xml.parsers.expat import ErrorString

    return str(ErrorString(error.code))


@dataclass
class _Open:
    """An element that is not closed yet. ``scope`` maps the prefixes inside it to namespaces; ``declared`` are those
    that an element of the result has declared."""

    element: ET.Element
    scope: dict[str, str]
    declared: dict[str, str] = field(default_factory=dict)
    text: list[str] = field(default_factory=list)


class _XmlReader:
    """Builds elements from expat's events."""

    def __init__(self) -> None:
        from xml.parsers import expat

        self.parser = expat.ParserCreate("UTF-8")
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.characters
        self.parser.ProcessingInstructionHandler = self.instruction
        self.inside = False
        self.top: list[ET.Element] = []
        self.stack: list[_Open] = []
        self.places: dict[int, Position] = {}
        self.foreign: set[int] = set()

    def at(self) -> Position:
        line = self.parser.CurrentLineNumber
        return line, self.parser.CurrentColumnNumber + 1 - (len(_ROOT) if line == 1 else 0)

    def instruction(self, target: str, data: str) -> None:
        raise _error(f"{_REFUSED['<?']} is not taken", self.at(), "remove it; write elements only")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self.inside:
            self.stack.append(_Open(ET.Element(name), {"qemu": QEMU_NAMESPACE, "xml": _XML, "": ""}))
            return
        if len(self.stack) > MAX_DEPTH:
            raise _error(f"nested more than {MAX_DEPTH} levels deep", self.at())
        outer = self.stack[-1]
        scope = dict(outer.scope)
        for key, value in attributes.items():
            if key == "xmlns" or key.startswith("xmlns:"):
                if key != "xmlns" and not value:
                    raise _error(f"{key} is empty", self.at(), "a prefix stands for a namespace; remove it")
                scope[key.partition(":")[2]] = value
        opened = _Open(ET.Element(name), scope, dict(outer.declared))
        element = opened.element
        prefix, local = self._split(name, scope)
        if scope[prefix] == QEMU_NAMESPACE:
            element.tag = f"qemu:{local}"
        else:
            self._declare(opened, prefix)
            if scope[prefix]:
                self.foreign.add(id(element))
        for key, value in attributes.items():
            if key == "xmlns" or key.startswith("xmlns:"):
                continue
            if ":" in key and (own := self._split(key, scope)[0]) != "xml":
                self._declare(opened, own)
            element.set(key, value)
        self.places[id(element)] = self.at()
        (self.top if len(self.stack) == 1 else outer.element).append(element)
        self.stack.append(opened)

    def _split(self, name: str, scope: Mapping[str, str]) -> tuple[str, str]:
        prefix, colon, local = name.rpartition(":")
        if ":" in prefix or (colon and not (prefix and local)):
            raise _error(f"{name} is not an XML name", self.at(), hint="at most one colon, between prefix and name")
        if prefix not in scope:
            hint = f'declare it: xmlns:{prefix}="…"'
            raise _error(f"the prefix of {name} is not declared", self.at(), hint=hint)
        return prefix, local

    def _declare(self, opened: _Open, prefix: str) -> None:
        """Declare ``prefix``, unless an element around this one has done so."""
        uri = opened.scope[prefix]
        if opened.declared.get(prefix, "") != uri:
            opened.element.set(f"xmlns:{prefix}" if prefix else "xmlns", uri)
            opened.declared[prefix] = uri

    def characters(self, data: str) -> None:
        if len(self.stack) == 1 and data.strip():
            line, column = self.at()
            at = (line, column + len(data) - len(data.lstrip()))
            hint = "only elements stand side by side"
            raise _error(f"text outside of all elements: {data.strip()[:40]!r}", at, hint)
        self.stack[-1].text.append(data)

    def end(self, name: str) -> None:
        if self.inside and len(self.stack) == 1:
            raise _error(f"</{name}> closes nothing", self.at(), hint="remove it, or write what it should close")
        closed = self.stack.pop()
        text = "".join(closed.text)
        element = closed.element
        if len(element) == 0:
            element.text = text or None
        elif text.strip() and id(element) not in self.foreign:
            message = f"text between the elements of <{element.tag}>: {text.strip()[:40]!r}"
            raise _error(message, self.places[id(element)], hint="libvirt's elements have text or elements, not both")
        elif text.strip():
            # a foreign element loses only the order of its text and children
            element.text = text


@dataclass(frozen=True)
class Part:
    """An element, and whether it is a device; others belong in ``<domain>`` itself. ``attributes`` marks a
    ``<domain>`` whose attributes are to be merged; its elements are parts of their own."""

    element: ET.Element
    device: bool = False
    attributes: bool = False


def parts(fragment: Fragment) -> list[Part]:
    """The elements, without a ``<domain>`` or ``<devices>`` around them.

    :raises InputError: libvirt has no such element there, or there is none at all.
    """
    found: list[Part] = []
    for element in fragment.elements:
        if element.tag == "domain" and id(element) not in fragment.foreign:
            if others := set(element.attrib) - {"type"}:
                at = fragment.places[id(element)]
                raise _error(f"<domain {min(others)}> is not for definitions", at, "a <domain> may have a type only")
            if element.attrib:
                found.append(Part(element, attributes=True))
            for child in element:
                found += _part(child, fragment, DOMAIN_ELEMENTS | QEMU_ELEMENTS, "<domain>")
        else:
            found += _part(element, fragment, DOMAIN_ELEMENTS | DEVICE_ELEMENTS | QEMU_ELEMENTS, "libvirt")
    if not found:
        raise _error(*_NOTHING)
    return found


def _part(element: ET.Element, fragment: Fragment, known: frozenset[str], place: str) -> Iterator[Part]:
    tag = element.tag
    if id(element) in fragment.foreign:
        yield Part(element)
        return
    if tag not in known:
        raise _unknown(element, fragment, known, place)
    if tag == "devices":
        if element.attrib:
            raise _error("<devices> has no attributes", fragment.places[id(element)], hint="<devices>")
        for child in element:
            if child.tag not in DEVICE_ELEMENTS or id(child) in fragment.foreign:
                raise _unknown(child, fragment, DEVICE_ELEMENTS, "<devices>")
            yield Part(child, device=True)
        return
    # <memory> has two meanings: the amount, and a pluggable module, which has a model
    device = place == "libvirt" and tag in DEVICE_ELEMENTS and (tag not in DOMAIN_ELEMENTS or "model" in element.attrib)
    yield Part(element, device=device)


def _unknown(element: ET.Element, fragment: Fragment, known: frozenset[str], place: str) -> InputError:
    tag = element.tag
    guess = near(tag, {word.lower(): word for word in known})
    words = {word.lower(): word for word in known}
    if tag in DEVICE_ELEMENTS and "devices" in known:
        hint = "put it into <devices>"
    elif tag in DOMAIN_ELEMENTS and "devices" not in known:
        hint = "put it beside <devices>, not inside"
    elif guess:
        hint = f"did you mean <{words[guess]}>?"
    else:
        hint = 'libvirt\'s documentation, "Domain XML format", lists its elements'
    return _error(f"{place} has no element <{tag}>", fragment.places[id(element)], hint=hint)
