"""Whether a deployment has a VM to go to. Asked on every run, so nothing else is imported for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ovtasks.instance.record import Record


def needs_create(record: Record | None) -> bool:
    """Whether there is no VM that could be started; then its disk must be built, too."""
    return record is None or not record.folder.machine.exists()
