"""What a containerfile takes from outside: images it begins from, files of its context. See containerfile(5).

Read as podman's builder does: line continuations, comments, here-documents, ``ARG`` before the first ``FROM``, stages.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ovtasks.errors import InputError, Where

WHOLE = "."
"""As a source: all of the context."""

_DIRECTIVE = re.compile(r"#\s*escape\s*=\s*([\\`])\s*", re.IGNORECASE)
_HEREDOC = re.compile(r"(?<!<)<<(-?)\s*([\"']?)([A-Za-z_][A-Za-z0-9_]*)\2")
_VARIABLE = re.compile(r"\$(?:(?P<plain>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)(?P<sign>:?[-+])?(?P<word>[^}]*)\})")
_REMOTE = re.compile(r"(https?|ftp|ssh|git)://|git@")
_ARCHIVES = ("oci:", "oci-archive:", "docker-archive:", "docker-daemon:", "dir:", "sif:")


@dataclass(frozen=True, slots=True)
class Instruction:
    """``verb`` is in capitals, ``rest`` one line, ``body`` the here-documents; ``line`` counts from 1."""

    verb: str
    rest: str
    body: str
    line: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What one build takes. ``bases`` are image references as written, variables filled in; ``sources`` are paths
    below the context, which may end at a folder; :data:`WHOLE` is everything. ``text`` is what the builder reads."""

    bases: tuple[str, ...]
    sources: tuple[str, ...]
    text: tuple[str, ...]


@dataclass
class _Stage:
    name: str
    base: str
    line: int
    instructions: list[Instruction]


def taken(text: str, path: Path, build_args: Mapping[str, str], target: str | None, machine: str) -> Taken:
    """What the build of stage ``target`` (None: the last) takes; ``machine`` is Docker's architecture (amd64, arm64).

    :raises InputError: there is no such stage, or no FROM, or a base whose changes could not be seen.
    """
    instructions = list(parse(text))
    stages = _stages(instructions, _global_arguments(instructions, build_args, machine))
    if not stages:
        raise InputError("there is no FROM", hint="FROM quay.io/fedora/fedora-bootc:42", where=Where(str(path), 1, 1))
    number = _find(target, stages) if target is not None else len(stages) - 1
    if number is None:
        names = ", ".join(stage.name for stage in stages if stage.name) or "none has a name"
        raise InputError(f"no stage '{target}' is in {path}", hint=f"stages: {names}")
    needed, bases = _needed(number, stages, path)
    sources = {source for index in needed for one in stages[index].instructions for source in _sources(one)}
    if path.suffix == ".in":  # goes through the C preprocessor, which may include anything
        sources = {WHOLE}
    words = tuple(f"{one.verb} {one.rest}\n{one.body}".strip() for one in instructions)
    return Taken(tuple(sorted(bases)), (WHOLE,) if WHOLE in sources else tuple(sorted(sources)), words)


def parse(text: str) -> Iterator[Instruction]:
    """The instructions, comments and line continuations taken out."""
    lines = text.replace("\r\n", "\n").removeprefix("\ufeff").split("\n")
    escape = "\\"
    for line in lines:
        if not line.startswith("#"):
            break
        if found := _DIRECTIVE.fullmatch(line):
            escape = found[1]
    at = 0
    while at < len(lines):
        start = 0
        parts: list[str] = []
        while at < len(lines):
            line = lines[at].strip()
            at += 1
            if line.startswith("#") or (not line and parts):  # also between the lines of one instruction
                continue
            start = start or at
            goes_on = line.endswith(escape)
            parts.append(line[:-1].rstrip() if goes_on else line)
            if not goes_on:
                break
        verb, _, rest = " ".join(part for part in parts if part).partition(" ")
        if verb:
            end, body = _heredocs(verb.upper(), rest, lines, at)
            yield Instruction(verb.upper(), rest.strip(), body, start)
            at = end


def _heredocs(verb: str, rest: str, lines: list[str], at: int) -> tuple[int, str]:
    """The line after an instruction's here-documents, and their text."""
    body: list[str] = []
    if verb not in {"RUN", "COPY", "ADD"}:
        return at, ""
    for found in _HEREDOC.finditer(rest):
        ends = [
            number
            for number in range(at, len(lines))
            if (lines[number].lstrip("\t") if found[1] else lines[number]) == found[3]
        ]
        if not ends:
            break  # no here-document after all
        body += lines[at : ends[0] + 1]
        at = ends[0] + 1
    return at, "\n".join(body)


def _global_arguments(instructions: list[Instruction], given: Mapping[str, str], machine: str) -> dict[str, str]:
    """The variables that FROM may use: ARG before the first FROM, and those that the builder sets itself."""
    platform = {"OS": "linux", "ARCH": machine, "PLATFORM": f"linux/{machine}"}
    known = {f"{who}{what}": value for who in ("TARGET", "BUILD") for what, value in platform.items()}
    known |= {name: value for name, value in given.items() if name in known}
    for one in instructions:
        if one.verb == "FROM":
            break
        if one.verb == "ARG":
            for word in _words(one.rest):
                name, has_default, default = word.partition("=")
                if name in given or has_default:
                    known[name] = given.get(name, _filled(default, known))
    return known


