"""JUnit's XML by the rules of the schema that Jenkins' xunit plugin checks it with (junit-10.xsd)."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from ovtasks.cli.junit import junit_xml
from ovtasks.errors import Where
from ovtasks.layers.checks.model import CheckOutcome, CheckResult, Mismatch

PLACE = Where("vms.yml", 3, 1)
TIME = re.compile(r"[0-9]+\.[0-9]{3}")
RULES: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"time", "skipped", "timestamp", "hostname", "id", "package", "group", "file", "log", "url"},
        {"properties", "testcase", "system-out", "system-err", "testsuite"},
    ),
    "testcase": (
        {"name"},
        {"time", "classname", "group"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "failure": (set(), {"type", "message"}, set()),
    "skipped": (set(), {"type", "message"}, set()),
}
"""Element: the attributes that it must have, those that it may have, and what may stand in it."""


def valid(text: str) -> ET.Element:
    """The document, which keeps the rules; counts are those of what is there."""
    root = ET.fromstring(text.encode())
    assert root.tag == "testsuites"
    for one in root.iter():
        must, may, below = RULES[one.tag]
        assert must <= one.attrib.keys() <= must | may, (one.tag, one.attrib)
        assert {child.tag for child in one} <= below
        assert "time" not in one.attrib or TIME.fullmatch(one.attrib["time"])
        if one.tag not in {"failure", "skipped"}:
            assert not (one.text or "").strip(), "text stands in what was said alone"
        if one.tag == "testsuite":
            found = {"tests": "testcase", "failures": "testcase/failure", "skipped": "testcase/skipped"}
            assert {key: one.get(key) for key in found} == {key: str(len(one.findall(at))) for key, at in found.items()}
    return root


def failed(name: str, said: str) -> CheckResult:
    return CheckResult(name, "command", CheckOutcome.FAILED, PLACE, (Mismatch("stdout", "x", said),))


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("<&>\"'", "<&>\"'"),
        ("]]>", "]]>"),
        ("a\x00b\x1b[2Jc\x7f", "a\ufffdb\ufffd[2Jc\x7f"),
        ("\ud800 \ufffe", "\ufffd \ufffd"),
        ("naïve \N{GRINNING FACE} \u202e", "naïve \N{GRINNING FACE} \u202e"),
    ],
)
def test_whatever_a_guest_says_is_xml(said: str, kept: str) -> None:
    root = valid(junit_xml(f"vm {said}", [failed(said, said)]))
    case = root.find("testsuite/testcase")
    assert case is not None and case.get("name") == kept
    assert kept in str(case.findtext("failure"))


def test_lines_stay_lines() -> None:
    """A newline in an attribute would become a blank, was it not escaped."""
    root = valid(junit_xml("vm", [failed("one\ntwo\tthree\r\n", "a\nb")]))
    case = root.find("testsuite/testcase")
    assert case is not None and case.get("name") == "one\ntwo\tthree\r\n"
    assert "a\nb" in str(case.findtext("failure"))


def test_nothing_and_ten_thousand_checks() -> None:
    assert valid(junit_xml("vm", [])).get("tests") == "0"
    results = [
        failed(f"n{n}", "y" * 100)
        if n % 3 == 0
        else CheckResult(f"n{n}", "file", CheckOutcome.SKIPPED, PLACE, reason="no")
        for n in range(10_000)
    ]
    root = valid(junit_xml("vm", results))
    assert (root.get("tests"), root.get("failures")) == ("10000", "3334")
    assert [case.get("name") for case in root.iter("testcase")] == [one.name for one in results]
