"""Ephemeral instances: taken down when their time is over, by a timer of the user's systemd, or else by ``ov gc``.

The deadline stands in the instance's record. It is set by the first deployment, and by each update. Whoever takes an
instance down asks the record under the lock of deployments. So a timer that comes too early, or for an instance that
was made anew meanwhile, does no harm.
"""

from __future__ import annotations

import math
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ovtasks.errors import EXIT_FAILED, OvError
from ovtasks.host.files import is_locked
from ovtasks.host.oserrors import explaining
from ovtasks.host.progress import Progress, SilentProgress
from ovtasks.instance.aside import deploy_lock, deploying
from ovtasks.instance.find import every, find_or_none
from ovtasks.instance.power import reread
from ovtasks.instance.record import Record

if TYPE_CHECKING:
    from ovtasks.images.gc import Item
    from ovtasks.project.deploy_model import Deployment

OVER = "ephemeral VM whose time is over"
KEPT = ("PATH", "PYTHONPATH", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
"""Variables of this process that the timer's command needs to find the same instance."""
_MAIN = "import sys; from ovtasks.cli import main; sys.exit(main())"
_SECONDS = 20.0


def note_deadline(deployment: Deployment, record: Record, progress: Progress) -> Record:
    """Set the instance's deadline and a timer, if it has none yet; returns the record. The caller holds the lock.

    The deadline of an instance that is no longer ephemeral is removed.

    :raises OvError: it cannot be written.
    """
    wanted = deployment.ephemeral
    if (wanted is None) == (record.expires is None):
        return record
    end = None if wanted is None else datetime.now(UTC) + timedelta(seconds=wanted.ttl)
    noting = explaining(f"cannot note how long {record.words} lives", record.folder.path)
    with noting, record.folder.lock():
        record = replace(reread(record), expires=end.isoformat(timespec="seconds") if end is not None else None)
        record.save()
    if end is not None:
        how = "by a timer of systemd" if arm(record) else "by ov gc, since systemd has no timer for it"
        progress.note(f"{record.words}: ephemeral until {record.expires}, then destroyed {how}")
    return record


def expiry_command(record: Record) -> list[str]:
    """The words that take the instance down, if its time is over when they run."""
    instance = ["-i", record.instance] if record.instance else []
    return [sys.executable, "-c", _MAIN, "vm", "destroy", "--disk", "--expired", record.vm, *instance]


def timer_command(record: Record) -> list[str]:
    """The words that have the user's systemd run :func:`expiry_command` when the time is over."""
    assert record.expires is not None
    end = datetime.fromisoformat(record.expires)
    seconds = max(1, math.ceil((end - datetime.now(UTC)).total_seconds()))
    kept = [f"--setenv={name}={os.environ[name]}" for name in KEPT if name in os.environ]
    unit = f"ov-expire-{record.domain}-{int(end.timestamp())}"
    options = ["--quiet", "--collect", f"--unit={unit}", f"--on-active={seconds}s", "--timer-property=AccuracySec=1s"]
    return ["systemd-run", "--user", *options, *kept, "--", *expiry_command(record)]


def arm(record: Record) -> bool:
    """Set the timer; returns False if the user has no systemd that runs it."""
    from ovtasks.host.run import run
    from ovtasks.host.which import which

    if which("systemd-run") is None:
        return False
    try:
        return run(timer_command(record), check=False, timeout=_SECONDS).returncode == 0
    except OvError:
        return False


def take_down(vm: str, instance: str | None, progress: Progress) -> bool:
    """Destroy an instance with its disk if its time is over; returns whether it was. Else its timer is set again.

    :raises OvError: it cannot be destroyed.
    """
    from ovtasks.instance.destroy import destroy

    record = find_or_none(vm, instance)
    if record is None:
        return False
    with deploying(record.domain, progress):
        record = find_or_none(vm, instance)
        if record is None:
            return False
        if not record.is_over:
            if record.expires is not None:
                arm(record)
            return False
        destroy(record, progress, disk=True)
    progress.note(f"{record.words}: destroyed; it expired at {record.expires}")
    return True


def drop_expired(deployment: Deployment, progress: Progress) -> bool:
    """Take down what is left of an instance whose time is over, so that a deployment begins with a new one.

    :raises OvError: as :func:`take_down`.
    """
    record = find_or_none(deployment.vm, deployment.instance)
    return record is not None and record.is_over and take_down(deployment.vm, deployment.instance, progress)


def discard_failed(deployment: Deployment, record: Record, progress: Progress, error: OvError | None = None) -> None:
    """Destroy an ephemeral instance because its deployment or its checks failed, unless it is to be kept.

    ``error``: what failed. What was refused, or written wrong, is no failure. The caller holds the deploy lock.

    :raises OvError: it cannot be destroyed.
    """
    from ovtasks.instance.destroy import destroy

    wanted = deployment.ephemeral
    if wanted is None or wanted.keep_on_failure or (error is not None and error.exit_code != EXIT_FAILED):
        return
    destroy(record, progress, disk=True)
    progress.note(f"{record.words}: ephemeral and failed: destroyed; keep_on_failure: true would keep it")


def survey() -> list[Item]:
    """The instances whose time is over, for ``ov gc``."""
    from ovtasks.images.gc import Item

    return [Item(record.folder.path, 0, OVER, _busy(record.domain)) for record in every([]) if record.is_over]


def _busy(domain: str) -> tuple[str, ...]:
    return (f"a deployment to {domain}",) if is_locked(deploy_lock(domain)) else ()


def remove(items: list[Item]) -> list[Item]:
    """Take down those whose time is still over; returns what was removed.

    :raises OvError: one cannot be destroyed.
    """
    chosen = {item.path: item for item in items}
    gone = []
    for record in [one for one in every([]) if one.folder.path in chosen and one.is_over]:
        if take_down(record.vm, record.instance, SilentProgress()):
            gone.append(chosen[record.folder.path])
    return gone
