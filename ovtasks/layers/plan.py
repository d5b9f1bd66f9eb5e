"""A layer for one system → its operations in order. A value: nothing is downloaded, and no guest is asked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ovtasks import registry
from ovtasks.errors import InputError, OvError, Where
from ovtasks.layers.context import LayerContext
from ovtasks.layers.facts import SystemFacts
from ovtasks.layers.fragments import ACCOUNT_LINE, own_name, quoted
from ovtasks.layers.kind import AFTER_TASKS, BEFORE_TASKS, OperationKind
from ovtasks.layers.operation import ROOT, Bringer, Gate, Operation, Skipped, operation_digest
from ovtasks.project.layer_model import LayerSpec, LayerTask
from ovtasks.values.jsonvalue import digest
from ovtasks.values.words import near


@dataclass(frozen=True)
class LayerPlan:
    """What a layer does to a system.

    ``digests`` belong to the operations, one each; they stay the same when an operation is completed. ``requires``
    are names of layers. ``reboot``: the system is to be restarted after the last operation.
    """

    name: str
    where: Where
    operations: tuple[Operation, ...]
    digests: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()
    requires: tuple[str, ...] = ()
    reboot: bool = False

    @property
    def digest(self) -> str:
        """Of all operations, as 64 hexadecimal digits."""
        return digest([*self.digests, self.reboot])


def compile_layer(
    layer: LayerSpec,
    facts: SystemFacts,
    environment: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    below: Sequence[LayerSpec] = (),
) -> LayerPlan:
    """The plan of ``layer`` for a system. ``environment``, ``secrets`` and ``below`` are as in :class:`LayerContext`.

    :raises InputError: the layer contradicts itself, or names what nobody knows.
    """
    context = LayerContext(layer, facts, environment or {}, secrets or {}, below=below)
    operations = tuple(_named(_all(context)))
    return LayerPlan(
        layer.name,
        layer.where,
        operations,
        tuple(operation_digest(operation) for operation in operations),
        tuple(context.skipped),
        tuple(needed.name for needed in layer.requires),
        layer.reboot,
    )


def needs_of(layer: LayerSpec, layers: Sequence[LayerSpec]) -> list[LayerSpec]:
    """Those of ``layers`` that ``layer`` needs, at any distance, in the order of ``layers``."""
    wanted = {need.name for need in layer.requires}
    for one in reversed(layers):  # a layer comes after its needs
        if one.name in wanted:
            wanted |= {need.name for need in one.requires}
    return [one for one in layers if one.name in wanted]


def complete(plan: LayerPlan, bringer: Bringer) -> LayerPlan:
    """The plan with all that its operations need from outside: downloads. It can be applied then.

    :raises OvError: something cannot be had.
    """
    done = tuple(one if one.complete is None else one.complete(one, bringer) for one in plan.operations)
    return replace(plan, operations=done)


def operation_kind(name: str, where: Where) -> OperationKind:
    """The kind called ``name``: ours, or another package's.

    :raises InputError: there is none. :raises OvError: its package cannot be loaded, or provides something else.
    """
    found = registry.find(registry.OPERATIONS, name)
    if found is None:
        meant = near(name, registry.names(registry.OPERATIONS))
        raise InputError(f"no task can do {name!r}", hint=f"did you mean {meant}?" if meant else None, where=where)
    made = found() if isinstance(found, type) else found
    if not isinstance(made, OperationKind):
        raise OvError(
            f"the plugin {name} of {registry.OPERATIONS} is not a kind of operation",
            hint="docs/plugins.md says what a kind has",
            where=where,
        )
    return made


def _all(context: LayerContext) -> Iterator[Operation]:
    layer = context.layer
    others = [
        name for name in registry.names(registry.OPERATIONS) if name not in registry.BUILT_IN[registry.OPERATIONS]
    ]
    yield from _parts(BEFORE_TASKS, context)
    for task in layer.tasks:
        yield from _gated(
            _with_uninstall(list(operation_kind(task.verb, task.where).task(task, context)), task, context)
        )
    yield from _parts((*others, *AFTER_TASKS), context)


def _parts(names: Iterable[str], context: LayerContext) -> Iterator[Operation]:
    for name in names:
        yield from operation_kind(name, context.layer.where).layer(context.layer, context)


def _gated(operations: Iterable[Operation]) -> Iterator[Operation]:
    """What a task does as root must be allowed."""
    for operation in operations:
        root = operation.user in {ROOT, "0"} or operation.user.startswith("0:")
        yield replace(operation, gate=Gate.ROOT_TASK) if root and operation.gate is None else operation


def _with_uninstall(operations: Sequence[Operation], task: LayerTask, context: LayerContext) -> Sequence[Operation]:
    """The task's ``uninstall`` runs before the rest of it is undone: in the undo of its last operation."""
    commands = task.data.get("uninstall")
    if not isinstance(commands, list) or not commands or not operations:
        return operations
    place = task.place("uninstall")
    lines = [f"export {name}={quoted(value)}" for name, value in context.variables.items() if own_name(name)]
    lines.insert(0, ACCOUNT_LINE.rstrip())
    for command in map(str, commands):
        if re.fullmatch(r"(/|~|\$\{?\w+\}?/)\S*", command):  # a path alone
            path = context.expand(command, place)
            if not path.startswith("/") or not path.strip("/"):
                hint = "begin it with / or ~/; a command has more words than one"
                raise task.error(
                    f"uninstall removes {command!r}, which is not an absolute path", "uninstall", hint=hint
                )
            lines.append(f"rm -rf -- {quoted(path)}")
        else:
            lines.append(f"(set +u; eval {quoted(command)})")
    last = operations[-1]
    undo = "\n".join((*lines, last.undo)).rstrip() + "\n"
    return [*operations[:-1], replace(last, undo=undo, caveat="")]


def _named(operations: Iterable[Operation]) -> Iterator[Operation]:
    """A second operation of the same name gets a number."""
    seen: Counter[str] = Counter()
    for operation in operations:
        seen[operation.name] += 1
        count = seen[operation.name]
        yield replace(operation, name=f"{operation.name} ({count})") if count > 1 else operation
