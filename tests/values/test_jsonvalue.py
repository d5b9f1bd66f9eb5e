"""What state files hold."""

from __future__ import annotations

import pytest

from ovtasks.values.jsonvalue import Json, state_text

VALUE: dict[str, Json] = {"b": [1, "ä"], "a": {"d": None, "c": True}}


def test_equal_values_are_equal_texts() -> None:
    assert (
        state_text(VALUE) == state_text({"a": VALUE["a"], "b": VALUE["b"]}) == '{"a":{"c":true,"d":null},"b":[1,"ä"]}\n'
    )


def test_for_people() -> None:
    assert state_text(["ä", {"b": 1, "a": 2}], lines=True) == '[\n "ä",\n {\n  "a": 2,\n  "b": 1\n }\n]\n'


@pytest.mark.parametrize("lines", [False, True])
def test_a_name_that_is_not_utf8(lines: bool) -> None:
    text = state_text(["disk\udce4", "ä"], lines=lines)
    assert "\\udce4" in text and text.isascii()
