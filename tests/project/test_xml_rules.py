"""Snippets and passthrough at load: what is no XML, or no element of libvirt's, is an error with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovtasks.machine.xml.text import MAX_DEPTH, parse_fragment, parts
from ovtasks.project.load import load_project
from ovtasks.project.locate import locate
from tests.support.projects import CLOUD, errors_of, one, place, write

HEAD = f"vms:\n  a:\n    source: {CLOUD}\n    libvirt:\n"


def _one(folder: Path, text: str) -> tuple[str, str, tuple[int, int]]:
    error = one(errors_of(folder, HEAD + text))
    _, line, column = place(error)
    return error.message, error.hint or "", (line, column)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("<rng", "not XML: not well-formed", "values stand in quotes"),
        ("<rng>", "<rng> is not closed", "</rng>"),
        ("<rng><a></rng></a>", "not XML: mismatched tag", "the innermost first"),
        ("</rng>", "not XML: mismatched tag", "the innermost first"),
        ("<rng/></ov><ov>", "</ov> closes nothing", "remove it"),
        ("<rng a=1/>", "not XML", "values stand in quotes"),
        ("<rng a='1' a='2'/>", "not XML: duplicate attribute", ""),
        ("<rng>&evil;</rng>", "not XML: undefined entity", "XML knows only"),
        ("<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><rng>&e;</rng>", "a document type", "remove it"),
        ("<rng/><!DOCTYPE a>", "a document type", "remove it"),
        ("<?xml version='1.0'?><rng/>", "an XML declaration or processing instruction", "remove it"),
        ("<rng><?php x?></rng>", "an XML declaration or processing instruction", "remove it"),
        ("hello <rng/>", "text outside of all elements: 'hello'", "only elements"),
        ("<rng>x<backend/></rng>", "text between the elements of <rng>: 'x'", "not both"),
        ("  <!-- nothing -->", "no XML element", "for example"),
        ("<domain/>", "no XML element", "for example"),
        ("<devices></devices>", "no XML element", "for example"),
        ("<watchdogs model='x'/>", "libvirt has no element <watchdogs>", "did you mean <watchdog>?"),
        ("<memorybacking/>", "libvirt has no element <memorybacking>", "did you mean <memoryBacking>?"),
        ("<zzz/>", "libvirt has no element <zzz>", "Domain XML format"),
        ("<devices><cpu/></devices>", "<devices> has no element <cpu>", "beside <devices>"),
        ("<devices a='b'><rng/></devices>", "<devices> has no attributes", ""),
        ("<domain><rng/></domain>", "<domain> has no element <rng>", "put it into <devices>"),
        ("<domain id='3'><genid/></domain>", "<domain id> is not for definitions", "type only"),
        ("<qemu:args/>", "libvirt has no element <qemu:args>", ""),
        ("<x:rng/>", "the prefix of x:rng is not declared", 'xmlns:x="…"'),
        ("<a:b:c/>", "a:b:c is not an XML name", "at most one colon"),
        ("<x:rng xmlns:x=''/>", "xmlns:x is empty", "stands for a namespace"),
        ("<rng x:a='1'/>", "the prefix of x:a is not declared", 'xmlns:x="…"'),
        ("<rng>" * (MAX_DEPTH + 1) + "</rng>" * (MAX_DEPTH + 1), f"nested more than {MAX_DEPTH} levels", ""),
    ],
)
def test_what_is_refused(text: str, message: str, hint: str, tmp_path: Path) -> None:
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    for field, name in ((f"snippets: [{quoted}]", "snippets[0]"), (f"xml_passthrough: {quoted}", "xml_passthrough")):
        said, advice, (line, _) = _one(tmp_path, f"      {field}\n")
        assert said.startswith(f"libvirt.{name}: ") and message in said
        assert hint in advice and line == 5


BLOCK = """\
      snippets:
        - <rng model='virtio'><backend model='builtin'/></rng>
        - |
          <devices>

            <dsk/>
          </devices>
