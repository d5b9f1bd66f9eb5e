"""What a test of this room looks at: what was said, and what was left."""

from __future__ import annotations

from dataclasses import dataclass, field

from ovtasks.images.store import Store


@dataclass
class Notes:
    """A progress that remembers."""

    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def update(self, done: int, total: int | None, unit: str = "B") -> None:
        pass


def leftovers(store: Store) -> list[str]:
    """What of downloads is left beside the store."""
    folder = store.root / "incoming"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
