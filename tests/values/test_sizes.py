"""One size parser: units, bare numbers, fractions, garbage."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovtasks.errors import EXIT_INPUT, InputError
from ovtasks.values.sizes import EXAMPLES, LIMIT, format_size, parse_size

K, M, G, T = 1 << 10, 1 << 20, 1 << 30, 1 << 40

GOOD = [
    ("20G", 20 * G),
    ("20g", 20 * G),
    ("20GB", 20 * G),
    ("20GiB", 20 * G),
    ("10 GiB", 10 * G),
    (" 10\tgib ", 10 * G),
    ("8192M", 8 * G),
    ("512K", 512 * K),
    ("2T", 2 * T),
    ("1P", 1024 * T),
    ("1.5G", 1536 * M),
    ("0.5T", 512 * G),
    ("1.9999999K", 1536),
    ("100B", 100),
    ("4096", 4096 * M),
    (4096, 4096 * M),
    (1.5, 1536 * K),
    ("010G", 10 * G),
]
BAD = [
    ("", "is not a size"),
    ("G", "is not a size"),
    ("8 apples", "is not a size"),
    ("20X", "is not a size"),
    ("20 G B", "is not a size"),
    ("1,5G", "is not a size"),
    (".5G", "is not a size"),
    ("5.G", "is not a size"),
    ("1e3G", "is not a size"),
    ("0x10G", "is not a size"),
    ("٣G", "is not a size"),
    ("nan", "is not a size"),
    (float("inf"), "is not a size"),
    (float("nan"), "is not a size"),
    (1e300, "is not a size"),
    (True, "is not a size"),
    ("20G\n20G", "is not a size"),
    ("-1G", "is negative"),
    (-5, "is negative"),
    (0, "above zero"),
    ("0G", "above zero"),
    ("0.0001K", "above zero"),
    ("2000P", "more than 1 EiB"),
    ("9" * 19, "more than 1 EiB"),
    ("9" * 5000, "is not a size"),
]


@pytest.mark.parametrize(("text", "size"), GOOD)
def test_sizes(text: str | int | float, size: int) -> None:
    assert parse_size(text, bare=M) == size


@pytest.mark.parametrize(("text", "problem"), BAD)
def test_garbage_names_the_value_and_shows_examples(text: str | int | float, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        parse_size(text, bare=M)
    assert caught.value.hint == EXAMPLES
    assert caught.value.exit_code == EXIT_INPUT
    assert len(caught.value.message) < 120


def test_bare_counts_in_what_the_caller_says() -> None:
    assert parse_size(3, bare=1) == 3
    assert parse_size("3", bare=G) == 3 * G


@pytest.mark.parametrize(("size", "text"), [(20 * G, "20G"), (1536 * M, "1536M"), (1 << 40, "1T"), (1000, "1000B")])
def test_format(size: int, text: str) -> None:
    assert format_size(size) == text


@settings(deadline=None)
@given(st.integers(1, LIMIT))
def test_what_is_formatted_parses_back(size: int) -> None:
    assert parse_size(format_size(size), bare=1) == size


@settings(deadline=None)
@given(st.integers(1, 999), st.sampled_from(["", "K", "M", "G", "T"]), st.sampled_from(["", "B", "iB", "b", "ib"]))
def test_every_spelling_of_a_unit_is_the_same(number: int, unit: str, suffix: str) -> None:
    suffix = suffix if unit else ""
    assert parse_size(f"{number}{unit}{suffix}", bare=1) == parse_size(f"{number} {unit.lower()}{suffix}", bare=1)


@settings(deadline=None)
@given(st.one_of(st.text(), st.integers(), st.floats()))
def test_anything_is_a_positive_size_or_an_input_error(value: str | int | float) -> None:
    try:
        size = parse_size(value, bare=M)
    except InputError:
        return
    assert 0 < size <= LIMIT
