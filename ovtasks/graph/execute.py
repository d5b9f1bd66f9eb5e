"""Runs a step such that it can be killed at any moment: lock, clear, run, write the receipt."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from ovtasks.graph.freshness import check
from ovtasks.graph.receipt import Output, Receipt, output_digest
from ovtasks.graph.step import Step, Workspace, need_keys
from ovtasks.graph.step_log import logged
from ovtasks.host.beneath import make_folder
from ovtasks.host.files import discard, flock, open_own, write_atomic
from ovtasks.host.oserrors import explaining
from ovtasks.host.progress import Progress

RUNS = "runs"
"""The lock that all processes share which run steps of the project."""

_shared: dict[Path, int] = {}


def execute(
    step: Step,
    needs: Mapping[str, Receipt],
    locks: Path,
    progress: Progress,
    *,
    force: bool = False,
    log: Path | None = None,
) -> bool:
    """Run ``step`` unless another process just did; return whether it ran.

    ``needs`` maps the names of needed steps to their receipts; ``locks`` is the folder of lock files. First a marker
    replaces the step's receipt, so whatever happens afterwards, no half-made result counts as fresh. What its
    programs say is written to ``log``.

    :raises OvError: the step failed. Half-made files have been removed, and the last good receipt is back.
    """
    keys = need_keys(needs)
    by_verb = {keys[name]: receipt.digest for name, receipt in needs.items()}
    with (
        explaining(step.title, *(target.parent for target in step.targets)),
        _joined(locks),
        flock(lock_file(locks, step), waiting=lambda who: progress.note(f"{step.name}: waiting for {who}")),
    ):
        if not force and check(step, by_verb, heal=True).fresh:
            return False
        with logged(log, step, progress) as written:
            _run(step, needs, by_verb, written)
        return True


@contextlib.contextmanager
def _joined(locks: Path) -> Iterator[None]:
    """From here until this process ends, ``ov gc`` removes nothing that its next step may need."""
    path = locks / RUNS
    if path not in _shared:
        _shared[path] = open_own(path)
        fcntl.flock(_shared[path], fcntl.LOCK_SH)
    yield


def lock_file(locks: Path, step: Step) -> Path:
    """The lock for changing the step's files."""
    return locks / step.name.replace("/", "%")


def _run(step: Step, needs: Mapping[str, Receipt], by_verb: Mapping[str, str], progress: Progress) -> None:
    _clear_folders(step)
    for directory in {target.parent for target in step.targets}:
        make_folder(directory)
    old = _begin(step)
    workspace = Workspace(step, needs, progress)
    started = time.time()
    try:
        step.run(workspace)
        outputs = tuple(Output.of(path, workspace.contents.get(path), progress) for path in workspace.outputs)
        if old is not None:
            _remove_obsolete(old, outputs)
        identity = workspace.identity or output_digest(outputs)
        duration = time.time() - started
        receipt = Receipt(step.name, {}, by_verb, outputs, identity, workspace.facts, started, duration)
        replace(receipt, salt=old.salt if old else "").sealed(step.inputs).save(step.receipt)
    except BaseException:
        _clear_parts(step)
        if old is not None:
            step.marker.replace(step.receipt)
        raise
    finally:
        step.marker.unlink(missing_ok=True)


def _begin(step: Step) -> Receipt | None:
    """Replace the receipt by the marker, clear what a killed run left, and return the last good receipt."""
    if step.receipt.exists():
        step.receipt.replace(step.marker)
    elif not step.marker.exists():
        write_atomic(step.marker, "{}")
    _clear_parts(step)
    return Receipt.load(step.marker)


def _clear_parts(step: Step) -> None:
    for target in step.targets:
        Workspace.part(target).unlink(missing_ok=True)


def _remove_obsolete(old: Receipt, outputs: tuple[Output, ...]) -> None:
    """Remove files that the step made last time but not now (a base image with another digest)."""
    kept = {output.path for output in outputs}
    for output in old.outputs:
        if output.path not in kept:
            output.path.unlink(missing_ok=True)


def _clear_folders(step: Step) -> None:
    for path in (*step.targets, step.receipt, step.marker, *map(Workspace.part, step.targets)):
        if path.is_dir() and not path.is_symlink():
            discard(path)
