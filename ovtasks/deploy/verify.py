"""The checks of a deployment's layers, and its own."""

from __future__ import annotations

from ovtasks.deploy.live import check_contexts
from ovtasks.deploy.wanted import Wanted
from ovtasks.guest.connection import Connection
from ovtasks.instance.record import Record
from ovtasks.layers.checks.model import CheckResult
from ovtasks.layers.checks.reading import read_checks
from ovtasks.layers.checks.run import carry_out
from ovtasks.layers.facts import SystemFacts


def run_all_checks(
    wanted: Wanted, record: Record, connection: Connection, facts: SystemFacts
) -> tuple[CheckResult, ...]:
    """Carry out the checks of the layers, in their order, then those of the deployment.

    :raises InputErrors: some are no checks. :raises OvError: the connection is lost.
    """
    contexts = check_contexts(wanted, record, facts)
    return tuple(carry_out(connection, [one for checks, how in contexts for one in read_checks(checks, how)]))
