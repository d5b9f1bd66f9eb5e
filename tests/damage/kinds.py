"""The kinds of damage. Each takes the place of a file, under the file's own name; nothing is changed in place, because
other names (hard links) of the same file are other files to who reads them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

Damage = Callable[[Path, bytes], None]


def _content(change: Callable[[bytes], bytes]) -> Damage:
    def damage(path: Path, content: bytes) -> None:
        mode = path.stat().st_mode & 0o7777
        path.unlink()
        path.write_bytes(change(content))
        path.chmod(mode)

    return damage


def _instead(make: Callable[[Path], object]) -> Damage:
    def damage(path: Path, content: bytes) -> None:
        path.unlink()
        make(path)

    return damage


def _full_folder(path: Path) -> None:
    path.mkdir()
    (path / "somebody's notes").write_text("keep me")


def _unreadable(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)
    path.chmod(0)


def _flip(content: bytes) -> bytes:
    """Same length, another byte in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0x55]) + content[middle + 1 :] if content else b"\0"


def _wrong_types(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _wrong_types(item) for key, item in value.items()}
    if isinstance(value, list):
        return {"list": 1}
    if value is None or isinstance(value, bool | int | float):
        return ["no", "scalar"]
    return 7


def _huge(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _huge(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_huge(item) for item in value]
    return 10**400 if isinstance(value, int) and not isinstance(value, bool) else value


def _newer(value: dict[str, Any]) -> dict[str, Any]:
    raised = {key: value[key] + 1000 for key in ("version", "format") if isinstance(value.get(key), int)}
    return {**value, **raised, "of_a_later_time": {"what": "nobody knows"}}


def _text(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _twice(value: dict[str, Any]) -> bytes:
    members = [f"{json.dumps(key)}: {json.dumps(item)}" for key, item in value.items()]
    return ("{" + ", ".join([*members, *members]) + "}").encode()


def _json(change: Callable[[Any], bytes]) -> Damage:
    return _content(lambda content: change(json.loads(content)))


ANY: dict[str, Damage] = {
    "gone": _instead(lambda path: None),
    "empty": _content(lambda content: b""),
    "cut": _content(lambda content: content[: len(content) // 2]),
    "zeros": _content(lambda content: bytes(len(content))),
    "one byte": _content(_flip),
    "not text": _content(lambda content: b"\xff\xfe\x00" + os.urandom(64)),
    "pipe": _instead(os.mkfifo),
    "folder": _instead(Path.mkdir),
    "full folder": _instead(_full_folder),
    "link to nothing": _instead(lambda path: path.symlink_to("/nonexistent/file")),
    "unreadable": _unreadable,
}
JSON: dict[str, Damage] = {
    "byte order mark": _content(lambda content: b"\xef\xbb\xbf" + content),
    "list": _content(lambda content: b"[]"),
    "number": _content(lambda content: b"3"),
    "text": _content(lambda content: b'"x"'),
    "null": _content(lambda content: b"null"),
    "object": _content(lambda content: b"{}"),
    "deep": _content(lambda content: b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
    "deep and cut": _content(lambda content: b"[" * 10_000),
    "wrong types": _json(lambda value: _text(_wrong_types(value))),
    "NaN": _json(lambda value: _text({key: float("nan") for key in value})),
    "huge numbers": _json(lambda value: _text(_huge(value))),
    "keys twice": _json(_twice),
    "newer": _json(lambda value: _text(_newer(value))),
    "a key less": _json(lambda value: _text(dict(list(value.items())[1:]))),
}


def is_json(content: bytes) -> bool:
    """Whether a file holds a JSON object."""
    try:
        return isinstance(json.loads(content), dict)
    except ValueError:
        return False


def remove(path: Path) -> None:
    """Whatever is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
