"""``ov deploy add``: makes an instance's layers what the deployment says, by as little as has to change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ovtasks.deploy.changes import Changes, changes, receipt_for, starting_at
from ovtasks.deploy.compile import compile_all
from ovtasks.deploy.ephemeral import discard_failed, note_deadline
from ovtasks.deploy.fetch import fetch_artifacts, needed_here
from ovtasks.deploy.gates import check_gates, left_out
from ovtasks.deploy.inputs import Secrets
from ovtasks.deploy.learn import first_look
from ovtasks.deploy.reach import REBOOT_SECONDS, again, ended, reach
from ovtasks.deploy.receipts import (
    LayerReceipt,
    LayerState,
    drop_older,
    drop_receipt,
    facts_of,
    receipts_of,
    save_receipt,
)
from ovtasks.deploy.rewind import keep_after, keep_first, rewind, state_to_go_back_to
from ovtasks.deploy.stamp import drop_stamp, save_stamp, was_checked, was_fetched
from ovtasks.deploy.telling import Teller, log_of, telling
from ovtasks.deploy.verify import run_all_checks
from ovtasks.deploy.wanted import Wanted
from ovtasks.errors import OvError
from ovtasks.guest.connection import Connection
from ovtasks.guest.deadline import Deadline
from ovtasks.host.progress import Progress
from ovtasks.instance.aside import deploying
from ovtasks.instance.declared_snapshots import make_declared
from ovtasks.instance.power import reread
from ovtasks.instance.record import Record
from ovtasks.instance.status import known, slowness
from ovtasks.layers.checks.model import CheckOutcome, CheckResult
from ovtasks.layers.downloads import Downloads
from ovtasks.layers.facts import SystemFacts
from ovtasks.layers.guest import LayerFailedError, LayerRun, apply
from ovtasks.layers.plan import LayerPlan, complete


@dataclass(frozen=True)
class Deployed:
    """What a deployment did: ``changes``, and how the checks ended if they ran."""

    changes: Changes
    checks: tuple[CheckResult, ...] = ()
    seconds: float = 0.0


def deploy(
    wanted: Wanted, record: Record, progress: Progress, *, start_at: str | None = None, verify: bool = False
) -> Deployed:
    """Undo, redo and apply layers of an instance, which is there. Unchanged ones cost nothing, not even a connection.

    ``start_at``: leave the layers before this one as they are. ``verify``: run the checks in any case.

    :raises InputError: a layer is wrong. :raises RefusedError: a gate is closed.
    :raises OvError: an operation failed, or the guest cannot be reached. The next run goes on from there.
    """
    with deploying(record.domain, progress):
        try:
            done = deploy_locked(wanted, record, progress, start_at=start_at, verify=verify)
        except OvError as e:
            discard_failed(wanted.deployment, record, progress, e)
            raise
        if failed_checks(done) is not None:
            discard_failed(wanted.deployment, record, progress)
        elif wanted.vm is not None and wanted.vm.snapshots and known(record).active:
            make_declared(record, wanted.vm.snapshots, progress)
        return done


def deploy_locked(
    wanted: Wanted,
    record: Record,
    progress: Progress,
    *,
    start_at: str | None = None,
    verify: bool = False,
    on_applied: Callable[[], None] = lambda: None,
) -> Deployed:
    """Like :func:`deploy`, for who holds the lock. ``on_applied`` is called when all layers are whole, before checks.

    :raises OvError: as :func:`deploy`.
    """
    clock = time.monotonic()
    record = note_deadline(wanted.deployment, reread(record), progress)
    facts = facts_of(record)
    if facts is not None:
        plans, found = _compare(wanted, record, facts, start_at)
        check_gates(wanted, found.plans)
        state = state_to_go_back_to(record, plans, found) if wanted.options.snapshots and start_at is None else None
        if state is not None:
            rewind(record, state, progress)
            found = _compare(wanted, record, facts, start_at)[1]
        needed = needed_here(wanted, facts)
        idle = found.nothing and not _wants_checks(wanted, record, found, verify=verify)
        if idle and was_fetched(record, wanted) and all(path.exists() for path in needed):
            if start_at is None:
                save_stamp(record, wanted, checked=was_checked(record, wanted), fetched=needed)
            return Deployed(found, seconds=time.monotonic() - clock)
    with reach(record, progress, known_guest=facts is not None) as connection:
        if facts is None:
            facts = first_look(record, connection)
        plans, found = _compare(wanted, record, facts, start_at)
        check_gates(wanted, found.plans)
        for line in left_out(found.plans):
            progress.note(line)
        checks_wanted = _wants_checks(wanted, record, found, verify=verify)
        if not found.nothing:
            _carry_out(record, connection, facts, plans, found, progress, snapshots=wanted.options.snapshots)
        fetch_artifacts(wanted, connection, facts, slowness(record), progress)
    on_applied()
    results: tuple[CheckResult, ...] = ()
    if checks_wanted:
        with again(record) as fresh:  # what a login has was decided when it began
            results = run_all_checks(wanted, record, fresh, facts)
    if start_at is None:  # else layers before it may differ
        failed = any(one.outcome is CheckOutcome.FAILED for one in results)
        checked = not failed if checks_wanted else was_checked(record, wanted)
        save_stamp(record, wanted, checked=checked, fetched=needed_here(wanted, facts))
    return Deployed(found, results, time.monotonic() - clock)


def failed_checks(done: Deployed) -> OvError | None:
    """The error for checks that failed; None if none did."""
    failed = [one for one in done.checks if one.outcome is CheckOutcome.FAILED]
    if not failed:
        return None
    lines = "".join(f"\n  {one.where}: {one.name}: {one.told}" for one in failed)
    count = "a check fails" if len(failed) == 1 else f"{len(failed)} checks fail"
    return OvError(f"{count}:{lines}", hint="the layers are applied; ov deploy add --verify checks again")


def _compare(
    wanted: Wanted, record: Record, facts: SystemFacts, start_at: str | None
) -> tuple[list[LayerPlan], Changes]:
    secrets = Secrets(record.folder.path)
    plans = compile_all(wanted, facts, secrets)
    secrets.save()
    found = changes(plans, receipts_of(record), str(record.instance_id))
    return plans, found if start_at is None else starting_at(found, start_at)


def _wants_checks(wanted: Wanted, record: Record, found: Changes, *, verify: bool) -> bool:
    if verify or not wanted.options.verify:
        return verify
    return not found.nothing or not was_checked(record, wanted)


def _carry_out(
    record: Record,
    connection: Connection,
    facts: SystemFacts,
    plans: Sequence[LayerPlan],
    found: Changes,
    progress: Progress,
    *,
    snapshots: bool,
) -> None:
    drop_stamp(record)
    drop_older(record)
    before = receipts_of(record)
    if snapshots:
        keep_first(record, connection, before)
    instance_id = str(record.instance_id)
    bringer = Downloads(progress)
    ready = [complete(plan, bringer) for plan in found.plans]
    whole = {plan.name: receipt_for(plan, plans, instance_id) for plan in ready}
    for receipt in {**{name: before[name] for name in found.remove}, **whole}.values():
        save_receipt(record, replace(receipt, state=LayerState.BEGUN))
    with telling(record, progress) as teller:

        def removed(layer: str) -> None:
            before.pop(layer, None)
            if layer not in whole:
                drop_receipt(record, layer)

        teller.on_whole = lambda layer: save_receipt(record, whole[layer])
        teller.on_removed = removed
        try:
            _apply(record, connection, facts, ready, found.remove, whole, teller, snapshots=snapshots)
        except LayerFailedError as e:
            for name in _untouched(e, ready, found.remove):
                save_receipt(record, before[name]) if name in before else drop_receipt(record, name)
            raise OvError(f"{e.message}\n  all of its output: {log_of(record)}", hint=e.hint, where=e.where) from e


def _apply(
    record: Record,
    connection: Connection,
    facts: SystemFacts,
    plans: Sequence[LayerPlan],
    remove: Sequence[str],
    receipts: Mapping[str, LayerReceipt],
    teller: Teller,
    *,
    snapshots: bool,
) -> None:
    lines = {name: receipt.line() for name, receipt in receipts.items()}
    for group in _groups(plans, single=snapshots):
        apply(connection, group, teller.hear, receipts=lines, remove=remove, how=LayerRun(root=facts.root))
        remove = ()
        if group and group[-1].reboot:
            teller.progress.note(f"{record.words}: reboots, as {group[-1].name} asks")
            deadline = Deadline.after(REBOOT_SECONDS, factor=slowness(record))
            connection.reboot(deadline, alive=lambda: ended(record))
        if group and snapshots:
            keep_after(record, connection, group[-1].name)


def _groups(plans: Sequence[LayerPlan], *, single: bool) -> Iterator[list[LayerPlan]]:
    """The plans that go in one script: up to one after which the guest reboots, or each alone."""
    group: list[LayerPlan] = []
    for plan in plans:
        group.append(plan)
        if plan.reboot or single:
            yield group
            group = []
    if group or not plans:
        yield group


def _untouched(error: LayerFailedError, plans: Sequence[LayerPlan], remove: Sequence[str]) -> list[str]:
    """The layers that the guest had not begun when another failed."""
    names = [plan.name for plan in plans]
    if error.layer in names:
        return names[names.index(error.layer) + 1 :]
    return [*names, *remove[remove.index(error.layer) + 1 :]] if error.layer in remove else []
