"""All looks of a round as one script for the guest's shell, and what it answers as facts.

Every line of the answer begins with a token that nothing else prints: ``TOKEN <number> <fact> <base64>``.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping, Sequence

from ovtasks.layers.checks.model import Probe

LIMIT = 1024 * 1024
"""Bytes of a fact that are looked at."""
MISSING_TOOL = "cannot"
"""The fact that says why a look was not possible."""

_PRELUDE = f"""\
fact() {{
    printf '%s %s %s ' "$TOKEN" "$CHECK" "$1"
    head -c {LIMIT} | base64 | tr -d '\\n'
    echo
}}
tell() {{
    printf %s "$2" | fact "$1"
}}
uptime_now() {{
    if read -r now _ < /proc/uptime; then printf %s "$now"; fi
}}
"""
_AS_ROOT = """\
if [ "$(id -u)" != 0 ] && sudo -n true 2>/dev/null; then
    as_root() { sudo -n sh; }
elif [ "$(id -u)" != 0 ] && doas -n true 2>/dev/null; then
    as_root() { doas -n sh; }
else
    as_root() { sh; }
fi
"""


def new_token() -> str:
    """A token that no guest can know beforehand."""
    return f"ovcheck-{secrets.token_hex(8)}"


def script(checks: Sequence[Probe], token: str) -> str:
    """The looks of ``checks``: first those as root, then those as the user who logs in. Each is cut off by nothing else
    than its own end, so a failing one leaves the others alone.
    """
    numbered = list(enumerate(checks))
    as_root = _looks([(number, check) for number, check in numbered if not check.verb.as_user], token)
    as_user = _looks([(number, check) for number, check in numbered if check.verb.as_user], token)
    if as_root:
        as_root = f"{_AS_ROOT}as_root <<'{token}'\nexport LC_ALL=C\n{as_root}{token}\n"
    return as_root + as_user


def _looks(checks: Sequence[tuple[int, Probe]], token: str) -> str:
    if not checks:
        return ""
    text = f"TOKEN={token}\n{_PRELUDE}"
    for number, check in checks:
        look = check.verb.look(check) if check.verb.look else ""
        text += f'(\nCHECK={number}\ntell began "$(uptime_now)"\n{look}\n) </dev/null 2>/dev/null\n'
        text += f'CHECK={number}; tell ended "$(uptime_now)"\n'
    return text


def answers(output: bytes, token: str) -> Mapping[int, dict[str, bytes]]:
    """The facts of each check, by its number. Lines that are not ours, or cut off, are passed over."""
    found: dict[int, dict[str, bytes]] = {}
    for line in output.split(b"\n"):
        words = line.split(b" ")
        if len(words) != 4 or words[0] != token.encode() or not words[1].isdigit():
            continue
        try:
            value = base64.b64decode(words[3], validate=True)
        except binascii.Error:
            continue
        found.setdefault(int(words[1]), {})[words[2].decode("ascii", "replace")] = value
    return found


def seconds(facts: Mapping[str, bytes]) -> float:
    """How long the look took in the guest; 0 if it did not say."""
    try:
        return round(float(facts["ended"]) - float(facts["began"]), 3)
    except (KeyError, ValueError):
        return 0.0
