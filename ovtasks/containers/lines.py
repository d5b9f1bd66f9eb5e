"""Splits the text of a containerfile into instructions, as podman's builder does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

_DIRECTIVE = re.compile(r"#\s*(?:(?P<name>[a-z]+)\s*=\s*(?P<value>\S+))\s*", re.IGNORECASE)
_HEREDOC = re.compile(r"\d*<<(-?)([^<]+)")
_BLANKS = re.compile(r"[ \t\v\f\r]+")
_WORD = re.compile(r"""(?:[^\s"'\\]|\\.|"(?:\\.|[^"\\])*"|'[^']*'|["'\\])+""")
_JOINT = "\0"
"""Marks the joint of two lines of one instruction until the blanks around it are removed."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction:

    ``verb`` in capitals, ``rest`` as one line, ``body`` of here-documents. ``line`` counts from 1.
    """

    verb: str
    rest: str
    body: str
    line: int


def parse(text: str) -> Iterator[Instruction]:
    """The instructions, without comments and line continuations."""
    lines = text.replace("\r\n", "\n").removeprefix("\ufeff").split("\n")
    goes_on = re.compile(re.escape(_escape(lines)) + r"[ \t]*$")
    at = 0
    while at < len(lines):
        start = 0
        parts: list[str] = []
        while at < len(lines):
            line = lines[at]
            at += 1
            if line.lstrip().startswith("#") or not line.strip():  # even between the lines of one instruction
                if parts or at == len(lines):
                    continue
                break
            start = start or at
            part = line if parts else line.lstrip()
            parts.append(goes_on.sub("", part))
            if parts[-1] == part:
                break
        verb, _, rest = _BLANKS.sub(" ", _JOINT.join(parts).strip(), count=1).partition(" ")
        verb = verb.replace(_JOINT, "").upper()
        if verb:
            rest = _tidy(rest.strip(), everywhere=verb in {"COPY", "ADD", "FROM"})
            end, body = _heredocs(verb, rest, lines, at)
            yield Instruction(verb, rest, body, start)
            at = end


def _escape(lines: list[str]) -> str:
    """The character that continues a line: a backslash, unless a directive at the top sets another one."""
    for line in lines:
        found = _DIRECTIVE.fullmatch(line.strip())
        if found is None:
            break
        if found["name"].lower() == "escape" and found["value"] in {"\\", "`"}:
            return str(found["value"])
    return "\\"


def _tidy(text: str, *, everywhere: bool) -> str:
    """Leave one blank where lines were joined (with ``everywhere``: for all blanks). Quoted text stays as written."""
    made: list[str] = []
    quote = ""
    pieces = re.findall(rf"\\.|[ \t\v\f\r{_JOINT}]+|.", text, re.DOTALL)
    for piece in pieces:
        blank = piece.strip(" \t\v\f\r" + _JOINT) == ""
        if blank and not quote and (everywhere or _JOINT in piece):
            made.append(" " if piece.strip(_JOINT) else "")
            continue
        if piece in {'"', "'"} and quote in {"", piece}:
            quote = "" if quote else piece
        made.append(piece.replace(_JOINT, ""))
    return "".join(made).strip()


def _heredocs(verb: str, rest: str, lines: list[str], at: int) -> tuple[int, str]:
    """The line after an instruction's here-documents, and their text."""
    body: list[str] = []
    wrapped = rest.partition(" ")[0].upper() if verb == "ONBUILD" else verb
    if wrapped not in {"RUN", "COPY", "ADD"}:
        return at, ""
    for word in _WORD.findall(rest):
        found = _HEREDOC.fullmatch(word)
        if found is None:
            continue
        name = unquoted(found[2])
        ends = [
            number
            for number in range(at, len(lines))
            if (lines[number].lstrip("\t") if found[1] else lines[number]) == name
        ]
        if not ends:
            break  # not a here-document after all
        body += lines[at : ends[0] + 1]
        at = ends[0] + 1
    return at, "\n".join(body)


def unquoted(word: str) -> str:
    """``word`` without its quotes."""
    return re.sub(r"[\"']", "", word)


def split(one: Instruction) -> tuple[str, list[tuple[str, str]], list[str]]:
    """Verb, flags and words. ONBUILD counts as the instruction inside, since a later build runs that."""
    verb, rest = one.verb, one.rest
    if verb == "ONBUILD":
        verb, _, rest = rest.partition(" ")
        verb = verb.upper()
    flags: list[tuple[str, str]] = []
    rest = rest.strip()
    while rest.startswith("--") and (found := _WORD.match(rest)):
        name, _, value = found[0][2:].partition("=")
        flags.append((name.lower(), unquoted(value)))
        rest = rest[found.end() :].lstrip()
    return verb, flags, words(rest)


def words(text: str) -> list[str]:
    """The words of ``text``, quotes kept: a JSON list, else split at blanks."""
    if text.startswith("["):
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if isinstance(found, list) and all(isinstance(word, str) for word in found):
            return found
    return _WORD.findall(text)


def mounts(flags: list[tuple[str, str]]) -> Iterator[dict[str, str]]:
    """The options of each ``--mount``."""
    for name, value in flags:
        if name == "mount":
            pairs = (option.partition("=") for option in value.split(","))
            yield {key.strip().lower(): what for key, _, what in pairs}
