"""The instance that a deployment is for: made if it does not exist, brought up to date if it does."""

from __future__ import annotations

from ovtasks.deploy.missing import needs_create
from ovtasks.errors import OvError
from ovtasks.graph.chains import Graph
from ovtasks.host.progress import Progress
from ovtasks.instance.built import built_disk
from ovtasks.instance.create import CreateOptions, create
from ovtasks.instance.find import find
from ovtasks.instance.pending import pending
from ovtasks.instance.record import Record
from ovtasks.project.deploy_model import Deployment


def bring_up(graph: Graph, deployment: Deployment, record: Record | None, progress: Progress) -> Record:
    """The instance, made if it is missing. The disk of one that exists is never made anew.

    If its definition differs from what is declared now (XML of a layer, a deployment's ``ram``), it is defined again.

    :raises OvError: it cannot be made: it is not built, there is no backend, and so on.
    """
    spec, instance = graph.project.vms[deployment.vm], deployment.instance
    if needs_create(record):
        made = create(spec, instance, graph.project, built_disk(graph, spec.name), CreateOptions(), progress)
        progress.note(f"{made.record.words}: {', '.join(made.changes) or 'is there'}")
        return made.record
    try:
        if pending(spec, instance).changes:
            made = create(spec, instance, graph.project, built_disk(graph, spec.name), CreateOptions(), progress)
            progress.note(f"{made.record.words}: {', '.join(made.changes) or 'is there'}")
    except OvError as e:
        progress.note(f"{deployment.words}: stays defined as it was: {e.message}")
    return find(deployment.vm, instance)
