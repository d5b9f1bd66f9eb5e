"""The rules between fields that their declarations state: what goes with what, and what needs what.

The JSON Schema has the same rules for editors, in keywords of our own (``x-only``, ``x-needs``; see :mod:`.schema`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ovtasks.machine.field import Block, Field, Items, Node, beside
from ovtasks.machine.tree import Fault, Faults, Place, Tree
from ovtasks.values.words import dotted

Around = tuple[tuple[Tree, Mapping[str, Node]], ...]


def row_faults(tree: Tree, block: Block, around: Around = ()) -> Faults:
    """Every violation in ``tree``; ``around`` are the blocks that it stands in, the nearest last."""
    here = (*around, (tree, block.fields))
    for name in [*tree.value, *sorted(tree.wrong)]:
        node = block.fields[name]
        yield from _beside(name, node, (*tree.place, name), here)
        value = tree.value.get(name)
        if isinstance(value, Tree) and isinstance(node, Block):
            yield from row_faults(value, node, here)
        elif isinstance(node, Items) and isinstance(value, Sequence):
            for one in value:
                if isinstance(one, Tree):
                    yield from row_faults(one, node.block, here)


def _beside(name: str, node: Node, path: Place, around: Around) -> Faults:
    only, needs = beside(node)
    for key, allowed in only.items():
        value, written = _value(key, around)
        if value is not None and value not in allowed:
            words = " or ".join(allowed)
            message = f"{dotted(path)} goes with {key}: {words}, not with {written}"
            yield Fault(path, message, f"{key}: {allowed[0]}, or remove {name}", key=True)
    for key in needs:
        if not around[-1][0].has(key):
            parent = dotted(path[:-1])
            yield Fault(path, f"'{key}' is missing in {parent}: {name} needs it", f"add {key}, or remove {name}", True)


def _value(key: str, around: Around) -> tuple[str | None, str | None]:
    """The value of the nearest ``key`` (``model.type``: of the one in the nearest ``model``), else its default; and
    how the user wrote it."""
    first, _, rest = key.partition(".")
    for tree, fields in reversed(around):
        if first in fields:
            node, block = fields[first], tree
            if rest and isinstance(node, Block):
                node, block, first = node.fields[rest], tree.block(first), rest
            if not isinstance(node, Field) or first in block.wrong:
                return None, None
            value = block.peek(first) or node.default or node.assumed
            return value, block.written.get(first, value)
    return None, None
