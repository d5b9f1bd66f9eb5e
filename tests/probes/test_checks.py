"""``libvirt`` and ``spice`` in ``eval:``, and JUnit's XML, without a VM."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree as ET

import pytest

from ovtasks.cli.junit import junit_xml
from ovtasks.errors import InputError, Where
from ovtasks.layers.checks.model import CheckContext, CheckOutcome, CheckResult, MachineAsker, Mismatch, ProbeFacts
from ovtasks.layers.checks.reading import read_checks
from ovtasks.layers.checks.run import Answer, carry_out
from ovtasks.layers.checks.verbs.machine import LIBVIRT_METHODS, SPICE_METHODS
from ovtasks.layers.facts import SystemFacts
from ovtasks.probes.checks import METHODS
from ovtasks.project.layer_parts import checks_without_place
from ovtasks.values.jsonvalue import Json

PLACE = Where("vms.yml", 3, 1)
ELSEWHERE = {"list", *(f"snapshot/{name}" for name in ("create", "info", "revert", "delete"))}


class NoGuest:
    def run(self, script: str, /) -> Answer:
        raise AssertionError(script)


def carried_out(check: Mapping[str, Json], ask: MachineAsker | None) -> CheckResult:
    context = CheckContext(SystemFacts("debian"), ask_machine=ask)
    (found,) = carry_out(NoGuest(), read_checks(checks_without_place([check], PLACE), context))
    return found


def answering(**facts: str) -> MachineAsker:
    found = {"status": b"0", **{name: text.encode() for name, text in facts.items()}}
    return lambda *_: found


def test_checks_name_the_methods_that_there_are() -> None:
    assert set(LIBVIRT_METHODS) - ELSEWHERE == set(METHODS["libvirt"])
    assert set(SPICE_METHODS) == set(METHODS["spice"])
    for verb, methods in (("libvirt", LIBVIRT_METHODS), ("spice", SPICE_METHODS)):
        for name, method in METHODS[verb].items():
            assert set(methods[name]) <= {one.key for one in method.arguments}
            assert {one.key for one in method.arguments if one.needed} <= set(methods[name])


@pytest.mark.parametrize(
    ("check", "facts", "told"),
    [
        ({"libvirt": "info", "stdout": {"contains": "running"}}, {"stdout": "running"}, ""),
        ({"libvirt": "info", "stdout": {"contains": "running"}}, {"stdout": "off"}, "stdout: expected contains"),
        ({"libvirt": "guest/exec", "command": "false", "exit_status": 1}, {"status": "1"}, ""),
        ({"libvirt": "guest/ping"}, {"status": "1", "stderr": "no agent"}, "found 1: no agent"),
        ({"spice": "screenshot", "artifact_min_bytes": 10}, {"size": "9"}, "expected 10 or more, found 9"),
        ({"spice": "screenshot", "artifact_min_dimensions": "640x480"}, {"size": "9", "dimensions": "640x480"}, ""),
        ({"spice": "screenshot", "artifact_min_dimensions": "640x480"}, {"size": "9", "dimensions": "720x400"}, "720"),
        ({"spice": "screenshot", "artifact_not_uniform": True}, {"size": "9", "uniform": "yes"}, "one colour"),
        ({"spice": "screenshot", "artifact_not_uniform": True}, {"size": "9", "uniform": "no"}, ""),
    ],
)
def test_what_a_method_says_is_judged(check: Mapping[str, Json], facts: dict[str, str], told: str) -> None:
    found = carried_out(check, answering(**facts))
    assert found.outcome is (CheckOutcome.FAILED if told else CheckOutcome.OK)
    assert told in found.told


def test_eventually_asks_again() -> None:
    asked: list[str] = []

    def ask(verb: str, method: str, data: Mapping[str, Json], seconds: float) -> ProbeFacts:
        asked.append(method)
        return {"status": b"0" if len(asked) > 2 else b"1"}

    assert carried_out({"libvirt": "guest/ping", "eventually": "120s"}, ask).outcome is CheckOutcome.OK
    assert len(asked) == 3


def test_without_a_vm_it_is_not_carried_out() -> None:
    found = carried_out({"libvirt": "info"}, None)
    assert (found.outcome, "only a VM that runs" in found.told) == (CheckOutcome.NOT_CARRIED_OUT, True)


@pytest.mark.parametrize(
    ("check", "hint"),
    [
        ({"libvirt": "inf"}, "did you mean 'info'?"),
        ({"libvirt": "qmp"}, "it needs text"),
        ({"spice": "click", "x": 1}, "it needs y"),
    ],
)
def test_what_cannot_be_meant_is_an_error_with_its_place(check: Mapping[str, Json], hint: str) -> None:
    with pytest.raises(InputError, match=hint.replace("?", "[?]")) as caught:
        carried_out(check, answering())
    assert "vms.yml:3:1" in str(caught.value)


def test_junit_has_a_case_for_each_check_and_counts_them() -> None:
    results = [
        CheckResult("a", "file", CheckOutcome.OK, PLACE, seconds=0.25),
        CheckResult("b <&>\x00", "port", CheckOutcome.FAILED, PLACE, (Mismatch("listening", "yes", "no"),)),
        CheckResult("c", "mcp", CheckOutcome.NOT_CARRIED_OUT, PLACE, reason="mcp"),
        CheckResult("d", "file", CheckOutcome.SKIPPED, PLACE, reason="skip: true"),
    ]
    root = ET.fromstring(junit_xml("web -i dev", results).encode())
    assert (root.tag, [one.tag for one in root]) == ("testsuites", ["testsuite"])
    suite = root[0]
    counts = {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped", "time")}
    assert counts == {"tests": "4", "failures": "1", "errors": "0", "skipped": "2", "time": "0.250"}
    assert [one.tag for one in suite] == ["testcase"] * 4
    for case in suite:
        assert set(case.attrib) == {"name", "classname", "time"} and float(case.get("time", "x")) >= 0
        assert [one.tag for one in case] in ([], ["failure"], ["skipped"])
    failure = suite[1][0]
    assert failure.get("message") == "listening: expected yes, found no"
    assert failure.get("type") == "port" and "vms.yml:3:1" in str(failure.text)
