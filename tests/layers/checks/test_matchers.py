"""Matchers: what holds for a text, and how they are written."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from ovtasks.errors import InputError
from ovtasks.layers.checks import search
from ovtasks.layers.checks.matchers import matchers
from ovtasks.layers.checks.model import unmet
from ovtasks.values.jsonvalue import Json

VERSION = "tool 3.14\nbuilt today\n"
HOLD: list[tuple[Json, str]] = [
    ("root", "root\n"),
    (4, "4\n"),
    (True, "true"),
    ("", "\n"),
    (None, ""),
    ({"equals": "root"}, " root "),
    ({"contains": "3.1"}, VERSION),
    ({"contains": ["tool", "today"]}, VERSION),
    ([{"contains": "tool"}, {"matches": "^tool"}], VERSION),
    ({"matches": r"\d+\.\d+"}, VERSION),
    ({"regex": "^tool"}, VERSION),
    ({"matches": ["^tool", "today$"]}, VERSION.strip()),
    ({"not": {"contains": "error"}}, VERSION),
    ({"not": "root"}, "user"),
    ({"not": {"not": "root"}}, "root"),
    ({"not_contains": ["error", "warning"]}, VERSION),
    ({"not_equals": "root"}, "user"),
    ({"not_matches": "^built"}, VERSION),
    ({"lt": 5}, "4\n"),
    ({"le": 4, "ge": "4"}, "4.0"),
    ({"gt": 3.5}, "4"),
    ([], "whatever"),
]
FAIL: list[tuple[Json, str]] = [
    ("root", "root2"),
    ("RUNNING", "RUNNING\nSTOPPED\n"),
    ({"contains": ["tool", "tomorrow"]}, VERSION),
    ([{"contains": "tool"}, {"contains": "x"}], VERSION),
    ({"matches": "^built"}, VERSION),  # the beginning of the text, not of a line
    ({"not_contains": ["error", "tool"]}, VERSION),
    ({"lt": 5}, "many"),
    ({"lt": 5}, "5"),
    ({"gt": 5}, "5"),
]
WRONG: list[tuple[Json, str, str]] = [
    ({"contain": "x"}, "no matcher is named 'contain'", "did you mean 'contains'?"),
    ({"zz": "x"}, "no matcher is named 'zz'", "known are equals"),
    ({"matches": "("}, "not a regular expression", ""),
    ({"lt": "many"}, "lt needs a number, not 'many'", ""),
    ({"lt": True}, "lt needs a number", ""),
    ({"equals": ["a"]}, "equals needs one value", "write equals: TEXT"),
    ({"contains": {"a": 1}}, "contains needs one value", ""),
]


@pytest.mark.parametrize(("written", "text"), HOLD)
def test_they_hold(written: Json, text: str) -> None:
    assert all(one.holds(text) for one in matchers(written))


@pytest.mark.parametrize(("written", "text"), FAIL)
def test_one_of_them_fails(written: Json, text: str) -> None:
    assert not all(one.holds(text) for one in matchers(written))


@pytest.mark.parametrize(("written", "message", "hint"), WRONG)
def test_what_is_written_wrong_is_named(written: Json, message: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        matchers(written)
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


def test_a_bare_value_means_what_its_field_is_called() -> None:
    assert [str(one) for one in matchers(["a", {"equals": "b"}], "contains")] == ["contains 'a'", "equals 'b'"]


def test_a_matcher_reads_as_written() -> None:
    shown = [str(one) for one in matchers([{"not_contains": "x"}, {"lt": 3}, ""])]
    assert shown == ["not contains 'x'", "lt '3'", "equals nothing"]


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*)*x$", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_a_pattern_that_takes_too_long_is_a_mismatch(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing of its limit is left behind."""
    monkeypatch.setattr(search, "SECONDS", 0.2)
    before = signal.getsignal(signal.SIGVTALRM)
    (found,) = unmet("stdout", matchers({"matches": pattern}), "a" * 60 + "!")
    assert "61 characters, on which this takes more than 2 s" in found.found
    assert signal.getsignal(signal.SIGVTALRM) is before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_patterns_elsewhere_than_in_the_main_thread() -> None:
    (one,) = matchers({"matches": "b+$"})
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(one.holds, "abb").result()


@pytest.mark.parametrize("pattern", ["(" * 20_000 + ")" * 20_000, "a{99999999999}"])
def test_patterns_that_cannot_be_read_are_an_error(pattern: str) -> None:
    with pytest.raises(InputError, match="not a regular expression") as caught:
        matchers({"matches": pattern})
    assert len(caught.value.message) < 400


def test_unicode() -> None:
    text = "naïve \N{GRINNING FACE} ok\n"
    assert all(one.holds(text) for one in matchers([{"contains": "\N{GRINNING FACE}"}, {"matches": r"^\w+ \W ok$"}]))
    (found,) = unmet("stdout", matchers("naive"), text + "\x1b[2J\u202e")
    assert "\x1b" not in str(found) and "\u202e" not in str(found)
