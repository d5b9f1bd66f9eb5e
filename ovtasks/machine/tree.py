"""The ``libvirt:`` block as one checked tree, which knows where each value stands in the spec.

:mod:`.read` makes it. Rules, defaults, XML, QEMU's words and the checks of the host read nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias

from ovtasks.errors import InputError
from ovtasks.values.words import dotted
from ovtasks.values.yamlio import Key

Place: TypeAlias = tuple[Key, ...]
Value: TypeAlias = "str | Tree | Sequence[Tree] | Sequence[str]"
TreeLike: TypeAlias = "str | Mapping[str, TreeLike] | Sequence[TreeLike] | Tree | Sequence[Tree] | Sequence[str]"
"""What a tree can be made of."""

ROOT: Place = ("libvirt",)
LIBVIRT_HINT = "remove it, or let the VM run on libvirt (backend: libvirt)"
TRUTH = {"on": True, "off": False, "yes": True, "no": False, "true": True, "false": False}
"""Every spelling of a truth value."""
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,18}", re.ASCII)


class Fault(NamedTuple):
    """What is wrong with the value at ``path`` (from ``libvirt`` on); ``key``: point at its key instead."""

    path: Place
    message: str
    hint: str
    key: bool = False


Faults: TypeAlias = Iterator[Fault]


@dataclass(frozen=True)
class Tree:
    """A mapping at ``place``, with the spec's names. Its leaves are texts, spelled as in libvirt's XML.

    ``wrong`` are the keys with invalid values: :meth:`has` knows them, but they have no value. ``written`` are the
    user's own words where libvirt's differ, for messages. ``taken`` are the places that were asked for, in a tree that
    is :meth:`watched`. A mapping that is not there counts as an empty one.
    """

    value: Mapping[str, Value] = field(default_factory=dict)
    place: Place = ROOT
    wrong: frozenset[str] = frozenset()
    written: Mapping[str, str] = field(default_factory=dict)
    taken: set[Place] | None = field(default=None, compare=False, repr=False)

    def __contains__(self, key: str) -> bool:
        return key in self.value

    def __bool__(self) -> bool:
        return bool(self.value)

    @property
    def path(self) -> str:
        """The place as people read it: ``libvirt.devices.disks[0]``."""
        return dotted(self.place)

    def has(self, key: str) -> bool:
        """Whether the user wrote something there, right or wrong."""
        return key in self.value or key in self.wrong

    def get(self, key: str) -> Value | None:
        """Whatever is at ``key``."""
        self._take(key)
        return self.value.get(key)

    def text(self, key: str) -> str | None:
        """The text at ``key``; None: there is none."""
        self._take(key)
        return self.peek(key)

    def peek(self, key: str) -> str | None:
        """As :meth:`text`, but does not mark the value as taken."""
        found = self.value.get(key)
        return found if isinstance(found, str) else None

    def number(self, key: str) -> int | None:
        """The whole number at ``key``, decimal or with 0x."""
        word = self.text(key) or ""
        return int(word, 16 if word[:2] in {"0x", "0X"} else 10) if _NUMBER.fullmatch(word) else None

    def switch(self, key: str) -> bool | None:
        """The truth value at ``key``; None: there is none."""
        return TRUTH.get(self.text(key) or "")

    def flag(self, key: str) -> bool:
        """Whether ``key`` is there and true."""
        return self.switch(key) is True

    def texts(self, key: str) -> list[str]:
        """The list of texts at ``key``."""
        return [one for one in _list(self.get(key)) if isinstance(one, str)]

    def block(self, key: str) -> Tree:
        """The mapping at ``key``; an empty one where there is none."""
        found = self.get(key)
        return found if isinstance(found, Tree) else Tree({}, (*self.place, key), taken=self.taken)

    def items(self, key: str) -> list[Tree]:
        """The mappings of the list at ``key``."""
        return [one for one in _list(self.get(key)) if isinstance(one, Tree)]

    def one_of(self, key: str, names: Mapping[str, str], default: str | None = None) -> str | None:
        """QEMU's name for the word at ``key``, by ``names``.

        :raises InputError: QEMU has no such thing.
        """
        word = self.text(key) or default
        if word is None:
            return None
        if word not in names:
            raise self.refuse(key, f"QEMU alone has no {word}, but {', '.join(names)}")
        return names[word]

    def over(self, **defaults: TreeLike | None) -> Tree:
        """A copy that has ``defaults`` where it has nothing; None is skipped."""
        more = {key: self._wrap(key, one) for key, one in defaults.items() if one is not None and key not in self.value}
        return replace(self, value={**more, **self.value})

    def put(self, **values: TreeLike | None) -> Tree:
        """A copy with these ``values``; None removes a key."""
        kept = {key: one for key, one in self.value.items() if key not in values}
        more = {key: self._wrap(key, one) for key, one in values.items() if one is not None}
        return replace(self, value={**kept, **more})

    def _wrap(self, key: str, one: TreeLike) -> Value:
        if isinstance(one, Mapping):
            return tree(one, (*self.place, key), self.taken)
        return list_of(one, (*self.place, key), self.taken) if not isinstance(one, str | Tree) else one

    def fault(self, problem: str, hint: str, *below: Key) -> Fault:
        """A fault of this mapping, or of the value ``below`` it."""
        path = (*self.place, *below)
        return Fault(path, f"{dotted(path)}{'' if problem.startswith(':') else ' '}{problem}", hint)

    def refuse(self, key: str, reason: str, hint: str = LIBVIRT_HINT) -> InputError:
        """An error about the value at ``key``."""
        place = (*self.place, key)
        return InputError(f"{dotted(place)}: {reason}", hint=hint, field=place)

    def missing(self, key: str, hint: str) -> InputError:
        """An error about a value that is not there."""
        return InputError(f"{dotted((*self.place, key))} is missing", hint=hint, field=self.place)

    def error(self, reason: str, hint: str) -> InputError:
        """An error about the mapping itself."""
        return InputError(f"{self.path}: {reason}", hint=hint, field=self.place)

    def watched(self, taken: set[Place] | None = None) -> Tree:
        """A copy that remembers which of its values were asked for."""
        seen: set[Place] = set() if taken is None else taken
        below = {key: _watched(one, seen) for key, one in self.value.items()}
        return replace(self, value=below, taken=seen)

    def left(self) -> Iterator[Place]:
        """The places of all that nobody asked for, in a watched tree."""
        taken = self.taken or set()
        below = [(one, (*self.place, key)) for key, one in self.value.items()]
        for one, place in below:
            if place not in taken:
                yield from _leaves(one, place)
        for one, place in below:
            for tree in [one] if isinstance(one, Tree) else [*_list(one)]:
                if place in taken and isinstance(tree, Tree):
                    yield from tree.left()

    def _take(self, key: str) -> None:
        if self.taken is not None:
            self.taken.add((*self.place, key))


def tree(plain: Mapping[str, TreeLike], place: Place = ROOT, taken: set[Place] | None = None) -> Tree:
    """A tree made of plain data."""
    root = Tree({}, place, taken=taken)
    return replace(root, value={key: root._wrap(key, one) for key, one in plain.items()})


def list_of(
    plain: Sequence[TreeLike] | TreeLike, place: Place, taken: set[Place] | None = None
) -> Sequence[Tree] | Sequence[str]:
    """A list of texts, or of trees."""
    assert not isinstance(plain, str | Mapping | Tree)
    if all(isinstance(one, str) for one in plain):
        return [str(one) for one in plain]
    return [
        tree(one, (*place, index), taken) if isinstance(one, Mapping) else one
        for index, one in enumerate(plain)
        if isinstance(one, Mapping | Tree)
    ]


def twice(items: Sequence[Tree], key: str, what: str) -> Faults:
    """A fault for each item whose ``key`` repeats that of an earlier one."""
    seen: dict[str, Tree] = {}
    for item in items:
        value = item.text(key)
        if value is not None and value in seen:
            yield item.fault(f": {what} {value} appears twice", "remove or rename one of the two", key)
        elif value is not None:
            seen[value] = item


def _list(found: Value | None) -> Sequence[Tree] | Sequence[str]:
    return [] if found is None or isinstance(found, str | Tree) else found


def _watched(one: Value, taken: set[Place]) -> Value:
    if isinstance(one, Tree):
        return one.watched(taken)
    if isinstance(one, str):
        return one
    return [item for item in one if isinstance(item, str)] or [
        item.watched(taken) for item in one if isinstance(item, Tree)
    ]


def _leaves(one: Value, place: Place) -> Iterator[Place]:
    if isinstance(one, Tree) and one.value:
        for key, below in one.value.items():
            yield from _leaves(below, (*place, key))
    elif items := _list(one):
        for index in range(len(items)):
            yield from _leaves(items[index], (*place, index))
    else:
        yield place
