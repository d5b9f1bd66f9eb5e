"""A layer's entry of ``eval`` → a check; or why there is none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ovtasks.errors import InputError, InputErrors
from ovtasks.layers.checks.matchers import matchers
from ovtasks.layers.checks.model import (
    CheckContext,
    CheckOutcome,
    CheckResult,
    CheckScope,
    CheckVerb,
    Deferred,
    Probe,
    ReadCheck,
)
from ovtasks.layers.checks.verbs import VERBS
from ovtasks.project.distro_tags import normalized
from ovtasks.project.layer_model import LayerCheck
from ovtasks.project.layer_parts import SENTENCES
from ovtasks.values.durations import parse_duration
from ovtasks.values.jsonvalue import Json, canonical
from ovtasks.values.words import shown

COMMON = (
    *("id", "description", "skip", "scope", "exclude_distros", "in_container", "from_host", "on", "background"),
    *("timeout", "eventually", "retry_interval", "tag", "capture", "capture_extract"),
)
"""Keys that every check may have."""
_ELSEWHERE = ("background", "server", "on")
"""Keys with which a check is not one of the guest alone."""
_CONTAINERS = ("CAPTURED", "CONTAINER_IP", "CONTAINER_NAME", "VOLUME_CONTAINER_PATH", "VOLUME_PATH")
"""Names that mean something to containers and recipes only."""
_DURATIONS = ("timeout", "eventually", "retry_interval")
_CAPTURED = re.compile(r"\$\{CAPTURED:(\w+)\}", re.ASCII)
_NAME = re.compile(r"\$\{(\w+)(?::([^}]*))?\}", re.ASCII)
_MATCHED = {"stdout": "equals", "stderr": "equals", "body": "equals", "headers": "contains", "contains": "contains"}
_MATCHED |= {"opts": "contains", "value": "equals", "equals": "equals", "matches": "matches"}


class UnknownNameError(Exception):
    """Nothing says what a ``${NAME}`` of a check stands for."""


def read_check(part: LayerCheck, context: CheckContext) -> Probe | CheckResult:
    """The check that ``part`` describes, or the result that it has without a look.

    :raises InputError: a key is not for its verb, or a value does not suit its key.
    """
    verb = VERBS.get(part.verb)
    subject = part.data[part.verb]
    first = subject.strip().partition("\n")[0][:60] if isinstance(subject, str) else shown(subject)
    said = next((part.data[word] for word in SENTENCES if word in part.data), None)
    name = str(part.data.get("id") or said or f"{part.verb} {first}")

    def done(outcome: CheckOutcome, why: str) -> CheckResult:
        return CheckResult(name, part.verb, outcome, part.where, reason=why)

    if why := _left_out(part, context):
        return done(CheckOutcome.SKIPPED, why)
    if verb is None:
        return done(CheckOutcome.NOT_CARRIED_OUT, part.verb)
    if key := next((key for key in _ELSEWHERE if part.data.get(key)), None):
        return done(CheckOutcome.NOT_CARRIED_OUT, f"{part.verb} with {key}")
    if part.data.get("from_host") and verb.outside is None:
        return done(CheckOutcome.NOT_CARRIED_OUT, f"{part.verb} with from_host")
    _check_keys(part, verb)
    try:
        return _ready(part, verb, name, context)
    except UnknownNameError as e:
        return done(CheckOutcome.NOT_CARRIED_OUT, f"{part.verb}: nothing says what {e} stands for")


def read_checks(parts: Iterable[LayerCheck], context: CheckContext) -> list[ReadCheck]:
    """:func:`read_check` of each. One that uses what an earlier one captures is deferred.

    :raises InputErrors: some are wrong.
    """
    found: list[ReadCheck] = []
    errors: list[InputError] = []
    names: dict[str, str] = {}
    for part in parts:
        try:
            if names and names.keys() & {*_CAPTURED.findall(canonical(part.data))}:
                trial = read_check(part, replace(context, captured=names))  # what is wrong with it is told now
                found.append(Deferred(part, context) if isinstance(trial, Probe) else trial)
            else:
                found.append(read_check(part, context))
        except InputError as e:
            errors.append(e)
        if name := part.data.get("capture"):
            names[str(name)] = "1"
    if errors:
        raise InputErrors(errors)
    return found


def _left_out(part: LayerCheck, context: CheckContext) -> str:
    """Why a check is not for this system; empty if it is."""
    if part.data.get("skip"):
        return "skip: true"
    scope = CheckScope(str(part.data.get("scope") or CheckScope.BUILD))
    if scope not in context.scopes:
        return f"scope: {scope}"
    excluded = part.data.get("exclude_distros")
    for tag in excluded if isinstance(excluded, list) else ():
        if normalized(str(tag)) in context.facts.tags:
            return f"not on {tag}"
    return ""


def _check_keys(part: LayerCheck, verb: CheckVerb) -> None:
    """:raises InputError: a key is not for this verb, or its value does not suit it."""
    if "capture" in part.data and not verb.captures:
        raise part.error(f"a check of {verb.name} finds nothing to capture", "capture", hint="a command does, or http")
    if (pattern := part.data.get("capture_extract")) is not None:
        try:
            matchers({"matches": pattern})
        except InputError as e:
            raise part.error(f"capture_extract: {e.message}", "capture_extract", hint=e.hint) from None
    for key, value in part.data.items():
        if key not in (verb.name, *verb.keys, *COMMON, *SENTENCES):
            hint = f"it may have {', '.join(verb.keys)}"
            raise part.error(f"a check of {verb.name} has no '{key}'", key, hint=hint)
        try:
            if key in _DURATIONS:
                parse_duration(str(value))
            elif key in _MATCHED and key in verb.keys:
                matchers(value, _MATCHED[key])
        except InputError as e:
            raise part.error(f"{key}: {e.message}", key, hint=e.hint) from None


def _variable(name: str) -> str:
    """The variable by which a command's shell gets what was captured: it is text there, never code."""
    return f"OV_CAPTURED_{name}"


