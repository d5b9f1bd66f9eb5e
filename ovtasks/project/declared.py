"""A VM or an image as it stands in a file, before its spec is built. The rules look at this."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovtasks.errors import InputError, Where
from ovtasks.values.yamlio import Document, Key

OWN_KEYS = ("extends", "abstract")
"""Keys of a VM that are about its entry alone."""
IMAGE = "image:"
"""Stands before the name of an image, where VMs and images are called by one word."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A declaration.

    ``data`` is its mapping after the schema check; it stands at ``path`` of ``document`` in ``file``. ``bases`` are the
    entries that it inherits from, the remotest first; their values are in ``data``.
    """

    name: str
    data: Any
    document: Document
    path: tuple[Key, ...]
    file: Path
    bases: tuple[Declared, ...] = ()

    def where(self, *path: Key, key: bool = False) -> Where:
        """The place of a value (or of its key)."""
        return self.document.where(*self.path, *path, key=key)

    def get(self, *path: Key) -> Any:
        """The value at ``path``; None if it or anything above it is missing."""
        value = self.data
        for step in path:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def text(self, *path: Key) -> str | None:
        """The value at ``path`` if it is text, else None."""
        value = self.get(*path)
        return value if isinstance(value, str) else None

    def mapping(self, *path: Key) -> dict[str, Any]:
        """The mapping at ``path``; empty if there is none."""
        value = self.get(*path)
        return value if isinstance(value, dict) else {}

    def list(self, *path: Key) -> list[Any]:
        """The list at ``path``; empty if there is none."""
        value = self.get(*path)
        return value if isinstance(value, list) else []

    def error(self, message: str, *path: Key, hint: str | None = None, key: bool = False) -> InputError:
        """An error at the value (or the key) at ``path``."""
        return InputError(message, hint=hint, where=self.where(*path, key=key)).of(self.owner)

    @property
    def owner(self) -> str:
        """How errors call the entry: ``InputError.owners``."""
        return self.name


class DeclaredVm(Declared):
    """One entry of ``vms:``."""


class DeclaredImage(Declared):
    """One entry of ``images:``."""

    @property
    def owner(self) -> str:
        """``image:<name>``."""
        return f"{IMAGE}{self.name}"
