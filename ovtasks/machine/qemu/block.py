"""The ``libvirt:`` mapping as the renderers read it: what nobody has taken is remembered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ovtasks.errors import InputError
from ovtasks.machine.read import Read, Value
from ovtasks.values.words import dotted
from ovtasks.values.yamlio import Key

LIBVIRT_HINT = "remove it, or let the VM run on libvirt (backend: libvirt)"


@dataclass
class Block:
    """A mapping that remembers what nobody has taken; ``place`` is its own, as a user writes it."""

    value: Read
    place: tuple[Key, ...] = ("libvirt",)
    seen: set[str] = field(default_factory=set)
    children: dict[tuple[Key, ...], Block] = field(default_factory=dict)

    def __contains__(self, key: str) -> bool:
        return key in self.value

    @property
    def path(self) -> str:
        return dotted(self.place)

    def take(self, key: str) -> str | None:
        """The text at ``key``; None: there is none."""
        self.seen.add(key)
        return self.peek(key)

    def peek(self, key: str) -> str | None:
        """The text at ``key``, which somebody else takes."""
        value = self.value.get(key)
        return value if isinstance(value, str) else None

    def number(self, key: str) -> int | None:
        """As :meth:`take`, for whole numbers."""
        text = self.take(key)
        return None if text is None else int(text, 0)

    def flag(self, key: str) -> bool:
        """Whether the text at ``key`` is ``yes``."""
        return self.take(key) == "yes"

    def texts(self, key: str) -> list[str]:
        """The list of texts at ``key``."""
        self.seen.add(key)
        value = self.value.get(key, ())
        return [item for item in value if isinstance(item, str)] if isinstance(value, Sequence) else []

    def block(self, key: str) -> Block:
        """The mapping at ``key``; an empty one where there is none."""
        self.seen.add(key)
        value = self.value.get(key)
        return self._child(value if isinstance(value, Mapping) else {}, (*self.place, key))

    def blocks(self, key: str) -> list[Block]:
        """The list of mappings at ``key``."""
        self.seen.add(key)
        value = self.value.get(key, ())
        items = [item for item in value if isinstance(item, Mapping)] if isinstance(value, Sequence) else []
        return [self._child(item, (*self.place, key, index)) for index, item in enumerate(items)]

    def one_of(self, key: str, names: Mapping[str, str], default: str | None = None) -> str | None:
        """QEMU's name for the word at ``key``, by ``names``.

        :raises InputError: QEMU has no such thing.
        """
        word = self.take(key) or default
        if word is None:
            return None
        if word not in names:
            raise self.refuse(key, f"QEMU alone has no {word}, but {', '.join(names)}")
        return names[word]

    def refuse(self, key: str, reason: str, hint: str = LIBVIRT_HINT) -> InputError:
        """An error about the value at ``key``."""
        place = (*self.place, key)
        return InputError(f"{dotted(place)}: {reason}", hint=hint, field=place)

    def missing(self, key: str, hint: str) -> InputError:
        """An error about a value that is not there."""
        place = (*self.place, key)
        return InputError(f"{dotted(place)} is missing", hint=hint, field=self.place)

    def wrong(self, reason: str, hint: str) -> InputError:
        """An error about the mapping itself."""
        return InputError(f"{self.path}: {reason}", hint=hint, field=self.place)

    def left(self) -> Iterator[tuple[Key, ...]]:
        """The places of what was not taken."""
        for key, value in self.value.items():
            if key not in self.seen:
                yield from _leaves(value, (*self.place, key))
        for child in self.children.values():
            yield from child.left()

    def _child(self, value: Read, place: tuple[Key, ...]) -> Block:
        """One for each place: several may take of it."""
        return self.children.setdefault(place, Block(value, place))


def _leaves(value: Value, place: tuple[Key, ...]) -> Iterator[tuple[Key, ...]]:
    if isinstance(value, Mapping) and value:
        for key, below in value.items():
            yield from _leaves(below, (*place, key))
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        for index in range(len(value)):
            yield from _leaves(value[index], (*place, index))
    else:
        yield place
