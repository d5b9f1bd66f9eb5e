"""Deployments as doit tasks: ``deploy:<name>``, the last step of the graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from doit.task import Task

from ovtasks.errors import OvError
from ovtasks.graph.chains import Graph
from ovtasks.graph.display import Display
from ovtasks.graph.looking import LookingTask
from ovtasks.graph.tasks import BUILD, GroupTask
from ovtasks.host.oserrors import explaining

if TYPE_CHECKING:
    from ovtasks.deploy.report import DeployPlan
    from ovtasks.instance.record import Record
    from ovtasks.project.deploy_model import Deployment

DEPLOY = "deploy"


class DeployTask(LookingTask):
    """Makes the layers of an instance what ``deploy.yml`` says. A missing instance is built and created first."""

    def __init__(self, graph: Graph, deployment: Deployment, display: Display) -> None:
        self.deployment = deployment
        super().__init__(
            graph,
            f"{DEPLOY}:{deployment.name}",
            display,
            doc=f"the layers of {deployment.words}",
            subtask_of=DEPLOY,
        )

    @property
    def setup_tasks(self) -> list[str]:
        """What doit runs first, if there is something to deploy: the build, as long as there is no VM.

        Nothing is built for layers that are refused; a run reports that.
        """
        from ovtasks.deploy.missing import needs_create

        try:
            record = self._record()
            if not needs_create(None if record is not None and record.is_over else record):
                return []
            self._plan()
        except OvError:
            return []
        return [f"{BUILD}:{self.deployment.vm}"]

    @setup_tasks.setter
    def setup_tasks(self, value: list[str]) -> None:
        """Ignore the empty list that doit's constructor sets."""

    def _record(self) -> Record | None:
        from ovtasks.instance.find import find_or_none

        return find_or_none(self.deployment.vm, self.deployment.instance)

    def fresh(self) -> bool:
        """Whether nothing has to be done. Usually the stamp tells, and no layer is read."""
        from ovtasks.deploy.stamp import is_current, watched

        record, vm = self._record(), self.graph.project.vms.get(self.deployment.vm)
        if record is None or not is_current(record, self.deployment, vm):
            return False
        if (files := watched(record)) is not None:
            self.graph.watched[self.name] = files
        return True

    def _plan(self) -> DeployPlan:
        """What is to be done.

        :raises RefusedError: it is not allowed. :raises OvError: a layer is wrong, and so on.
        """
        from ovtasks.deploy.gates import check_gates
        from ovtasks.deploy.report import plan_of
        from ovtasks.deploy.wanted import find_deployment, read_wanted
        from ovtasks.project.deploy_model import InstallOptions

        project = self.graph.project
        found = plan_of(read_wanted(project, find_deployment(project, self.deployment.name), InstallOptions()))
        check_gates(found.wanted, found.changes.plans)
        return found

    def reasons(self) -> list[str]:
        if self.is_fresh():
            return []
        try:
            found = self._plan()
        except OvError as e:
            return [str(e)]
        return [f"{one.layer}: {reason}" for one in found.changes.layers for reason in one.reasons]

    def work(self) -> None:
        """Deploy.

        :raises OvError: it failed.
        """
        from ovtasks.deploy.deploy import deploy, failed_checks
        from ovtasks.deploy.ephemeral import drop_expired
        from ovtasks.deploy.instances import bring_up
        from ovtasks.deploy.stamp import was_of
        from ovtasks.instance.aside import settle
        from ovtasks.instance.record import domain_of

        what = f"deploy {self.deployment.name}"
        with explaining(what), self.display.work(what) as shown:
            settle(domain_of(self.deployment.vm, self.deployment.instance), shown)
            drop_expired(self.deployment, shown)
            found = self._plan()
            record = found.record
            if record is None or not found.changes.nothing or not was_of(record, self.deployment, found.wanted.vm):
                record = bring_up(self.graph, self.deployment, record, shown)
            done = deploy(found.wanted, record, shown)
            if (error := failed_checks(done)) is not None:
                raise error


def tasks(graph: Graph, vms: Iterable[str], display: Display) -> Iterator[Task]:
    """The tasks of the deployments to the given VMs, their group first."""
    able = {*vms}
    made = [DeployTask(graph, one, display) for one in graph.project.deployments.values() if one.vm in able]
    if made:
        yield GroupTask(graph, DEPLOY, made)
        yield from made