def _ready(part: LayerCheck, verb: CheckVerb, name: str, context: CheckContext) -> Probe:
    """The check with the names in its texts replaced. A command's ``${NAME}`` is left to its shell.

    :raises UnknownNameError: nothing says what one stands for. :raises InputError: its verb cannot look at that.
    """
    in_guest = False

    def value(match: re.Match[str]) -> str:
        nonlocal in_guest
        known: str = match[1]
        detail: str | None = match[2]
        if known == "HOST_PORT" and detail is not None and detail.isdecimal():
            forward = None if verb.as_user else context.forwards.get(int(detail))
            in_guest = in_guest or forward is None
            return str(forward or detail)
        if known == "CAPTURED" and detail is not None and detail in context.captured:
            return f"${{{_variable(detail)}}}" if verb.as_user else context.captured[detail]
        if verb.as_user and known not in _CONTAINERS:
            return match[0]
        if detail is None and known in context.variables:
            return context.variables[known]
        raise UnknownNameError(match[0])

    def expand(item: Json) -> Json:
        if isinstance(item, str):
            return _NAME.sub(value, item)
        if isinstance(item, Mapping):
            return {key: expand(one) for key, one in item.items()}
        return [expand(one) for one in item] if isinstance(item, list | tuple) else item

    known_now = {_variable(name): text for name, text in context.captured.items()}
    context = replace(context, variables={**context.variables, **known_now}) if known_now else context
    found = {key: item if key in _MATCHED else expand(item) for key, item in part.data.items()}
    subject = found[verb.name]
    home = context.facts.home
    text = subject if isinstance(subject, str) else str(subject)
    text = home + text[1:] if verb.name == "file" and text.startswith("~/") else text
    check = Probe(verb, name, text, found, part, context, in_guest)
    if (problem := verb.problem(check)) is not None:
        key, hint = problem
        raise part.error(f"a check of {verb.name} cannot look at {found[key]!r}", key, hint=hint)
    return check
