"""Hides the secrets in definitions for a screen or a log: passwords of displays, and the guest's credentials."""

from __future__ import annotations

import difflib
import re

_VALUE = r"""(?:"[^"]*"|'[^']*'|[^"',\s<][^,\s"<]*)"""
_NAME = r"[\w.-]*(?:passw|passphrase|secret|token)[\w-]*"
_PATTERNS = (
    # an attribute of XML or a word of QEMU's command line; a member of JSON, also within a JSON string
    (rf"(\b{_NAME}=){_VALUE}", r'\1"…"'),
    (rf"""(\\?"{_NAME}\\?": *\\?")[^"\\]*""", r"\1…"),
    # SMBIOS strings and fw_cfg entries that systemd in the guest takes for credentials
    (r"""(io\.systemd\.credential(?:\.binary)?:[\w.-]+=)[^<",\s]+""", r"\1…"),
    (r"""(<entry name=["']opt/[^"']+["']>)[^<]+""", r"\1…"),
    (r"""(\bname=opt/[^\s,"]+,string=)[^\s",]+""", r"\1…"),
)
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE), to) for pattern, to in _PATTERNS)


def redacted(line: str) -> str:
    """``line`` of a definition (XML, or a word of a command line) with ``…`` in place of secrets."""
    for pattern, to in _COMPILED:
        line = pattern.sub(to, line)
    return line


def difference(name: str, old: str, new: str) -> str:
    """Unified diff of two definitions for a screen or a log, without their secrets."""
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), f"{name} (defined)", f"{name} (vms.yml)", lineterm="", n=2
    )
    return "".join(redacted(line) + "\n" for line in lines)
