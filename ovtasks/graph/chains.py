"""All steps of a project: each VM's chain, the steps that chains share, and their current state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from ovtasks.errors import InputError, OvError
from ovtasks.graph import plugins
from ovtasks.graph.freshness import Freshness, Reason, check
from ovtasks.graph.last_run import new_run
from ovtasks.graph.options import TYPES, OptionsByVm
from ovtasks.graph.receipt import Receipt
from ovtasks.graph.step import BuildOptions, Step, need_keys
from ovtasks.host.progress import Progress
from ovtasks.project.model import Project

IMAGE = "image:"
"""Stands before the name of an ``images:`` entry. Its steps are a chain, too, but one without artifacts."""


@dataclass(frozen=True, slots=True)
class Chain:
    """The steps of a VM for one disk format, or of an image, in the order of their needs."""

    vm: str
    options: BuildOptions
    steps: tuple[Step, ...]
    artifacts: tuple[Path, ...]

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)


class StepState(StrEnum):
    """What a run would do with a step. ``MAYBE``: a step before it runs, and may make the same result."""

    FRESH = "fresh"
    MAYBE = "maybe"
    RUN = "run"


@dataclass(frozen=True, slots=True)
class StepStatus:
    """The state of one step before a run."""

    step: Step
    state: StepState
    reasons: tuple[Reason, ...]
    receipt: Receipt | None


class Graph:
    """The steps of a project's VMs. A chain is made on first use."""

    def __init__(self, project: Project, options: OptionsByVm | None = None) -> None:
        self.project = project
        self.options = options or OptionsByVm()
        self._chains: dict[tuple[str, BuildOptions], Chain] = {}
        self._owners: dict[str, dict[tuple[str, str], None]] = {}
        self._found: dict[str, Step] = {}
        self._found_under = self.options.changes
        self.run = new_run()
        """The name of what this process runs, in the notes about it (:mod:`ovtasks.graph.last_run`)."""
        self.settled: set[str] = set()  # tasks that this run has found fresh, or has run
        self.watched: dict[str, Sequence[Path]] = {}
        """Tasks that are no steps and were found fresh, with the files that tell so."""
        self.finished: Callable[[Mapping[str, str]], None] | None = None
        """Called after a run without failures, with the titles of the steps by name, in the order of the run."""

    @property
    def locks(self) -> Path:
        """The folder of the steps' lock files."""
        return self.project.state / "locks"

    def chain(self, vm: str, type: str | None = None) -> Chain:
        """The chain of ``vm`` (or ``image:<name>``) with the current options. ``type`` overrides the disk format.

        :raises InputError: there is no such VM or image, or its source cannot be built.
        """
        options = self.options.of(vm)
        if type is not None and type != options.type:
            options = replace(options, type=type)
        found = self._chains.get((vm, options))
        if found is None:
            found = self._chains[vm, options] = self._make(vm, options)
            for step in found:
                self._owners.setdefault(step.name, {})[vm, options.type] = None
                if step.refresh:
                    self._found.pop(step.name, None)
        return found

    def _make(self, vm: str, options: BuildOptions) -> Chain:
        if vm.startswith(IMAGE):
            return Chain(vm, options, self._image_steps(vm.removeprefix(IMAGE), options), ())
        spec = self.project.vms.get(vm)
        if spec is None:
            from ovtasks.project.load import unknown_vm

            raise unknown_vm(vm, self.project)
        try:
            plugin = plugins.source(spec.source.kind)
            _refuse_options(plugin, vm, options)
            steps = tuple(plugin.steps(spec, self.project, options))
        except OvError as e:
            if e.where is None:
                e.where = spec.where
            raise
        folder = self.project.artifacts(vm, options.type)
        artifacts = tuple(step.targets[0] for step in steps if step.targets[0].parent == folder)
        return Chain(vm, options, steps, artifacts)

    def _image_steps(self, name: str, options: BuildOptions) -> tuple[Step, ...]:
        image = self.project.images.get(name)
        if image is None:
            from ovtasks.project.load import unknown_image

            raise unknown_image(name, self.project)
        return tuple(plugins.images().steps(image, self.project, options))

    def step(self, name: str) -> Step:
        """The step called ``name`` of a chain that exists. It is refreshed if any of its VMs asks for that.

        :raises KeyError: no chain so far has it.
        """
        if self._found_under != self.options.changes:
            self._found.clear()
            self._found_under = self.options.changes
        found = self._found.get(name)
        if found is None:  # ask all owners once: a step may have thousands
            for vm, type in tuple(self._owners[name]):
                for step in self.chain(vm, type):
                    if step.name == name and (found is None or step.refresh):
                        found = step
            if found is None:
                raise KeyError(name)
            self._found[name] = found
        return found

    def find(self, name: str) -> Step:
        """The step that a user calls ``name``. ``fetch:arch`` finds the shared step behind it.

        :raises InputError: there is no such step; the hint lists the VM's steps.
        """
        verb, _, rest = name.partition(":")
        if name.startswith(IMAGE) and rest in self.project.images:
            return self.chain(name).steps[-1]
        vm, _, type = rest.partition(":")
        images = [f"{IMAGE}{image}" for image in self.project.images]
        names = [vm] if vm in self.project.vms else [*self.project.vms, *images]
        known: list[str] = []
        for candidate in names:
            for step in reversed(self.chain(candidate, type if type in TYPES else None).steps):
                if name == step.name or (vm == candidate and verb == step.verb and step.shared):
                    return step  # if several have this verb: the last one, which needs the others
                known.insert(0, step.name)
        raise InputError(f"no step is named {name!r}", hint=self._near(name, list(dict.fromkeys(known))))

    def _near(self, name: str, known: list[str]) -> str:
        """A hint what ``name`` may have meant. ``known`` are the steps that were searched."""
        from ovtasks.values.words import did_you_mean

        vm = name.partition(":")[2].partition(":")[0]
        goals = [f"build:{vm}"] if vm in self.project.vms else [f"build:{other}" for other in self.project.vms]
        if hint := did_you_mean(name, [*known, *goals]):
            return hint
        return f"steps: {', '.join(known)}" if vm in self.project.vms else "see: ov plan --all"

    def closure(self, steps: Iterable[Step]) -> list[Step]:
        """The steps and everything they need, each once, needs first."""
        order: dict[str, Step] = {}

        def visit(step: Step) -> None:
            if step.name not in order:
                for need in step.needs:
                    visit(self.step(need))
                order[step.name] = step

        for step in steps:
            visit(step)
        return list(order.values())

    def freshness(
        self,
        step: Step,
        *,
        heal: bool = False,
        digests: dict[str, str | None] | None = None,
        progress: Progress | None = None,
    ) -> Freshness:
        """Check a step against the current receipts of the steps it needs.

        ``digests`` caches the digests of needed steps by name, for a caller that checks many steps while none runs.
        """
        digests = {} if digests is None else digests
        for name in step.needs:
            if name not in digests:
                receipt = Receipt.load(self.step(name).receipt)
                digests[name] = receipt.digest if receipt else None
        keys = need_keys(step.needs)
        return check(step, {keys[name]: digests[name] for name in step.needs}, heal=heal, progress=progress)

    def receipts(self, step: Step) -> dict[str, Receipt | None]:
        """The receipts of the steps that ``step`` needs, by name."""
        return {name: Receipt.load(self.step(name).receipt) for name in step.needs}

    def status(self, steps: Iterable[Step], visit: Callable[[Step], None] | None = None) -> list[StepStatus]:
        """What a run would do with ``steps`` and everything they need, in order."""
        states: dict[str, StepStatus] = {}
        digests: dict[str, str | None] = {}
        for step in self.closure(steps):
            if visit is not None:
                visit(step)
            now = self.freshness(step, digests=digests)
            moving = [states[need].step for need in step.needs if states[need].state is not StepState.FRESH]
            keys = need_keys(step.needs)
            open_questions = {keys[other.name] for other in moving}
            if sure := tuple(reason for reason in now.reasons if reason.key not in open_questions):
                state, reasons = StepState.RUN, sure
            elif moving:
                what = ", ".join(step.makes or step.name for step in moving)
                state, reasons = StepState.MAYBE, (Reason(f"{what} may come out the same"),)
            else:
                state, reasons = StepState.FRESH, ()
            states[step.name] = StepStatus(step, state, reasons, now.receipt)
        return list(states.values())


def _refuse_options(plugin: plugins.SourcePlugin, vm: str, options: BuildOptions) -> None:
    """Refuse options of the command line that this source does not have."""
    meant = {option.name for option in plugin.options}
    for name in options.more:
        if name not in meant:
            raise InputError(
                f"--{name} has no meaning for {vm}, whose source is {plugin.kind}", hint=f"leave --{name} out"
            )
