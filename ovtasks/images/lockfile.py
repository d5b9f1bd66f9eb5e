"""``ovtasks.lock`` records what each image URL stood for, so that "latest" cannot drift.

JSON, sorted, one entry a URL, made for version control: ``{"version": 1, "images": {URL: {"final_url", "sha256",
"size"}}}``. A URL stands there without its secrets, a file of the project with its relative path. sha256 (hexadecimal)
and size (bytes) are those of the file as downloaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ovtasks.errors import InputError, Where
from ovtasks.host.files import write_atomic
from ovtasks.host.state import StateError, read_state
from ovtasks.images.request import Pin, is_hex, lock_name, public

VERSION = 1
MAX_BYTES = 16 << 20
_FIELDS = {"final_url": str, "sha256": str, "size": int}


def read_lock(path: Path) -> dict[str, Pin]:
    """The pins by URL; empty when there is no lock file.

    :raises InputError: it is not a lock file of this version; with the place, if that is known.
    """
    try:
        data = read_state(path, limit=MAX_BYTES)
    except StateError as e:
        raise _wrong(path, e.reason) from None
    if data is None:
        return {}
    try:
        text = data.decode("utf-8-sig")
        value = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as e:
        place = Where(str(path), e.lineno, e.colno)
        raise InputError(f"not a lock file: {e.msg.lower()}", hint=_HINT, where=place) from None
    except UnicodeDecodeError:
        raise _wrong(path, "is not text in UTF-8") from None
    except ValueError:
        raise _wrong(path, "holds a number that is too long") from None
    except RecursionError:
        raise _wrong(path, "is nested too deeply") from None
    except _TwiceError as e:
        raise _wrong(path, f"has {e} twice", _place(path, text, str(e))) from None
    if not isinstance(value, dict) or value.get("version") != VERSION:
        raise _wrong(path, f"is not a lock file of version {VERSION}")
    if set(value) != {"version", "images"} or not isinstance(value["images"], dict):
        raise _wrong(path, "must hold version and images, and nothing else")
    return {lock_name(url, path.parent): _pin(path, text, url, entry) for url, entry in value["images"].items()}


def lock_text(pins: Mapping[str, Pin]) -> str:
    """The one text for these pins."""
    images = {
        url: {"final_url": pin.final_url, "sha256": pin.sha256, "size": pin.size} for url, pin in sorted(pins.items())
    }
    return json.dumps({"version": VERSION, "images": images}, indent=2, ensure_ascii=False) + "\n"


def write_lock(path: Path, pins: Mapping[str, Pin]) -> None:
    """Write the lock file as a whole."""
    write_atomic(path, lock_text(pins))


_HINT = "restore it from version control, or pin again: mv ovtasks.lock ovtasks.lock.old && ov lock"


class _TwiceError(Exception):
    """An object has a key twice, as after a bad merge. Neither of the two pins can be trusted."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise _TwiceError(next(key for key in keys if keys.count(key) > 1))
    return found


def _wrong(path: Path, what: str, where: Where | None = None) -> InputError:
    return InputError(f"the lock file {what}", hint=_HINT, where=where or Where(str(path)))


def _place(path: Path, text: str, key: str) -> Where:
    """Where ``key`` stands last in the file; the file alone if the key is written with escapes."""
    import re

    found = list(re.finditer(re.escape(json.dumps(key, ensure_ascii=False)) + r"\s*:", text))
    if not found:
        return Where(str(path))
    at = found[-1].start()
    return Where(str(path), text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))


def _pin(path: Path, text: str, url: str, entry: object) -> Pin:
    def wrong(what: str) -> InputError:
        return _wrong(path, f"entry of {public(url)} {what}", _place(path, text, url))

    if not isinstance(entry, dict) or set(entry) != set(_FIELDS):
        raise wrong(f"must hold {', '.join(_FIELDS)}")
    for name, kind in _FIELDS.items():
        if not isinstance(entry[name], kind) or isinstance(entry[name], bool):
            raise wrong(f"has a wrong {name}")
    if entry["size"] < 1:
        raise wrong("has a wrong size")
    if len(entry["sha256"]) != 64 or not is_hex(entry["sha256"]):
        raise wrong("has a sha256 that is none")
    return Pin(entry["final_url"], entry["sha256"].lower(), entry["size"])