"""


def test_the_place_is_that_of_the_text_inside(tmp_path: Path) -> None:
    assert _one(tmp_path, BLOCK)[2] == (10, 13)
    assert _one(tmp_path, "      xml_passthrough: '<genid/> <sauce/>'\n")[2] == (5, 34)
    assert _one(tmp_path, "      xml_passthrough: <genid/> <sauce/>\n")[2] == (5, 33)
    assert _one(tmp_path, "      xml_passthrough: |2\n          <genid/>\n          <sauce/>\n")[2] == (7, 11)
    # folded or escaped: the place of the whole text
    assert _one(tmp_path, "      xml_passthrough: >\n        <genid/>\n        <sauce/>\n")[2] == (5, 24)
    assert _one(tmp_path, '      xml_passthrough: "<genid/>\\n<sauce/>"\n')[2] == (5, 24)
    assert _one(tmp_path, "      xml_passthrough: '<genid a=''1''/><sauce/>'\n")[2] == (5, 24)


def test_errors_of_a_renderer_find_the_line_too(tmp_path: Path) -> None:
    write(tmp_path, HEAD + BLOCK.replace("dsk", "disk"))
    vm = load_project(tmp_path, cache=False).vms["a"]
    where = locate(vm, ("libvirt", "snippets", 1), (3, 3))
    assert (where.line, where.column) == (10, 13)
    assert (locate(vm, ("libvirt", "snippets", 7), (3, 3)).line) == 6


def test_windows_line_ends(tmp_path: Path) -> None:
    error = one(errors_of(tmp_path, (HEAD + BLOCK).replace("\n", "\r\n")))
    assert place(error)[1:] == (10, 13)


@pytest.mark.parametrize(
    "text",
    [
        "<rng/>",
        "<domain type='kvm'><devices/></domain>",
        "<![CDATA[ ]]><rng a='<?'/>".replace("<?", "&lt;?"),
        "<qemu:commandline/>",
        "<memory model='dimm'/><memory unit='GiB'>4</memory>",
        "<description>a &lt; b &#65; &amp; ä 漢</description>",
        "<a xmlns='urn:a'>mixed <b/> text</a>",
    ],
)
def test_what_is_taken(text: str) -> None:
    assert parts(parse_fragment(text))


def test_memory_is_a_device_when_it_has_a_model() -> None:
    found = parts(parse_fragment("<memory model='dimm'/><memory unit='GiB'>4</memory><vsock/>"))
    assert [part.device for part in found] == [True, False, True]


def test_a_text_cannot_grow_while_it_is_read(tmp_path: Path) -> None:
    bomb = "<!DOCTYPE a [<!ENTITY a 'aaaaaaaaaa'>" + "".join(
        f"<!ENTITY {b} '{f'&{a};' * 10}'>" for a, b in zip("abcdefg", "bcdefgh", strict=True)
    )
    write(tmp_path, HEAD + f'      xml_passthrough: "{bomb}]><rng>&h;</rng>"\n')
    assert "a document type" in one(errors_of(tmp_path, (tmp_path / "vms.yml").read_bytes())).message


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("<watchdog model='itco'/>", "watchdog"),
        ("<blkiotune><weight>300</weight></blkiotune>", "blkiotune"),
        ("<channel type='unix'><target type='virtio' name='mine'/></channel>", "channel"),
        ("<rng model='virtio'><backend model='egd' type='udp'/></rng>", "rng"),
        ("<rng model='virtio'/><hub type='usb'/>", "hub"),
        ("<rng model='virtio'/>", ""),
        ("<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>", ""),
    ],
)
def test_what_plain_qemu_cannot_have_is_told_at_once(tmp_path: Path, text: str, tag: str) -> None:
    for backend, wrong in (("qemu", bool(tag)), ("auto", False), ("libvirt", False)):
        errors = errors_of(tmp_path, f'{HEAD}      snippets: ["{text}"]\n    backend: {backend}\n')
        messages = [error.message for error in errors]
        assert messages == ([f"libvirt.snippets[0]: the backend qemu cannot use libvirt's <{tag}>"] if wrong else [])
        assert [place(error)[1:] for error in errors] == ([(5, 18)] if wrong else [])
