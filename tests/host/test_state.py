"""Reading files of our own: whatever is in their place, it is told, and nothing hangs."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from ovtasks.host.beneath import UnsafeError, guard
from ovtasks.host.state import StateError, load_state, read_state, read_text, try_load_state
from tests.support.programs import call

GOOD = {"format": 1, "text": "ä", "more": [1, 2.5, None, {"deep": True}]}


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda p: p.write_bytes(b""), "is damaged: it is empty"),
    "zeros": (lambda p: p.write_bytes(bytes(500)), "is damaged: it is empty"),
    "cut": (lambda p: p.write_text(json.dumps(GOOD)[:-9]), "is damaged: not JSON"),
    "list": (lambda p: p.write_text("[]"), "it holds no JSON object"),
    "number": (lambda p: p.write_text("3"), "it holds no JSON object"),
    "text": (lambda p: p.write_text('"x"'), "it holds no JSON object"),
    "null": (lambda p: p.write_text("null"), "it holds no JSON object"),
    "NaN": (lambda p: p.write_text('{"a": NaN}'), "NaN is not a number"),
    "infinity": (lambda p: p.write_text('{"a": -Infinity}'), "-Infinity is not a number"),
    "huge number": (lambda p: p.write_text('{"a": ' + "9" * 5000 + "}"), "is damaged"),
    "twice": (lambda p: p.write_text('{"a": 1, "b": {"c": 1, "c": 2}}'), "'c' stands there twice"),
    "deep list": (lambda p: p.write_text('{"a": ' + "[" * 10_000 + "]" * 10_000 + "}"), "nested too deeply"),
    "deep object": (lambda p: p.write_text('{"a": ' * 10_000 + "1" + "}" * 10_000), "nested too deeply"),
    "deep, cut": (lambda p: p.write_text("[" * 100_000), "is damaged"),
    "less deep": (lambda p: p.write_text('{"a": ' + "[" * 250 + "]" * 250 + "}"), "nested too deeply"),
    "half a pair": (lambda p: p.write_text('{"a": "\\ud800"}'), "not text in UTF-8"),
    "not UTF-8": (lambda p: p.write_bytes('{"a": "ä"}'.encode("latin-1")), "not text in UTF-8"),
    "UTF-16": (lambda p: p.write_bytes('{"a": 1}'.encode("utf-16")), "not text in UTF-8"),
    "large": (lambda p: p.write_bytes(b" " * (16 << 20) + b"{}"), "is larger than 16 MiB"),
    "pipe": (lambda p: os.mkfifo(p), "is a pipe"),
    "socket": (_socket, "is not a file"),
    "folder": (lambda p: p.mkdir(), "is a folder"),
    "dangling link": (lambda p: p.symlink_to("nowhere"), "is a symbolic link"),
    "link": (lambda p: p.symlink_to("good"), "is a symbolic link"),
    "device": (lambda p: p.symlink_to("/dev/zero"), "is a symbolic link"),
}


@pytest.mark.parametrize(("damage", "reason"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_told(damage: Callable[[Path], object], reason: str, tmp_path: Path) -> None:
    (tmp_path / "good").write_text(json.dumps(GOOD))
    path = tmp_path / "rec'ord.json"
    damage(path)
    with pytest.raises(StateError) as e:
        load_state(path)
    assert reason in e.value.message and str(path) in e.value.message and "\n" not in e.value.message
    assert e.value.hint and e.value.hint.startswith("move it away: ")
    call("sh", "-c", e.value.hint.partition(": ")[2])  # the command in the hint works
    assert load_state(path) is None
    assert try_load_state(tmp_path / "rec'ord.json.old") is None


def test_what_is_right_is_read(tmp_path: Path) -> None:
    for text in (json.dumps(GOOD), "\ufeff" + json.dumps(GOOD, ensure_ascii=False)):
        (tmp_path / "good").write_text(text, encoding="utf-8")
        assert load_state(tmp_path / "good") == try_load_state(tmp_path / "good") == GOOD
    deep = '{"a": ' + "[" * 190 + "]" * 190 + ', "b": "' + "[" * 500 + '"}'
    (tmp_path / "good").write_text(deep)
    assert load_state(tmp_path / "good") == json.loads(deep)
    assert load_state(tmp_path / "none") is None
    assert load_state(tmp_path / "good" / "below a file") is None
    (tmp_path / "text").write_bytes(b"\xff")
    with pytest.raises(StateError, match="is not text in UTF-8"):
        read_text(tmp_path / "text")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o666])
def test_what_is_believed_is_ours_alone(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "cache"
    path.write_bytes(b"marshal")
    path.chmod(mode)
    assert read_state(path) == b"marshal"
    with pytest.raises(StateError, match=f"may be used by others .mode {mode:04o}"):
        read_state(path, private=True)
    path.chmod(0o600)
    assert read_state(path, private=True) == b"marshal"
    os.link(path, tmp_path / "other name")
    with pytest.raises(StateError, match="has another name elsewhere"):
        read_state(path, private=True)


@pytest.mark.root
def test_what_another_user_put_there_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    path = tmp_path / "shared" / "record.json"
    path.write_text("{}")
    os.chown(path, 12345, 12345)
    with pytest.raises(StateError, match="belongs to another user"):
        load_state(path)
    os.chown(path.parent, 12345, 12345)  # root at work in a user's own project
    assert load_state(path) == {}
    with pytest.raises(StateError, match="belongs to another user"):
        read_state(path, private=True)


def test_no_folder_of_ours_is_a_link(tmp_path: Path) -> None:
    guard(tmp_path / "ours")
    (tmp_path / "ours").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "record.json").write_text("{}")
    (tmp_path / "ours" / "vm").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeError):
        load_state(tmp_path / "ours" / "vm" / "record.json")
    assert try_load_state(tmp_path / "ours" / "vm" / "record.json") is None
