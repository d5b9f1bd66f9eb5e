"""The verbs of instances as doit tasks: ``define:arch``, ``create:arch``, ``start:arch``, and so on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from doit.task import Task

from ovtasks.errors import InputError, OvError
from ovtasks.graph.chains import Graph
from ovtasks.graph.display import Display
from ovtasks.graph.receipt import Receipt
from ovtasks.graph.tasks import BUILD, GroupTask, WorkTask
from ovtasks.host.oserrors import explaining
from ovtasks.host.progress import Progress
from ovtasks.images.boot import Bootable
from ovtasks.instance.create import Built, CreateOptions, create
from ovtasks.instance.destroy import destroy, remove_rests, rests_of
from ovtasks.instance.find import find, look
from ovtasks.instance.pending import pending
from ovtasks.instance.power import start, status, stop
from ovtasks.instance.record import Overrides, domain_of
from ovtasks.values.sizes import MiB, parse_size

Params = list[dict[str, object]]

INSTANCE: Params = [
    {"name": "instance", "short": "i", "long": "instance", "type": str, "default": "", "help": "a further VM"}
]
CREATE: Params = [
    {"name": "ram", "long": "ram", "type": str, "default": "", "help": "memory, wins over ram (8G)"},
    {"name": "cpus", "long": "cpus", "type": str, "default": "", "help": "processors, wins over cpus"},
    {"name": "ssh_key", "long": "ssh-key", "type": str, "default": "", "help": "auto, generate, none or a file"},
]
STOP: Params = [
    {"name": "force", "long": "force", "type": bool, "default": False, "help": "pull the plug at once"},
    {"name": "timeout", "long": "timeout", "type": str, "default": "", "help": "seconds, then pull the plug (60)"},
]
DESTROY: Params = [
    {"name": "disk", "long": "disk", "type": bool, "default": False, "help": "remove disk, seed, keys and logs too"}
]


def overrides(values: Mapping[str, object]) -> Overrides:
    """``ram``, ``cpus`` and ``ssh_key`` of a command line; empty ones say nothing.

    :raises InputError: a size or number that is none.
    """
    ram, cpus = values.get("ram"), values.get("cpus")
    try:
        size = parse_size(str(ram), bare=MiB) if ram else None
    except InputError as e:
        raise InputError(f"--ram: {e.message}", hint=e.hint) from None
    if cpus and not (str(cpus).isdecimal() and 1 <= int(str(cpus)) <= 4096):
        raise InputError(f"--cpus: {cpus!r} is no number of processors", hint="1 to 4096")
    key = values.get("ssh_key")
    return Overrides(size, int(str(cpus)) if cpus else None, str(key) if key else None)


def built_disk(graph: Graph, vm: str) -> Built:
    """The disk that the last build made.

    :raises OvError: there is none.
    """
    chain = graph.chain(vm, "qcow2")
    for step in chain:
        target = step.targets[0]
        if target in chain.artifacts and target.name.startswith("disk."):
            receipt = Receipt.load(step.receipt)
            if receipt is None or not target.exists():
                raise OvError(f"the disk of {vm} is not built", hint=f"ov vm build {vm}")
            baked = receipt.facts.get("baked_keys")
            keys = tuple(str(key) for key in baked) if isinstance(baked, list) else ()
            return Built(target, receipt.digest, _boot(receipt), keys)
    raise OvError(f"the source of {vm} makes no disk", hint="a source's chain ends in output/<vm>/qcow2/disk.qcow2")


def _boot(receipt: Receipt) -> Bootable | None:
    boot = receipt.facts.get("boot")
    return Bootable.from_json(boot) if isinstance(boot, Mapping) else None


class VerbTask(WorkTask):
    """One verb of one VM's instance; ``-i`` chooses which."""

    verb: str
    params: ClassVar[Params] = INSTANCE
    doc = ""

    def __init__(self, graph: Graph, vm: str, display: Display) -> None:
        self.vm = vm
        super().__init__(
            graph,
            f"{self.verb}:{vm}",
            display,
            task_dep=self.needs(vm),
            uptodate=[self._fresh],
            params=self.params,
            doc=self.doc.format(vm=vm),
            subtask_of=self.verb,
            io={"capture": False},
        )

    def needs(self, vm: str) -> list[str]:
        """The tasks that must be done before this one."""
        return []

    @property
    def instance(self) -> str | None:
        """The instance that ``-i`` names; None: the VM's first."""
        return (self.options or {}).get("instance") or None

    def fresh(self) -> bool:
        """Whether there is nothing to do."""
        return False

    def act(self, progress: Progress) -> None:
        """Do the work of the verb.

        :raises OvError: it cannot be done."""
        raise NotImplementedError

    def _fresh(self, task: Task, values: object) -> bool:
        return self.is_fresh()

    def is_fresh(self) -> bool:
        if self.name in self.graph.settled:
            return True
        try:
            with explaining(self.name):
                fresh = self.fresh()
        except OvError:
            return False  # running it will tell
        self.graph.settled.update([self.name] if fresh else [])
        return fresh

    def reasons(self) -> list[str]:
        return [] if self.is_fresh() else [f"not done: {self.doc}"]

    def work(self) -> None:
        with explaining(f"{self.verb} {self.vm}"), self.display.work(f"{self.verb} {self.vm}") as progress:
            self.act(progress)

    def take_options(self) -> None:
        domain_of(self.vm, self.instance)


