"""What every command of doit does around our tasks: end in order, print one message in place of a traceback, suggest
names.
"""

from __future__ import annotations

import contextlib
import fnmatch
import functools
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, NoReturn

from doit.cmdparse import CmdParseError
from doit.exceptions import InvalidCommand

from ovtasks.errors import EXIT_FAILED
from ovtasks.graph.display import Display
from ovtasks.graph.tasks import OvTask
from ovtasks.host import patience, streams
from ovtasks.host.oserrors import explained

CREATOR = "task_ovtasks"
"""The name in a ``dodo.py``'s namespace that says: this project has VMs."""
INTERRUPTED = 130
KEPT = "finished steps are kept, the same command goes on"
LAST_SECONDS = 120
"""Seconds that steps get to clear up after a signal.

Then the kernel ends us, whatever a thread or a library waits for.
"""
WAKE_SECONDS = 0.2
"""Seconds between two wake-ups of doit's main thread while other threads work.

A signal that comes just before Python waits in the kernel is handled only after the wait."""


class Guarded:
    """A mix-in for doit's commands; it stands before doit's own class.

    Projects without VMs see one difference only: a wrong option is reported in one line.
    """

    execute_tasks: bool
    loader: Any
    task_list: list[Any]
    outstream: Any

    def parse_execute(self, words: list[str]) -> int | None:
        """doit calls this first. Its message for a wrong option would show a list of objects."""
        try:
            code: int | None = super().parse_execute(words)  # type: ignore[misc]
            return code
        except CmdParseError as e:
            name = type(self).__dict__.get("name", "run")
            raise CmdParseError(_without_objects(e, f"doit help {name}")) from None

    def execute(self, params: Any, args: list[str]) -> int | None:
        """doit calls this: it loads the tasks and calls ``_execute``."""
        streams.open_closed()
        self.outstream = self.outstream or sys.stdout
        if params.get("outfile", self) is None:
            params["outfile"] = sys.stdout
        self._execute: Any = guarded(self, self._execute, args)
        try:
            code: int | None = super().execute(params, args)  # type: ignore[misc]
            return code
        except KeyboardInterrupt:
            if not _has_vms(self.loader):
                raise
            return streams.last_words("interrupted", INTERRUPTED)


def guarded(command: Any, work: Callable[..., int | None], words: list[str]) -> Callable[..., int | None]:
    """``work`` (a bound ``_execute``, whose parameters doit looks up), guarded if there are tasks of ours."""

    @functools.wraps(work)
    def safe(**params: Any) -> int | None:
        tasks = {task.name: task for task in command.task_list}
        displays = {id(d): d for task in tasks.values() if isinstance(d := getattr(task, "display", None), Display)}
        if not any(isinstance(task, OvTask) for task in tasks.values()):
            return work(**params)
        streams.prepare()
        _refuse_unknown(words, tasks, all_are_names=not command.execute_tasks)
        try:
            parallel = bool(params.get("num_process"))
            ends = orderly_end(displays.values(), parallel=parallel)
            with ends if command.execute_tasks else contextlib.nullcontext():
                if (heard := next((d for d in displays.values() if not d.quiet), None)) is not None:
                    patience.tell(heard.print)
                return said(work, **params)
        except InvalidCommand as e:
            if getattr(e, "not_found", None) is None:
                raise
            raise unknown(e.not_found, tasks) from None
        except CmdParseError as e:  # a task's option is wrong; doit would add a list of objects
            hint = next((f"doit help {word}" for word in words if word in tasks), "doit help run")
            raise InvalidCommand(_without_objects(e, hint)) from None

    return safe


def _without_objects(error: CmdParseError, hint: str) -> str:
    return f"{str(error).partition(' (parsing options')[0]}\n  hint: {hint}"


def said(work: Callable[..., int | None], **params: Any) -> int | None:
    """Run ``work``, flush what it prints, and return its exit code. An error of the system becomes one message."""
    try:
        code = work(**params)
        streams.flush()
        return code
    except BrokenPipeError:
        streams.abandon(sys.stdout)  # nobody reads any more
        return EXIT_FAILED
    except (OSError, UnicodeError, RecursionError) as e:
        doing = "" if streams.stdout_works() else "the output cannot be written"
        return streams.last_words(f"ERROR: {explained(e, doing)}", EXIT_FAILED)


