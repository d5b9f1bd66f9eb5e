"""Errors for texts that are not YAML."""

from __future__ import annotations

from typing import Any

from ovtasks.errors import InputError, Where

MAX_DEPTH = 64
TOO_DEEP = "is a bracket missing? No field is nested so deep"


def decoded(data: bytes, name: str) -> str:
    """``data`` as text.

    :raises InputError: it is not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        column = len(data[data.rfind(b"\n", 0, e.start) + 1 : e.start].decode("utf-8", "replace")) + 1
        wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        message = "the file is UTF-16, not UTF-8" if wide else f"byte 0x{data[e.start]:02x} is not UTF-8"
        raise InputError(message, hint="save the file as UTF-8", where=Where(name, line, column)) from None


def bad_character(text: str, index: int, character: int | str, name: str) -> InputError:
    """The error for a character that YAML does not allow; ``index`` is roughly where it stands."""
    code = ord(character) if isinstance(character, str) else character
    found = text.find(chr(code)) if code < 0x110000 else -1  # the C reader counts bytes, so look for it
    index = found if found >= 0 else index
    where = Where(name, text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))
    return InputError(f"character U+{code:04X} is not allowed in YAML", hint="is this a text file?", where=where)


def not_yaml(error: Any, text: str, name: str) -> InputError:
    """The error for a text that PyYAML could not parse, with a hint where the line suggests one."""
    mark = error.problem_mark or error.context_mark
    where = Where(name, mark.line + 1, mark.column + 1) if mark else Where(name)
    if "maximum nesting depth" in (error.problem or ""):  # newer libyamls give up themselves
        return InputError(f"nested more than {MAX_DEPTH} levels deep", hint=TOO_DEEP, where=where)
    lines = text.splitlines()
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    hint = None
    if line[: len(line) - len(line.lstrip())].count("\t") or (mark and line[mark.column : mark.column + 1] == "\t"):
        hint = "indent with spaces: YAML allows no tabs there"
    elif "mapping values are not allowed" in (error.problem or ""):
        hint = "a value that contains ': ' needs quotes; otherwise check the indentation"
    elif line.lstrip()[:1] in {"@", "`", "%"} or (mark and line[mark.column : mark.column + 1] in {"@", "`", "%"}):
        hint = "a value that begins with this character needs quotes"
    elif "undefined alias" in (error.problem or ""):
        hint = "an alias (*name) needs its anchor (&name) before it; quote the text if it is none"
    context = f" ({error.context})" if error.context else ""
    return InputError(f"not YAML: {error.problem or error}{context}", hint=hint, where=where)
