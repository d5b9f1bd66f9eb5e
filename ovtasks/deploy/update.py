"""``ov update``: makes an instance anew from what is built, and applies its layers again.

The old instance is kept aside until the layers are in the new one, and put back if they do not get there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from ovtasks.deploy.deploy import Deployed, deploy_locked, failed_checks
from ovtasks.deploy.ephemeral import discard_failed
from ovtasks.deploy.inputs import FILE as SECRETS
from ovtasks.deploy.wanted import Wanted
from ovtasks.graph.chains import Graph
from ovtasks.host.progress import Progress
from ovtasks.instance.aside import deploying, drop_aside, is_unfinished, put_back, set_aside
from ovtasks.instance.assemble import check_firmware
from ovtasks.instance.built import built_disk
from ovtasks.instance.create import CreateOptions, create
from ovtasks.instance.find import find_or_none
from ovtasks.instance.record import Record, domain_of


@dataclass(frozen=True)
class Updated:
    """The new instance. ``replaced``: there was an old one. ``seconds`` is how long it all took after the build."""

    record: Record
    deployed: Deployed
    replaced: bool
    seconds: float


def update(graph: Graph, wanted: Wanted, progress: Progress, *, timeout: float | None = None) -> Updated:
    """Replace the instance. Its disk is built, and it may be destroyed: the caller has seen to both.

    ``timeout``: seconds until the old one's plug is pulled. Secrets that were made up for its layers stay the same.

    :raises OvError: the new one was not made, or its layers not applied. The old one is as it was then.
    """
    clock = time.monotonic()
    deployment = wanted.deployment
    spec, domain = graph.project.vms[deployment.vm], domain_of(deployment.vm, deployment.instance)
    built = built_disk(graph, spec.name)
    check_firmware(spec, built.boot)
    with deploying(domain, progress):
        old = find_or_none(deployment.vm, deployment.instance)
        try:
            if old is not None:
                set_aside(old, progress, keep=(SECRETS,), timeout=timeout)
                progress.note(f"{old.words}: stopped, and kept aside")
            made = create(spec, deployment.instance, graph.project, built, CreateOptions(), progress)
            progress.note(f"{made.record.words}: {', '.join(made.changes)}")
            record = made.record
            done = deploy_locked(wanted, record, progress, verify=True, on_applied=lambda: drop_aside(record))
        except BaseException:
            if is_unfinished(domain):
                put_back(domain, progress)
                progress.note(f"{deployment.words}: the update failed; the VM is as it was before")
            raise
        if failed_checks(done) is not None:
            discard_failed(deployment, record, progress)
    return Updated(record, done, old is not None, time.monotonic() - clock)
