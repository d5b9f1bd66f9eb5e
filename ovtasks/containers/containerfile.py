"""Finds what a containerfile takes from outside: base images, and files of its context. See containerfile(5).

It is read as podman's builder reads it: ``ARG`` before the first ``FROM``, stages, variables, Go's file patterns.
"""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ovtasks.containers.lines import Instruction, mounts, parse, split, unquoted, words
from ovtasks.containers.variables import Unknown, Values, fill
from ovtasks.errors import InputError, Where

__all__ = ["WHOLE", "BuildInputs", "parse", "build_inputs"]

WHOLE = "."
"""The source that stands for the whole context."""

_REMOTE = re.compile(r"(https?|ftp|ssh|git)://|git@")
_ARCHIVES = ("oci:", "oci-archive:", "docker-archive:", "docker-daemon:", "dir:", "sif:")
_SPECIAL = re.compile(r"([*?\[\]\\])")


@dataclass(frozen=True, slots=True)
class BuildInputs:
    """What one build takes.

    ``bases`` are image references as written, with their variables filled in. ``sources`` are patterns of paths below
    the context, each part as in Go's ``filepath.Match``, ``**`` for any number of folders; :data:`WHOLE` is everything.
    ``modeless`` are sources whose permissions the builder sets itself. ``text`` is the text without stages that nothing
    needs. ``mounted``: some sources come by RUN --mount, which podman's cache of layers ignores.
    """

    bases: tuple[str, ...]
    sources: tuple[str, ...]
    text: tuple[str, ...]
    modeless: tuple[str, ...] = ()
    mounted: bool = False


@dataclass(frozen=True, slots=True)
class _Reads:
    """What one instruction reads: names of images or stages, and patterns of files."""

    line: int
    names: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    modeless: bool = False
    mounted: bool = False


@dataclass
class _BuildStage:
    name: str
    base: str
    line: int
    values: Values
    instructions: list[Instruction]
    steps: list[_Reads] = field(default_factory=list)


def build_inputs(text: str, path: Path, build_args: Mapping[str, str], target: str | None, machine: str) -> BuildInputs:
    """What the build of stage ``target`` (None: the last one) takes. ``machine`` is Docker's architecture (amd64,
    arm64).

    :raises InputError: there is no such stage or no FROM, or we could not notice a change of a base.
    """
    instructions = list(parse(text))
    stages = _stages(instructions, build_args, machine)
    if not stages:
        raise InputError("there is no FROM", hint="FROM quay.io/fedora/fedora-bootc:42", where=Where(str(path), 1, 1))
    number = _find(target, stages) if target is not None else len(stages) - 1
    if number is None:
        names = ", ".join(stage.name for stage in stages if stage.name) or "none has a name"
        raise InputError(f"no stage '{target}' is in {path}", hint=f"stages: {names}")
    needed, bases = _needed(number, stages, path)
    steps = [step for index in needed for step in stages[index].steps]
    sources = {source for step in steps for source in step.sources}
    modeless = sources - {source for step in steps if not step.modeless for source in step.sources}
    if path.suffix == ".in":  # podman runs it through the C preprocessor, which may include anything
        sources = {WHOLE}
    head = itertools.takewhile(lambda one: one.verb != "FROM", instructions)
    read = [*head, *(one for index in sorted(needed) for one in stages[index].instructions)]
    said = tuple(f"{one.verb} {one.rest}\n{one.body}".strip() for one in read)
    listed = (WHOLE,) if WHOLE in sources - modeless else tuple(sorted(sources))
    mounted = any(step.mounted for step in steps)
    return BuildInputs(tuple(sorted(bases)), listed, said, tuple(sorted({*listed} & modeless)), mounted)


def _platform(given: Mapping[str, str], machine: str) -> dict[str, str]:
    """The builder's variables about the machine. A build argument may override them."""
    platform = {"OS": "linux", "ARCH": machine, "PLATFORM": f"linux/{machine}", "VARIANT": ""}
    known = {f"{who}{what}": value for who in ("TARGET", "BUILD") for what, value in platform.items()}
    return known | {name: value for name, value in given.items() if name in known}


def _stages(instructions: list[Instruction], given: Mapping[str, str], machine: str) -> list[_BuildStage]:
    platform = _platform(given, machine)
    stages: list[_BuildStage] = []
    top = Values(platform, given, platform)
    for one in instructions:
        if one.verb == "FROM":
            stages.append(_begin(one, stages, top))
        elif not stages:
            if one.verb == "ARG":
                top.take(one)
                top.arguments = {name: value for name, value in top.arguments.items() if value is not None}
        else:
            stage = stages[-1]
            stage.instructions.append(one)
            if (step := _step(one, stage.values)) is not None:
                stage.steps.append(step)
            stage.values.take(one)
    return stages


