"""What messages suggest in place of a wrong word."""

from __future__ import annotations

import pytest

from ovtasks.values.words import choice, close_to, did_you_mean, meant, near
from tests.support.checkout import ROOT


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("wbe", "did you mean 'web'?"),
        ("web1", "did you mean 'web1' or 'web' or 'web2'?"),
        ("nothing-like-it", None),
        ("", None),
    ],
)
def test_did_you_mean(word: str, hint: str | None) -> None:
    assert did_you_mean(word, ["web", "web1", "web2", "db's"] if "1" in word else ["web", "db's"]) == hint


def test_how_many_and_how_close() -> None:
    assert close_to("web", ["web1", "web2", "wax"], most=1) == ["web2"]
    assert close_to("web", ["wax"], cutoff=0.9) == []
    assert near("disk-siz", ["disk_size", "ram"]) == "disk_size"
    assert meant(["it's"]) == "did you mean 'it's'?" and meant([]) is None
    assert choice("x", "tru", ["true", "false"])[1] == "did you mean 'true'?"


def test_words_are_compared_in_one_place() -> None:
    found = {path.name for path in (ROOT / "ovtasks").rglob("*.py") if "get_close_matches" in path.read_text("utf-8")}
    assert found == {"words.py"}
