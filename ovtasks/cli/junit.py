"""Results of checks as JUnit's XML, which CI systems show.

JUnit itself fixes no schema; what Jenkins' xunit plugin takes (its junit-10.xsd) is what all of them take.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from ovtasks.layers.checks.model import CheckOutcome, CheckResult

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(name: str, results: Sequence[CheckResult]) -> str:
    """One ``testsuite`` with a ``testcase`` for each check; what was not carried out counts as skipped."""
    failed = sum(one.outcome is CheckOutcome.FAILED for one in results)
    passed = sum(one.outcome is CheckOutcome.OK for one in results)
    counts = {"tests": str(len(results)), "failures": str(failed), "errors": "0"}
    counts |= {"skipped": str(len(results) - failed - passed), "time": f"{sum(one.seconds for one in results):.3f}"}
    suites = ET.Element("testsuites", {key: text for key, text in counts.items() if key != "skipped"})
    suite = ET.SubElement(suites, "testsuite", {"name": _clean(name), **counts})
    for one in results:
        case = ET.SubElement(suite, "testcase", {"name": _clean(one.name), "classname": f"{_clean(name)}.{one.verb}"})
        case.set("time", f"{one.seconds:.3f}")
        if one.outcome is CheckOutcome.FAILED:
            failure = ET.SubElement(case, "failure", {"message": _clean(one.told), "type": one.verb})
            failure.text = _clean("\n".join([str(one.where), *map(str, one.mismatches)]))
        elif one.outcome is not CheckOutcome.OK:
            ET.SubElement(case, "skipped", {"message": _clean(f"{one.outcome.value}: {one.reason}")})
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _clean(text: str) -> str:
    """Without what XML 1.0 cannot hold."""
    return _NO_XML.sub("\ufffd", text)
