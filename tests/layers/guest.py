"""Layers put into a running system, looked at and taken out again, by the scripts that a guest gets."""

from __future__ import annotations

from collections.abc import Sequence

from ovtasks.layers.operation import Operation, operation_digest
from ovtasks.layers.plan import LayerPlan
from ovtasks.layers.script import apply_script, look_script, undo_script
from tests.layers.layers import WHERE
from tests.support.programs import Ended
from tests.support.systemd import System

TOKEN = "0123456789abcdef"
SNAPSHOT = """
exec 2>/dev/null
cd /
find etc home root usr/lib/systemd var/lib/ovtasks var/lib/systemd/linger -printf '%p %y %m %u:%g %l\\n' | sort
find etc home root var/lib/ovtasks -type f -exec sha256sum {} + | sort -k 2
systemctl list-unit-files --no-pager --no-legend
systemctl list-units --no-pager --no-legend --plain --type=service,socket --state=active,failed | awk '{print $1, $3}' |
    grep -v -e '^user' -e '^getty'
"""


def put(system: System, name: str, operations: Sequence[Operation], *, remove: Sequence[str] = ()) -> Ended:
    """Apply a layer; it must not fail."""
    done = attempt(system, name, operations, remove=remove)
    assert done.returncode == 0, done
    return done


def attempt(system: System, name: str, operations: Sequence[Operation], *, remove: Sequence[str] = ()) -> Ended:
    """Apply a layer, whatever comes of it."""
    digests = tuple(map(operation_digest, operations))
    plan = LayerPlan(name, WHERE, tuple(operations), digests)
    return system.sh("exec sh", stdin=apply_script([plan], TOKEN, remove=remove))


def take(system: System, *names: str) -> Ended:
    """Undo layers; it must not fail."""
    done = system.sh("exec sh", stdin=undo_script(names, TOKEN))
    assert done.returncode == 0, done
    assert "undo-failed" not in done.stdout, done
    return done


def drift(system: System, *names: str) -> list[str]:
    """The operations that are not as they were put."""
    done = system.sh("exec sh", stdin=look_script(names, TOKEN))
    assert done.returncode == 0, done
    begin = f"{TOKEN} differs "
    return [line.removeprefix(begin) for line in done.stdout.splitlines() if line.startswith(begin)]


def snapshot(system: System) -> list[str]:
    """Files with owners, modes and contents, what is enabled, and what runs."""
    system.sh("rm -rf /var/lib/ovtasks/preludes /var/lib/ovtasks/lock; rmdir /var/lib/ovtasks/layers /var/lib/ovtasks")
    return system.out(SNAPSHOT).splitlines()