class DefineTask(VerbTask):
    """The last step of the graph: the instance as built and declared, not started."""

    verb = "define"
    doc = "{vm} as a VM: its own disk, seed, definition"
    params: ClassVar[Params] = [*INSTANCE, *CREATE]
    starts = False

    def needs(self, vm: str) -> list[str]:
        return [f"{BUILD}:{vm}"]

    def fresh(self) -> bool:
        found = pending(self.graph.project.vms[self.vm], self.instance, overrides(self.options or {}))
        return not found.changes and (found.running or not self.starts)

    def reasons(self) -> list[str]:
        if self.is_fresh():
            return []
        try:
            found = pending(self.graph.project.vms[self.vm], self.instance, overrides(self.options or {}))
        except OvError as e:
            return [str(e)]
        return list(found.changes) or ["it is not running"]

    def act(self, progress: Progress) -> None:
        options = CreateOptions(overrides(self.options or {}), start=self.starts)
        spec = self.graph.project.vms[self.vm]
        made = create(spec, self.instance, self.graph.project, built_disk(self.graph, self.vm), options, progress)
        progress.note(", ".join(made.changes) or "nothing to do")


class CreateTask(DefineTask):
    """Defined, and running."""

    verb = "create"
    doc = "{vm} as a running VM"
    starts = True


class StartTask(VerbTask):
    """What was created and stopped runs again."""

    verb = "start"
    doc = "start {vm}, as it was created"

    def fresh(self) -> bool:
        record = look(self.vm, self.instance)
        return record is not None and status(record).active

    def act(self, progress: Progress) -> None:
        start(find(self.vm, self.instance, declared=[self.vm]), progress)


class StopTask(VerbTask):
    """Powered off."""

    verb = "stop"
    doc = "power {vm} off and wait until it is"
    params: ClassVar[Params] = [*INSTANCE, *STOP]

    def fresh(self) -> bool:
        record = look(self.vm, self.instance)
        return record is None or not status(record).active

    def act(self, progress: Progress) -> None:
        given = self.options or {}
        record = look(self.vm, self.instance)
        if record is not None:
            timeout = float(given["timeout"]) if given.get("timeout") else None
            how = stop(record, progress, force=bool(given.get("force")), timeout=timeout)
            progress.note("the plug was pulled" if how == "forced" else how)


class DestroyTask(VerbTask):
    """The definition is gone; with ``--disk`` all that is the instance's own."""

    verb = "destroy"
    doc = "remove {vm}'s definition (--disk: its disk too)"
    params: ClassVar[Params] = [*INSTANCE, *DESTROY]

    def fresh(self) -> bool:
        record = look(self.vm, self.instance)
        if (self.options or {}).get("disk"):
            return record is None and rests_of(self.vm, self.instance) is None
        return record is None or not record.folder.machine.exists()

    def act(self, progress: Progress) -> None:
        record = look(self.vm, self.instance)
        if record is not None:
            destroy(record, progress, disk=bool((self.options or {}).get("disk")))
        else:
            remove_rests(self.vm, self.instance)


VERBS: tuple[type[VerbTask], ...] = (DefineTask, CreateTask, StartTask, StopTask, DestroyTask)
NAMES = tuple(verb.verb for verb in VERBS)


def tasks(graph: Graph, vms: Iterable[str], display: Display) -> Iterator[Task]:
    """The tasks of the given VMs, groups first."""
    made = [[verb(graph, vm, display) for verb in VERBS] for vm in vms]
    for number, verb in enumerate(VERBS):
        yield GroupTask(graph, verb.verb, [of_vm[number] for of_vm in made])
    for of_vm in made:
        yield from of_vm
