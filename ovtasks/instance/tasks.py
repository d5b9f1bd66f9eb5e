"""The verbs of instances as doit tasks: ``define:arch``, ``create:arch``, ``start:arch``, and so on.

They are made on every run of doit that may need them. So a verb imports its code only when it is checked or run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from doit.exceptions import InvalidCommand
from doit.task import Task

from ovtasks.errors import OvError
from ovtasks.graph.chains import Graph
from ovtasks.graph.display import Display
from ovtasks.graph.looking import LookingTask
from ovtasks.graph.tasks import BUILD, GroupTask
from ovtasks.host.oserrors import explaining
from ovtasks.host.progress import Progress

if TYPE_CHECKING:
    from ovtasks.instance.pending import Pending
    from ovtasks.instance.record import Record

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
    {"name": "force", "long": "force", "type": bool, "default": False, "help": "power off at once"},
    {"name": "timeout", "long": "timeout", "type": str, "default": "", "help": "seconds, then pull the plug (60)"},
]
DESTROY: Params = [
    {"name": "disk", "long": "disk", "type": bool, "default": False, "help": "remove disk, seed, keys and logs too"}
]


class VerbTask(LookingTask):
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
            params=self.params,
            doc=self.doc.format(vm=vm),
            subtask_of=self.verb,
        )

    def needs(self, vm: str) -> list[str]:
        """The tasks that must be done before this one."""
        return []

    @property
    def instance(self) -> str | None:
        """The instance that ``-i`` names; None for the default instance."""
        return (self.options or {}).get("instance") or None

    @property
    def domain(self) -> str:
        """The domain of the instance."""
        from ovtasks.instance.record import domain_of

        return domain_of(self.vm, self.instance)

    def find_record(self) -> Record | None:
        """The instance, if it exists."""
        from ovtasks.instance.find import find_or_none

        return find_or_none(self.vm, self.instance)

    def is_done(self) -> bool:
        """Whether the verb has nothing to do."""
        return False

    def act(self, progress: Progress) -> None:
        """Do the work of the verb.

        :raises OvError: it cannot be done.
        """
        raise NotImplementedError

    def fresh(self) -> bool:
        from ovtasks.instance.aside import is_unfinished

        return not is_unfinished(self.domain) and self.is_done()

    def reasons(self) -> list[str]:
        return [] if self.is_fresh() else [f"not done: {self.doc}"]

    def work(self) -> None:
        from ovtasks.instance.aside import settle

        with explaining(f"{self.verb} {self.vm}"), self.display.work(f"{self.verb} {self.vm}") as progress:
            settle(self.domain, progress)
            self.act(progress)

    def take_options(self) -> None:
        from ovtasks.instance.record import domain_of

        domain_of(self.vm, self.instance)


class DefineTask(VerbTask):
    """Defines the instance as built and declared, without starting it. This is the last step of the graph."""

    verb = "define"
    doc = "{vm} as a VM: its own disk, seed, definition"
    params: ClassVar[Params] = [*INSTANCE, *CREATE]
    starts = False

    def needs(self, vm: str) -> list[str]:
        return [f"{BUILD}:{vm}"]

    def pending(self) -> Pending:
        """What ``create`` would change.

        :raises OvError: the backend cannot be asked, or an option is wrong.
        """
        from ovtasks.instance.pending import pending
        from ovtasks.instance.record import Overrides

        return pending(self.graph.project.vms[self.vm], self.instance, Overrides.of(self.options or {}))

    def is_done(self) -> bool:
        found = self.pending()
        return not found.changes and (found.running or not self.starts)

    def reasons(self) -> list[str]:
        if self.is_fresh():
            return []
        try:
            found = self.pending()
        except OvError as e:
            return [str(e)]
        return list(found.changes) or ["it is not running"]

    def act(self, progress: Progress) -> None:
        from ovtasks.instance.built import built_disk
        from ovtasks.instance.create import CreateOptions, create
        from ovtasks.instance.record import Overrides

        options = CreateOptions(Overrides.of(self.options or {}), start=self.starts)
        spec = self.graph.project.vms[self.vm]
        made = create(spec, self.instance, self.graph.project, built_disk(self.graph, self.vm), options, progress)
        progress.note(", ".join(made.changes) or "nothing to do")


class CreateTask(DefineTask):
    """Defines the instance and starts it."""

    verb = "create"
    doc = "{vm} as a running VM"
    starts = True


class StartTask(VerbTask):
    """Starts an instance that was created and is stopped."""

    verb = "start"
    doc = "start {vm}, as it was created"

    def is_done(self) -> bool:
        record = self.find_record()
        return record is not None and _is_active(record)

    def act(self, progress: Progress) -> None:
        from ovtasks.instance.find import find
        from ovtasks.instance.power import start

        start(find(self.vm, self.instance, declared=[self.vm]), progress)


class StopTask(VerbTask):
    """Powers the instance off."""

    verb = "stop"
    doc = "power {vm} off and wait until it is"
    params: ClassVar[Params] = [*INSTANCE, *STOP]

    def is_done(self) -> bool:
        record = self.find_record()
        return record is None or not _is_active(record)

    def act(self, progress: Progress) -> None:
        from ovtasks.instance.power import stop

        given = self.options or {}
        record = self.find_record()
        if record is not None:
            timeout = float(given["timeout"]) if given.get("timeout") else None
            how = stop(record, progress, force=bool(given.get("force")), timeout=timeout)
            progress.note("it was powered off" if how == "forced" else how)


class DestroyTask(VerbTask):
    """Removes the definition; with ``--disk`` everything of the instance."""

    verb = "destroy"
    doc = "remove {vm}'s definition (--disk: its disk too)"
    params: ClassVar[Params] = [*INSTANCE, *DESTROY]

    def is_done(self) -> bool:
        from ovtasks.instance.destroy import leftovers_of

        record = self.find_record()
        if (self.options or {}).get("disk"):
            return record is None and leftovers_of(self.vm, self.instance) is None
        return record is None or not record.folder.machine.exists()

    def act(self, progress: Progress) -> None:
        from ovtasks.instance.aside import destroy_alone
        from ovtasks.instance.destroy import remove_leftovers

        record = self.find_record()
        if record is not None:
            destroy_alone(record, progress, disk=bool((self.options or {}).get("disk")))
        else:
            remove_leftovers(self.vm, self.instance)


class DestroyGroup(GroupTask):
    """Plain ``doit destroy``, which would destroy every VM: it refuses."""

    def init_options(self, args: Any = None) -> Any:
        """doit calls this, with ``args`` if the command line names the task."""
        if args is not None:
            hint = "doit destroy:NAME destroys one; ov vm destroy --all every VM of this project"
            raise InvalidCommand(f"destroy needs the name of a VM\n  hint: {hint}")
        return super().init_options(args)


VERBS: tuple[type[VerbTask], ...] = (DefineTask, CreateTask, StartTask, StopTask, DestroyTask)
NAMES = tuple(verb.verb for verb in VERBS)


def tasks(graph: Graph, vms: Iterable[str], display: Display) -> Iterator[Task]:
    """The tasks of the given VMs, groups first."""
    made = [[verb(graph, vm, display) for verb in VERBS] for vm in vms]
    for number, verb in enumerate(VERBS):
        group = DestroyGroup if verb is DestroyTask else GroupTask
        yield group(graph, verb.verb, [of_vm[number] for of_vm in made])
    for of_vm in made:
        yield from of_vm


def _is_active(record: Record) -> bool:
    from ovtasks.instance.status import status

    return status(record).active
