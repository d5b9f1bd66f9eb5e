"""A layer's entry of ``eval`` → a check; or why there is none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ovtasks.errors import InputError, InputErrors
from ovtasks.layers.checks.matchers import matchers
from ovtasks.layers.checks.model import Check, CheckContext, CheckOutcome, CheckResult, CheckScope, CheckVerb
from ovtasks.layers.checks.verbs import OTHER_VERBS, VERBS
from ovtasks.project.layer_model import LayerPart
from ovtasks.values.durations import parse_duration
from ovtasks.values.jsonvalue import Json
from ovtasks.values.words import choice, near, shown

COMMON: Mapping[str, str] = {
    "id": "Its name in reports.",
    "description": "What it is for; only people read it.",
    "scope": "``build``: it holds in an image, too; ``deploy``: only on a machine that runs.",
    "skip": "True: it is left out.",
    "exclude_distros": "Distributions, by tag, where it is left out.",
    "in_container": "Makes no difference: the guest is looked at.",
    "eventually": "How long it may take until it holds.",
    "retry_interval": "Means nothing here: pauses grow from 0.2 to 2 seconds.",
    "tag": "Labels; only people read them.",
    "capture": "Means nothing here: only recipes use what was captured.",
    "capture_extract": "As ``capture``.",
}
"""Keys that every check may have."""
_SPELLINGS = {
    "exit_code": "exit_status",
    "exclude_distro": "exclude_distros",
    "version": "versions",
    "header": "headers",
    "opt": "opts",
    "tags": "tag",
}
"""Other spellings of keys, and ours."""
_ELSEWHERE = ("from_host", "background", "server", "on")
"""Keys with which a check is not one of the guest alone."""
_CONTAINERS = ("CAPTURED", "CONTAINER_IP", "CONTAINER_NAME", "VOLUME_CONTAINER_PATH", "VOLUME_PATH")
"""Names that mean something to containers and recipes only."""
_DURATIONS = ("timeout", "eventually", "retry_interval")
_NAME = re.compile(r"\$\{(\w+)(?::([^}]*))?\}", re.ASCII)
_MATCHED = {"stdout": "equals", "stderr": "equals", "body": "contains", "headers": "contains", "contains": "contains"}
_MATCHED |= {"opts": "contains", "value": "equals", "equals": "equals", "matches": "matches"}


class UnknownNameError(Exception):
    """Nothing says what a ``${NAME}`` of a check stands for."""


def read_check(part: LayerPart, context: CheckContext) -> Check | CheckResult:
    """The check that ``part`` describes, or the result that it has without a look.

    :raises InputError: it is no check: no verb or several, an unknown key, a value that does not suit its key.
    """
    data = {_SPELLINGS.get(key, key): value for key, value in part.data.items()}
    verb = _verb(part, data)
    subject = data.get(verb)
    first = subject.strip().partition("\n")[0][:60] if isinstance(subject, str) else shown(subject)
    name = str(data.get("id") or f"{verb} {first}")
    if why := _left_out(data, context):
        return CheckResult(name, verb, CheckOutcome.SKIPPED, part.where, reason=why)
    if (known := VERBS.get(verb)) is None:
        return CheckResult(name, verb, CheckOutcome.NOT_CARRIED_OUT, part.where, reason=verb)
    if key := next((key for key in _ELSEWHERE if data.get(key)), None):
        return CheckResult(name, verb, CheckOutcome.NOT_CARRIED_OUT, part.where, reason=f"{verb} with {key}")
    _check_keys(part, data, known)
    try:
        return _expanded(part, data, known, name, context)
    except UnknownNameError as e:
        why = f"{verb}: nothing says what {e} stands for"
        return CheckResult(name, verb, CheckOutcome.NOT_CARRIED_OUT, part.where, reason=why)


def read_checks(parts: Iterable[LayerPart], context: CheckContext) -> list[Check | CheckResult]:
    """:func:`read_check` of each.

    :raises InputErrors: of all that are no checks.
    """
    found: list[Check | CheckResult] = []
    errors: list[InputError] = []
    for part in parts:
        try:
            found.append(read_check(part, context))
        except InputError as e:
            errors.append(e)
    if errors:
        raise InputErrors(errors)
    return found


def _verb(part: LayerPart, data: Mapping[str, Json]) -> str:
    """:raises InputError: there is none, or there are several."""
    found = [verb for verb in (*OTHER_VERBS, *VERBS) if verb in data]
    if found and (found[0] in OTHER_VERBS or found[1:] == ["command"]):
        found = found[:1]
    if len(found) == 1:
        return found[0]
    if found:
        raise part.error(f"a check looks at one thing, not at {' and '.join(found)}", found[1], hint="make two of it")
    for key in data:
        if key not in COMMON and (guess := near(key, VERBS)):
            raise part.error(f"no check is called '{key}'", key, hint=f"did you mean '{guess}'?")
    raise part.error("this check says not what it looks at", hint=f"add one of {', '.join(VERBS)}")


def _left_out(data: Mapping[str, Json], context: CheckContext) -> str:
    """Why a check is not for this system; empty if it is."""
    if data.get("skip"):
        return "skip: true"
    scope = data.get("scope") or CheckScope.BUILD
    if scope in [*CheckScope] and scope not in context.scopes:
        return f"scope: {scope}"
    excluded = data.get("exclude_distros")
    tags = excluded if isinstance(excluded, list | tuple) else [excluded] if excluded else []
    for tag in tags:
        if str(tag).replace("-", ":", 1) in context.facts.tags or tag in context.facts.tags:
            return f"not on {tag}"
    return ""


def _check_keys(part: LayerPart, data: Mapping[str, Json], verb: CheckVerb) -> None:
    """:raises InputError: a key is unknown, or its value does not suit it."""
    known = {verb.name, *verb.keys, *COMMON, "timeout"}
    for written in part.data:
        key = _SPELLINGS.get(written, written)
        if key not in known:
            guess = near(key, known)
            hint = f"did you mean '{guess}'?" if guess else f"it may have {', '.join(sorted(verb.keys))}"
            raise part.error(f"a check of {verb.name} has no '{written}'", written, hint=hint)
        try:
            _check_value(key, data[key], verb)
        except (InputError, ValueError) as e:
            message, told = (e.message, e.hint) if isinstance(e, InputError) else (str(e), None)
            raise part.error(f"{written}: {message}", written, hint=told) from None


def _check_value(key: str, value: Json, verb: CheckVerb) -> None:
    """:raises InputError, ValueError: the value does not suit its key."""
    if key in _DURATIONS:
        parse_duration(str(value))
    elif key == "mode":
        int(str(value), 8)
    elif key == "exit_status":
        int(str(value))
    elif key == "scope" and value not in [*CheckScope]:
        message, hint = choice("scope", value, CheckScope)
        raise InputError(message, hint=hint)
    elif key in _MATCHED and key in verb.keys:
        matchers(value, _MATCHED[key])
    elif key == verb.name and (value is None or isinstance(value, list | tuple | Mapping)) and key != "matching":
        raise InputError(f"needs one value, not {shown(value)}")


def _expanded(part: LayerPart, data: Mapping[str, Json], verb: CheckVerb, name: str, context: CheckContext) -> Check:
    """The check with the names in its texts replaced. A command's ``${NAME}`` is left to its shell.

    :raises UnknownNameError: nothing says what one stands for.
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

    found = {key: item if key in _MATCHED else expand(item) for key, item in data.items()}
    subject = found[verb.name]
    home = context.facts.home
    text = subject if isinstance(subject, str) else str(subject)
    text = home + text[1:] if verb.name == "file" and text.startswith("~/") else text
    return Check(verb, name, text, found, part, context, in_guest)
