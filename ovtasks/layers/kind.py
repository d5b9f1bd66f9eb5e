"""The contract of kinds of operations, and the kind of a name. Other packages bring more by entry points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from ovtasks.layers.context import LayerContext
from ovtasks.layers.operation import Operation
from ovtasks.project.layer_model import LayerSpec, LayerTask
from ovtasks.values.jsonvalue import Json


@runtime_checkable
class OperationKind(Protocol):
    """What one part of a layer file becomes. A class of it takes no arguments; docs/layers.md is made from it.

    ``name`` is the kind's, and the verb of the tasks that it carries out. ``schema`` is the JSON Schema (2020-12) of
    each key that such a task may have beside ``user``, ``uninstall`` and ``comment``, the verb included, each with a
    description; those of our own verbs stand in ``schemas/layer.schema.json`` instead. None: it has no tasks. ``doc``
    says what it does, how it looks and what undo restores, in plain English.
    """

    name: str
    doc: str
    schema: Mapping[str, Mapping[str, Json]] | None = None

    def task(self, task: LayerTask, context: LayerContext) -> Iterable[Operation]:
        """The operations of one task with this verb.

        :raises InputError: the task's own fields contradict each other.
        """
        return ()

    def layer(self, layer: LayerSpec, context: LayerContext) -> Iterable[Operation]:
        """The operations of a part of the layer that is not a task: packages, services.

        :raises InputError: as :meth:`task`.
        """
        return ()


BEFORE_TASKS: Sequence[str] = ("repositories", "packages", "environment", "aur", "npm", "pixi", "cargo")
"""Kinds of parts in the order in which a layer's operations come; then its tasks as written; then the last ones."""
AFTER_TASKS: Sequence[str] = ("shell", "services")
