"""Throw-away instances, which live as long as the process that made them.

Their owner holds a lock. The kernel drops it when the owner ends, however that happens. So whoever finds the lock free
knows that the instance has no owner any more, and takes it down: the next run, or ``ov gc``.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from ovtasks.host.files import flock, is_locked
from ovtasks.host.oserrors import explaining
from ovtasks.host.paths import DOMAIN_PREFIX, data_home, instance_directory
from ovtasks.host.progress import Progress, SilentProgress
from ovtasks.images.gc import Item, try_locks
from ovtasks.instance.destroy import destroy, remove_leftovers
from ovtasks.instance.find import find_or_none
from ovtasks.instance.record import domain_of

WHAT = "throw-away VM of a run that was killed"
SUFFIX = ".run"
_NAME = re.compile(rf"{DOMAIN_PREFIX}(.+)-(run-[0-9a-f]{{8}})")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Throwaway:
    """A new instance's name, inside a ``with`` statement. Behind it nothing is left of the instance.

    SIGTERM and SIGHUP end the block by SystemExit, as SIGINT does by KeyboardInterrupt. While the instance is taken
    down, further signals do nothing. It is for the main thread.
    """

    def __init__(self, vm: str, progress: Progress) -> None:
        self.vm = vm
        self.instance = f"run-{secrets.token_hex(4)}"
        self._progress = progress
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Throwaway:
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _end)
        try:
            self._held.enter_context(_owned(_lock(domain_of(self.vm, self.instance))))
        except BaseException:
            self._restore()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for number in _SIGNALS:
            signal.signal(number, _nothing)
        try:
            with self._held:
                _discard(self.vm, self.instance, self._progress)
        finally:
            self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _nothing(number: int, frame: FrameType | None) -> None:
    pass


def _lock(domain: str) -> Path:
    return data_home() / "locks" / f"{domain}{SUFFIX}"


@contextlib.contextmanager
def _owned(path: Path) -> Iterator[None]:
    """Hold the lock. If a sweep removed the file before we held it, make it again."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        with flock(path):
            if is_locked(path):
                yield
                return


def _discard(vm: str, instance: str, progress: Progress) -> None:
    """Take the instance down with all its files, those of its locks last. The caller holds its lock.

    :raises OvError: it cannot be taken down.
    """
    domain = domain_of(vm, instance)
    record = find_or_none(vm, instance)
    if record is not None:
        destroy(record, progress, disk=True)
    remove_leftovers(vm, instance)
    locks = data_home() / "locks"
    with explaining(f"cannot remove the locks of {domain}", locks):
        for name in (domain, f"{domain}.deploy", f"{domain}{SUFFIX}"):
            (locks / name).unlink(missing_ok=True)


def _left() -> Iterator[tuple[Path, str, str]]:
    """The lock, VM and instance of each that nobody owns."""
    for path in sorted((data_home() / "locks").glob(f"{DOMAIN_PREFIX}*{SUFFIX}")):
        found = _NAME.fullmatch(path.name.removesuffix(SUFFIX))
        if found is not None and not is_locked(path):
            yield path, found[1], found[2]


def survey() -> list[Item]:
    """Those whose owners are gone, for ``ov gc``."""
    return [Item(instance_directory(domain_of(vm, instance)), 0, WHAT) for _, vm, instance in _left()]


def sweep(progress: Progress | None = None) -> list[Item]:
    """Take down those whose owners are gone; returns them.

    :raises OvError: one cannot be taken down.
    """
    progress = progress or SilentProgress()
    gone = []
    for path, vm, instance in _left():
        with try_locks([path]) as free:
            if free:
                _discard(vm, instance, progress)
                progress.note(f"{vm} -i {instance}: destroyed; its run was killed")
                gone.append(Item(instance_directory(domain_of(vm, instance)), 0, WHAT))
    return gone