def _filled(text: str, known: Mapping[str, str]) -> str:
    """``text`` with ``$NAME``, ``${NAME}``, ``${NAME:-word}`` and ``${NAME:+word}`` replaced."""

    def value(found: re.Match[str]) -> str:
        name, sign, word = found["plain"] or found["name"], found["sign"] or "", found["word"] or ""
        has = bool(known.get(name)) if ":" in sign else name in known
        if "+" in sign:
            return _filled(word, known) if has else ""
        return known.get(name, "") if has or "-" not in sign else _filled(word, known)

    return _VARIABLE.sub(value, text)


def _stages(instructions: list[Instruction], known: Mapping[str, str]) -> list[_Stage]:
    stages: list[_Stage] = []
    for one in instructions:
        if one.verb == "FROM":
            words = [word for word in _words(_filled(one.rest, known)) if not word.startswith("--")]
            name = words[2] if len(words) > 2 and words[1].upper() == "AS" else ""
            stages.append(_Stage(name.lower(), words[0] if words else "", one.line, []))
        elif stages:
            stages[-1].instructions.append(one)
    return stages


def _find(name: str, stages: list[_Stage], before: int | None = None) -> int | None:
    """The stage that ``name`` means, the last one of that name ``before`` a stage; a number counts from 0."""
    end = len(stages) if before is None else before
    for number in reversed(range(end)):
        if stages[number].name == name.lower():
            return number
    return int(name) if name.isdecimal() and int(name) < end else None


def _needed(number: int, stages: list[_Stage], path: Path) -> tuple[set[int], set[str]]:
    """The stages that stage ``number`` is built from, itself included, and the images that they take."""
    needed: set[int] = set()
    bases: set[str] = set()
    queue = [number]
    while queue:
        at = queue.pop()
        if at in needed:
            continue
        needed.add(at)
        stage = stages[at]
        named = [(stage.base, stage.line), *((name, one.line) for one in stage.instructions for name in _from(one))]
        for name, line in named:
            other = _find(name, stages, at)
            if other is not None and not (name is stage.base and name.isdecimal()):
                queue.append(other)
            elif (base := _image(name, path, line)) is not None:
                bases.add(base)
    return needed, bases


def _image(name: str, path: Path, line: int) -> str | None:
    """The reference of an image that is no stage; None for ``scratch``, and for what only the builder can resolve."""
    for transport in ("docker://", "containers-storage:"):
        name = name.removeprefix(transport)
    if name.startswith(_ARCHIVES):
        hint = "podman pull it, tag it localhost/NAME, and begin FROM that"
        raise InputError(f"{name} as a base: its changes could not be seen", hint=hint, where=Where(str(path), line))
    return name if name and name.lower() != "scratch" and "$" not in name else None


def _from(one: Instruction) -> Iterator[str]:
    """Names of stages or images that COPY, ADD or RUN takes files from."""
    verb, flags, _ = _split(one)
    if verb in {"COPY", "ADD"}:
        yield from (value for name, value in flags if name == "from")
    elif verb == "RUN":
        for options in _mounts(flags):
            if "from" in options:
                yield options["from"]


def _sources(one: Instruction) -> Iterator[str]:
    """Paths below the context that an instruction reads; of patterns, the folder that holds all they can match."""
    verb, flags, words = _split(one)
    if verb in {"COPY", "ADD"} and not any(name == "from" for name, _ in flags):
        for word in words[:-1]:
            if not word.startswith("<<") and not (verb == "ADD" and _REMOTE.match(word)):
                yield _place(word)
    elif verb == "RUN":
        for options in _mounts(flags):
            if options.get("type", "bind") == "bind" and "from" not in options:
                yield _place(options.get("source", options.get("src", WHOLE)))


def _place(source: str) -> str:
    if "$" in source:
        return WHOLE
    parts: list[str] = []
    for part in posixpath.normpath("/" + source).strip("/").split("/"):
        if set("*?[\\") & set(part):
            break
        parts.append(part)
    return "/".join(parts) or WHOLE


def _split(one: Instruction) -> tuple[str, list[tuple[str, str]], list[str]]:
    """Verb, flags and words; ONBUILD counts as what it wraps, since a later stage runs it."""
    verb, rest = one.verb, one.rest
    if verb == "ONBUILD":
        verb, _, rest = rest.partition(" ")
        verb = verb.upper()
    flags: list[tuple[str, str]] = []
    rest = rest.strip()
    while rest.startswith("--"):
        flag, _, rest = rest.partition(" ")
        name, _, value = flag[2:].partition("=")
        flags.append((name.lower(), value.strip("\"'")))
        rest = rest.lstrip()
    return verb, flags, _words(rest)


def _mounts(flags: list[tuple[str, str]]) -> Iterator[dict[str, str]]:
    for name, value in flags:
        if name == "mount":
            pairs = (option.partition("=") for option in value.split(","))
            yield {key.strip().lower(): what for key, _, what in pairs}


def _words(text: str) -> list[str]:
    """Words as the builder takes them apart: a JSON list, else by blanks, quotes keep together."""
    if text.startswith("["):
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if isinstance(found, list):
            return [str(word) for word in found]
    return [re.sub(r"[\"']", "", word) for word in re.findall(r"(?:[^\s\"']|\"[^\"]*\"|'[^']*')+", text)]
