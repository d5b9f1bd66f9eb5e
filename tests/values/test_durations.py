"""Lengths of time as users write them."""

from __future__ import annotations

import pytest

from ovtasks.errors import InputError
from ovtasks.values.durations import format_duration, parse_duration

GOOD = [("30d", 2_592_000), ("12h", 43_200), ("90 m", 5_400), ("2W", 1_209_600), ("1y", 31_536_000), ("0s", 0)]
BAD = ["", "30", "d", "-1d", "1.5d", "3 months", "1h30m", "30d ago", "１d", "9999y", "1e3d", "\n"]


@pytest.mark.parametrize(("text", "seconds"), GOOD)
def test_a_duration(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", BAD)
def test_no_duration(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_duration(text)
    assert "30d" in str(caught.value.hint)


def test_for_people() -> None:
    assert [format_duration(s) for s in (5, 59 * 60, 3600, 8 * 86400, 14 * 86400, 800 * 86400)] == [
        *("5 s", "59 m", "1 h", "8 d", "2 w", "2 y")
    ]
