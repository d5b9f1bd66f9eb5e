"""The checks of a deployment's layers, and its own."""

from __future__ import annotations

from dataclasses import replace

from ovtasks.deploy.inputs import variables_of
from ovtasks.deploy.wanted import Wanted
from ovtasks.guest.connection import Connection
from ovtasks.instance.address import LOOPBACK
from ovtasks.instance.record import Record
from ovtasks.instance.status import slowness
from ovtasks.layers.checks.model import CheckContext, CheckResult
from ovtasks.layers.checks.reading import read_checks
from ovtasks.layers.checks.run import carry_out
from ovtasks.layers.checks.units import service_units
from ovtasks.layers.context import LayerContext
from ovtasks.layers.facts import SystemFacts


def run_all_checks(
    wanted: Wanted, record: Record, connection: Connection, facts: SystemFacts
) -> tuple[CheckResult, ...]:
    """Carry out the checks of the layers, in their order, then those of the deployment.

    :raises InputErrors: some are no checks. :raises OvError: the connection is lost.
    """
    forwards = {one.guest: one.host for one in record.forwards if one.protocol == "tcp" and one.host is not None}
    units = service_units(wanted.layers)
    base = CheckContext(facts, wanted.deployment.environment, forwards, LOOPBACK, units, factor=slowness(record))
    checks = []
    for layer in wanted.layers:
        variables = LayerContext(layer, facts, variables_of(wanted, layer)).variables
        checks += read_checks(layer.checks, replace(base, variables=variables))
    checks += read_checks(wanted.deployment.checks, base)
    return tuple(carry_out(connection, checks))
