"""What there is to tell about deployments: from this host's records, or from a look into the guest."""

from __future__ import annotations

from dataclasses import dataclass

from ovtasks.deploy.changes import Changes, LayerAction, LayerChange, changes
from ovtasks.deploy.compile import compile_all, guessed_facts
from ovtasks.deploy.inputs import Secrets
from ovtasks.deploy.ov_program import LAYER
from ovtasks.deploy.reach import try_reach
from ovtasks.deploy.receipts import facts_of, had_layers, receipts_of
from ovtasks.deploy.stamp import is_current
from ovtasks.deploy.wanted import Wanted, read_wanted
from ovtasks.errors import OvError
from ovtasks.host.progress import Progress
from ovtasks.instance.find import find_or_none
from ovtasks.instance.record import Record
from ovtasks.layers.events import GuestEvent
from ovtasks.layers.guest import LayerRun, look
from ovtasks.layers.plan import LayerPlan
from ovtasks.project.deploy_model import Deployment, InstallOptions
from ovtasks.project.model import Project


@dataclass(frozen=True)
class DeployPlan:
    """What a deployment would do. ``plans`` are those of all layers.

    ``guessed``: the guest was never asked, so its distribution is a guess; ``unknown``: there is not even a guess, and
    so no plan. ``record`` None: the instance does not exist.
    """

    wanted: Wanted
    record: Record | None
    changes: Changes
    plans: tuple[LayerPlan, ...] = ()
    guessed: bool = False
    unknown: bool = False
    anew: bool = False


def plan_of(wanted: Wanted) -> DeployPlan:
    """The plan of a deployment, without asking anybody.

    :raises InputErrors: a layer is wrong for this system.
    """
    deployment = wanted.deployment
    record = find_or_none(deployment.vm, deployment.instance)
    facts = facts_of(record) if record is not None else None
    guessed = facts is None
    facts = facts or guessed_facts(wanted.project.vms[deployment.vm])
    anew = record is not None and had_layers(record)
    if facts is None:
        names = [one.name for one in wanted.layers]
        names[:0] = [LAYER] if wanted.vm is not None and wanted.vm.asked_ov is not None else []
        layers = [LayerChange(name, LayerAction.APPLY, ("the guest was never asked",)) for name in names]
        return DeployPlan(wanted, record, Changes(tuple(layers)), unknown=True, anew=anew)
    plans = compile_all(wanted, facts, Secrets(record.folder.path if record else None))
    receipts = receipts_of(record) if record is not None else {}
    found = changes(plans, receipts, str(record.instance_id) if record else "")
    return DeployPlan(wanted, record, found, tuple(plans), guessed, anew=anew)


@dataclass(frozen=True)
class DeployRow:
    """One deployment in a list. ``state`` is in words."""

    deployment: Deployment
    record: Record | None
    state: str


def row_of(project: Project, deployment: Deployment) -> DeployRow:
    """How far a deployment is, by this host's records alone."""
    record = find_or_none(deployment.vm, deployment.instance)
    if record is None:
        return DeployRow(deployment, None, "not created")
    receipts = receipts_of(record)
    if is_current(record, deployment, project.vms.get(deployment.vm)):
        return DeployRow(deployment, record, "deployed")
    if not receipts:
        return DeployRow(deployment, record, "not deployed")
    try:  # the stamp is of another state of the files; they may say the same
        wanted = read_wanted(project, deployment, InstallOptions())
        same = deployment.vm in project.vms and plan_of(wanted).changes.nothing
    except OvError:
        same = False
    return DeployRow(deployment, record, "deployed" if same else "differs")


def drift(record: Record, progress: Progress) -> tuple[GuestEvent, ...]:
    """How each operation of the applied layers is now in the guest, which must run.

    :raises OvError: it does not run, or cannot be reached.
    """
    facts = facts_of(record)
    layers = [*receipts_of(record)]
    connection = try_reach(record, progress)
    if connection is None:
        raise OvError(f"{record.words} cannot be inspected", hint=f"ov vm start {record.words}")
    with connection:
        return look(connection, layers, how=LayerRun(root=facts.root if facts else True))
