"""Words of cloud-init's that who reads a project and who renders a seed take alike."""

from __future__ import annotations

from ovtasks.values.passed import Yaml

DEFAULT_USER = "default"
"""The account that the image's own configuration describes."""
_TRUE = frozenset({"true", "1", "on", "yes"})


def is_true(value: Yaml) -> bool:
    """As cloud-init decides."""
    return value is True or str(value).strip().lower() in _TRUE