def _has_vms(loader: object) -> bool:
    return type(loader).__module__.startswith("ovtasks.") or CREATOR in (getattr(loader, "namespace", None) or {})


def _refuse_unknown(words: Sequence[str], tasks: Mapping[str, Any], *, all_are_names: bool) -> None:
    """Refuse words that name no task: doit would end in a KeyError, or do nothing without complaint.

    Where tasks are run, other words may be values of options or arguments of a task. doit handles those.
    """
    free = any(tasks[word].pos_arg for word in words if word in tasks)
    for word in words:
        if "*" in word and not word.startswith("-") and not free and not fnmatch.filter(tasks, word):
            raise InvalidCommand(f"no task matches {word!r}\n  hint: doit list --all shows every task")
        if all_are_names and word not in tasks and "*" not in word:
            raise unknown(word, tasks)


def unknown(word: str, tasks: Mapping[str, Any]) -> InvalidCommand:
    """The error for a word that is neither a task nor a target, with similar names.

    ``biuld:demo`` is corrected on both sides of the colon: a similar verb of that VM, or a similar VM with that verb.
    """
    from ovtasks.values.words import close_to, meant

    near = close_to(word, tasks)
    verb, colon, rest = word.partition(":")
    if colon:
        verbs = {name.partition(":")[0] for name in tasks if ":" in name}
        names = {name.partition(":")[2] for name in tasks if ":" in name and "@" not in name}
        close = [verb] if verb in verbs else close_to(verb, verbs, most=2)
        like = [rest] if rest in names else close_to(rest, names, cutoff=0.5)
        near = [name for v in close for n in like if (name := f"{v}:{n}") in tasks] or near
    else:  # the name of a VM alone
        near = [name for name in (f"build:{word}",) if name in tasks] or near
    if word.startswith("-"):
        hint = "options stand before the names of tasks"
    else:
        hint = meant(near[:3]) or "doit list --all shows every task"
    return InvalidCommand(f"no task or target is called {word!r}\n  hint: {hint}")


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt in the block and ends the process silently outside.

    An uncaught one is reported.
    """
    if signal.getsignal(signal.SIGINT) != signal.SIG_DFL:  # ignored
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(streams.last_words("interrupted", INTERRUPTED))
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def orderly_end(displays: Iterable[Display], *, parallel: bool = False) -> Iterator[None]:
    """In the block, Ctrl-C and a CI's SIGTERM end the run in order: children are ended, receipts and database kept.

    Afterwards the signals do again what they did before. ``parallel``: this thread only waits for others.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    shown = list(displays)

    def end(number: int, frame: FrameType | None) -> NoReturn:
        ends = before.keys() - {signal.SIGALRM}
        for one in ends:  # a second Ctrl-C would break the import
            signal.signal(one, lambda number, frame: None)
        from ovtasks.host.run import stop_all

        for display in shown:
            display.cancelled.set()
        stop_all()
        signal.alarm(LAST_SECONDS)  # in place of the timer
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        with contextlib.suppress(OSError):
            print(f"\ninterrupted by {signal.Signals(number).name}; {KEPT}", file=sys.stderr)
        for one in ends:
            signal.signal(one, end)
        sys.exit(128 + number)

    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        handler = signal.getsignal(number)
        if handler is not None and handler != signal.SIG_IGN:  # nohup; None: not one of Python's
            before[number] = handler
    try:  # a signal may come between two of them
        for number in before:
            signal.signal(number, end)
        if parallel and signal.getsignal(signal.SIGALRM) == signal.SIG_DFL:
            before[signal.SIGALRM] = signal.SIG_DFL
            signal.signal(signal.SIGALRM, lambda number, frame: None)
            signal.setitimer(signal.ITIMER_REAL, WAKE_SECONDS, WAKE_SECONDS)
        yield
    finally:
        if signal.SIGALRM in before and signal.getitimer(signal.ITIMER_REAL)[1]:  # not our last alarm
            signal.setitimer(signal.ITIMER_REAL, 0)
        for display in shown:
            display.over()
        for number, handler in before.items():
            signal.signal(number, handler)
