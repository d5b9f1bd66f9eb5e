"""Cross-field rules (being written)."""

from __future__ import annotations

from collections.abc import Sequence

from ovtasks.errors import InputError
from ovtasks.spec.declared import DeclaredVm


def all_rules(vms: Sequence[DeclaredVm]) -> tuple[list[InputError], tuple[str, ...]]:
    """Every violation, and the environment variables that were read."""
    return [], ()
