"""``ov vm build --reporter json``: a line for each thing that happens, as the schema says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from tests.support.demo import ROOT
from tests.support.workbench import Workbench, cloud_vm

SCHEMA = json.loads((ROOT / "schemas/events.schema.json").read_text(encoding="utf-8"))
Event = dict[str, Any]


def events(bench: Workbench, *words: str, code: int = 0) -> list[Event]:
    """What a run tells; every line is as the schema says."""
    found = [
        json.loads(line)
        for line in bench.ov("vm", "build", "--reporter", "json", *words, code=code).stdout.splitlines()
    ]
    for event in found:
        Draft202012Validator(SCHEMA).validate(event)
    return found


def kinds(found: list[Event]) -> list[str]:
    """What happened to which step; progress is left out, which comes as time goes by."""
    told = [event for event in found if event["event"] != "progress"]
    return [" ".join([event["event"], *([event["step"].split("@")[0]] if "step" in event else [])]) for event in told]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_a_build_and_one_more(bench: Workbench, small_image: Path) -> None:
    bench.write({"web": cloud_vm(small_image)})
    found = events(bench, "web")
    assert kinds(found) == [
        *("start fetch:", "end fetch:", "start verify:", "note verify:", "end verify:"),
        *("start disk:web", "end disk:web", "start seed:web", "end seed:web", "summary", "artifacts"),
    ]
    ends = [event for event in found if event["event"] == "end"]
    assert all(end["outcome"] == "done" and end["seconds"] >= 0 for end in ends)
    assert found[-2]["done"] == 4 and found[-2]["fresh"] == 0 and found[-2]["critical_path"][-1].endswith(":web")
    assert [Path(path).name for path in found[-1]["paths"]] == ["disk.qcow2", "seed.iso"]
    again = events(bench, "web")
    assert kinds(again) == [
        *("fresh fetch:", "fresh verify:", "fresh disk:web", "fresh seed:web", "summary", "artifacts")
    ]
    assert again[-2]["fresh"] == 4 and again[-2]["saved_seconds"] > 0
    bench.ov("vm", "build", "web")
    assert kinds(events(bench, "web")) == kinds(again), "the note for the fast path changes nothing"


def test_a_failure(bench: Workbench, tmp_path: Path) -> None:
    (tmp_path / "a.qcow2").write_bytes(b"no image")
    bench.write({"web": cloud_vm(tmp_path / "a.qcow2")})
    done = bench.ov("vm", "build", "--reporter=json", code=1)
    *_, end, summary = [json.loads(line) for line in done.stdout.splitlines()]
    assert end["outcome"] == "failed" and "unknown image format" in end["message"] and end["hint"]
    assert (summary["event"], summary["failed"]) == ("summary", 1)
    assert done.stderr.startswith("ov: ") and "unknown image format" in done.stderr


def test_a_word_that_is_none(bench: Workbench, small_image: Path) -> None:
    bench.write({"web": cloud_vm(small_image)})
    assert "invalid choice: 'xml'" in bench.ov("vm", "build", "--reporter", "xml", code=2).stderr
