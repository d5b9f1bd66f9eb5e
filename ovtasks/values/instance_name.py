"""Which names instances of a VM may have: a further part of their domain's name."""

from __future__ import annotations

import re

RULE = "a-z, 0-9 and hyphens, at most 30 characters, and no hyphen first"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,29}", re.ASCII)


def is_instance_name(text: str) -> bool:
    """Whether ``text`` may be the name of an instance."""
    return _NAME.fullmatch(text) is not None
