"""Carries out every check about a VM that runs: of its layers, its deployment and of ``vms.yml``. Changes nothing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ovtasks.deploy.compile import guessed_facts
from ovtasks.deploy.inputs import variables_of
from ovtasks.deploy.learn import first_look
from ovtasks.deploy.receipts import facts_of
from ovtasks.deploy.wanted import Wanted
from ovtasks.guest.connection import connect
from ovtasks.instance.access import target_of
from ovtasks.instance.address import LOOPBACK
from ovtasks.instance.record import Record
from ovtasks.instance.status import slowness
from ovtasks.layers.checks.model import CheckContext, CheckResult, Deferred, Probe, ReadCheck
from ovtasks.layers.checks.reading import read_checks
from ovtasks.layers.checks.run import Answer, carry_out
from ovtasks.layers.checks.units import service_units
from ovtasks.layers.checks.verbs import VERBS
from ovtasks.layers.context import LayerContext
from ovtasks.layers.facts import SystemFacts
from ovtasks.probes.checks import asker
from ovtasks.project.layer_model import LayerCheck
from ovtasks.project.vm_checks import vm_checks


def check_contexts(
    wanted: Wanted, record: Record, facts: SystemFacts
) -> list[tuple[tuple[LayerCheck, ...], CheckContext]]:
    """The checks of the layers, in their order, then those of the deployment; each with what it is carried out against.

    :raises InputError: a service of a layer has no unit.
    """
    forwards = {one.guest: one.host for one in record.forwards if one.protocol == "tcp" and one.host is not None}
    base = CheckContext(
        facts,
        {"HOME": facts.home, **wanted.deployment.environment},
        forwards,
        LOOPBACK,
        service_units(wanted.layers),
        factor=slowness(record),
        ask_machine=asker(record),
    )
    found = []
    for layer in wanted.layers:
        variables = LayerContext(layer, facts, variables_of(wanted, layer)).variables
        found.append((tuple(layer.checks), replace(base, variables=variables)))
    return [*found, (wanted.deployment.checks, base)]


class _NoGuest:
    """In the place of a connection, when no check looks into the guest."""

    def run(self, script: str, /) -> Answer:
        raise AssertionError("no check looks into the guest")


def live_checks(wanted: Wanted, record: Record, tags: Collection[str] = ()) -> tuple[CheckResult, ...]:
    """Carry out all checks; with ``tags``, those with one of them. Only those that look into the guest need a login.

    :raises InputErrors: some are no checks. :raises OvError: the guest cannot be reached, or the connection is lost.
    """
    facts = facts_of(record)
    guess = facts or (guessed_facts(wanted.vm) if wanted.vm is not None else None) or SystemFacts("unknown")
    ready = _read(wanted, record, guess, tags)
    if not any(_in_guest(one) for one in ready):
        return tuple(carry_out(_NoGuest(), ready))
    with connect(target_of(record, factor=slowness(record))) as connection:
        known = facts if facts is not None else first_look(record, connection)
        return tuple(carry_out(connection, _read(wanted, record, known, tags)))


def _in_guest(one: ReadCheck) -> bool:
    if isinstance(one, Deferred):
        return VERBS[one.part.verb].look is not None
    return isinstance(one, Probe) and one.verb.look is not None


def _read(wanted: Wanted, record: Record, facts: SystemFacts, tags: Collection[str]) -> list[ReadCheck]:
    contexts = check_contexts(wanted, record, facts)
    if wanted.vm is not None:
        contexts.append((vm_checks(wanted.vm), contexts[-1][1]))
    chosen = [([one for one in checks if _tagged(one, tags)], context) for checks, context in contexts]
    return [one for checks, context in chosen for one in read_checks(checks, context)]


def _tagged(check: LayerCheck, tags: Collection[str]) -> bool:
    own = check.data.get("tag")
    return not tags or (isinstance(own, list) and any(one in tags for one in own))