def _begin(one: Instruction, stages: list[_BuildStage], top: Values) -> _BuildStage:
    """The stage that a FROM begins, with the environment of its base."""
    said = {name: value for name, value in top.arguments.items() if value is not None}
    known = {**top.platform, **said}
    found = [word for word in words(one.rest) if not word.startswith("--")]
    base = _known(found[0], known) if found else ""
    name = unquoted(found[2]).lower() if len(found) > 2 and found[1].upper() == "AS" else ""
    values = Values(
        {n: v for n, v in known.items() if n not in top.platform or n in top.arguments}, top.given, top.platform
    )
    other = _find(base, stages) if not base.isdecimal() else None
    if other is not None:
        before = stages[other].values
        values.env, values.open = dict(before.env), before.open
    else:
        values.open = base.lower() != "scratch"
    return _BuildStage(name, base, one.line, values, [one])


def _known(word: str, known: Mapping[str, str]) -> str:
    try:
        return fill(word, known.get)
    except Unknown:
        return word


def _find(name: str, stages: list[_BuildStage], before: int | None = None) -> int | None:
    """The stage that ``name`` means: the last one of that name ``before`` a stage, or a number, counted from 0."""
    end = len(stages) if before is None else before
    for number in reversed(range(end)):
        if stages[number].name and stages[number].name == name.lower():
            return number
    return int(name) if name.isdecimal() and name.isascii() and int(name) < end else None


def _needed(number: int, stages: list[_BuildStage], path: Path) -> tuple[set[int], set[str]]:
    """The stages that stage ``number`` needs, itself included, and the images that they take."""
    needed: set[int] = set()
    bases: set[str] = set()
    queue = [number]
    while queue:
        at = queue.pop()
        if at in needed:
            continue
        needed.add(at)
        stage = stages[at]
        named = [(stage.base, stage.line), *((name, step.line) for step in stage.steps for name in step.names)]
        for name, line in named:
            other = _find(name, stages, at)
            if other is not None and not (name is stage.base and name.isdecimal()):
                queue.append(other)
            elif (base := _image(name, path, line)) is not None:
                bases.add(base)
    return needed, bases


def _image(name: str, path: Path, line: int) -> str | None:
    """The reference of an image; None for ``scratch``, and for a name that only the builder can resolve."""
    for transport in ("docker://", "containers-storage:"):
        name = name.removeprefix(transport)
    if name.startswith(_ARCHIVES):
        hint = "podman pull it, tag it localhost/NAME, and start FROM that"
        raise InputError(f"{name} as a base: its changes could not be seen", hint=hint, where=Where(str(path), line))
    return name if name and name.lower() != "scratch" and "$" not in name else None


def _step(one: Instruction, values: Values) -> _Reads | None:
    """What an instruction reads from outside of its stage; None if nothing."""
    verb, flags, found = split(one)
    if verb in {"COPY", "ADD"}:
        names = tuple(_name(value, values) for name, value in flags if name == "from")
        modeless = any(name == "chmod" for name, _ in flags)
        sources = () if names else tuple(_copied(verb, found[:-1], values))
        return _Reads(one.line, names, sources, modeless)
    if verb == "RUN":
        options = [*mounts(flags)]
        binds = [each for each in options if each.get("type", "bind") == "bind"]
        names = tuple(_name(each["from"], values) for each in options if "from" in each)
        places = (each.get("source", each.get("src", WHOLE)) for each in binds if "from" not in each)
        sources = tuple(WHOLE if "$" in place else _place(_SPECIAL.sub(r"\\\1", place)) for place in places)
        return _Reads(one.line, names, sources, mounted=bool(binds or names))
    return None


def _name(written: str, values: Values) -> str:
    """The name of an image or stage; as written if only the builder knows its variables."""
    filled = values.filled(written, values.argument)
    return written if filled is None else filled


def _copied(verb: str, found: list[str], values: Values) -> Iterator[str]:
    """The patterns of files that COPY or ADD names."""
    for word in found:
        if re.fullmatch(r"\d*<<-?[^<]+", word):
            continue
        filled = values.filled(word, values.lookup)
        if filled is None:
            yield WHOLE
        elif not (verb == "ADD" and _REMOTE.match(filled)):
            # podman reads \\* as * here: no escape is left when it looks for files
            yield _place(re.sub(r"\\(.)", r"\1", filled, flags=re.DOTALL))


def _place(source: str) -> str:
    return posixpath.normpath("/" + source).strip("/") or WHOLE
