"""The film in the README: small, well-formed, and of commands that ov has. ``python -m docs.tour`` records it anew."""

from __future__ import annotations

import re
import shlex
from xml.etree import ElementTree

from docs.tour import COLUMNS, LINES, TARGET, Screen, drawn
from ovtasks.cli.main import parser, split_rest
from tests.support.checkout import ROOT

SVG = "{http://www.w3.org/2000/svg}"


def test_the_film_is_small_and_shows_every_command() -> None:
    text = TARGET.read_text(encoding="utf-8")
    assert len(text.encode()) < 60_000 and "prefers-color-scheme:dark" in text
    rows = [row.text for row in ElementTree.fromstring(text).iter(f"{SVG}text")]
    for line in LINES:
        assert f"$ {line}" in rows
        parser().parse_args(split_rest(shlex.split(line)[1:])[0])
    lengths = {float(one) for one in re.findall(r'dur="([\d.]+)s"', text)}
    assert len(lengths) == 1 and lengths.pop() <= 60
    assert "](docs/tour.svg)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_screen_does_what_programs_say() -> None:
    screen = Screen()
    screen.write("one\r\ntwo\x1b[1A\r\x1b[2K\x1b[1mred\x1b[0m\r\n")
    assert screen.shown() == ["red", "two"]
    screen.write("x" * (COLUMNS + 1))
    assert screen.shown() == ["red", "x" * COLUMNS, "x"]


def test_a_text_is_seen_from_when_it_came_until_it_went() -> None:
    film = [(1.0, ["a <b>"]), (2.0, ["c"])]
    first, second = ElementTree.fromstring(drawn(film)).iter(f"{SVG}text")
    assert (first.text, second.text) == ("a <b>", "c")
    assert first[0].get("keyTimes") == f"0;{1 / 6:.4f};{2 / 6:.4f}"
    assert second[0].get("keyTimes") == f"0;{2 / 6:.4f};1.0000"
