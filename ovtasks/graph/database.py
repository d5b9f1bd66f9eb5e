"""doit's database, as SQLite: one commit per task, several runs at once. It serves the user's tasks; ours have
receipts.

It never stops a run. A damaged file is made anew. If no file can be made, the run goes without and says so once.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shlex
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ovtasks.errors import OvError
from ovtasks.host.beneath import make_folder, parent, trusted
from ovtasks.host.oserrors import explained
from ovtasks.host.patience import waiting_for
from ovtasks.host.state import StateError

if TYPE_CHECKING:
    import sqlite3

DEP_FILE = "output/.ov/doit.db"
TABLE = "task"
"""The only table."""
NOWHERE = ":memory:"
"""The name that means: keep nothing. Runs of ``ov`` have no tasks of the user."""
LAST_WRITE = ("deps:", "ignore:")
"""The keys that doit writes last when it saves a task, which is the moment to commit."""
TIMEOUT = 60.0
"""Seconds to wait for other runs."""
BULK = 64
"""After so many single look-ups, reading the whole table is cheaper."""
BESIDE = ("", "-wal", "-shm", "-journal")
"""The endings of SQLite's files."""


class WalDB:
    """A back end for doit (protocol: ``doit.dependency``). Its write-ahead log survives SIGKILL without loss."""

    desc = "SQLite with a write-ahead log, one commit a task"

    def __init__(self, name: str, codec: object, *, module_name: str | None = None) -> None:
        self.name = name
        self._tasks: dict[str, dict[str, object]] = {}
        self._stored: dict[str, str] = {}
        self._lookups = 0
        self._open: sqlite3.Connection | None = None
        self._given_up = name == NOWHERE

    def _execute(self, sql: str, values: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
        """Execute and return the rows; none if the database cannot be used, which is reported once."""
        import sqlite3

        for attempt in ("as it is", "made anew"):
            if self._given_up:
                break
            try:
                if self._open is None:
                    self._open = _connect(self.name)
                return self._open.execute(sql, values).fetchall()
            except (sqlite3.Error, OSError, OvError) as e:
                self._close()
                if attempt == "made anew" or not _is_damage(e) or not self._remove(e):
                    self._give_up(e)
        return []

    def _remove(self, error: Exception) -> bool:
        """Remove a damaged database, for a new one; False if it cannot be removed."""
        try:
            for end in BESIDE:
                Path(self.name + end).unlink(missing_ok=True)
        except OSError:
            return False
        _note(f"{self.name} was damaged ({error}) and is made anew: tasks of dodo.py may run once more")
        return True

    def _give_up(self, error: sqlite3.Error | OSError | OvError) -> None:
        self._given_up = True
        told = explained(error, "") if isinstance(error, OSError) else error
        reason, hint = (told.message, told.hint) if isinstance(told, OvError) else (f"{self.name}: {told}", None)
        hint = hint or f"when it may go: rm -rf {shlex.quote(self.name)}*"
        _note(f"{reason}; what tasks of dodo.py did is not remembered this time\n  hint: {hint}")

    def _load(self, task: str) -> dict[str, object]:
        known = self._tasks.get(task)
        if known is not None:
            return known
        if self._given_up or (self._open is None and not os.path.lexists(self.name)):
            return self._tasks.setdefault(task, {})
        self._lookups += 1
        if self._lookups == BULK:
            self._stored.update(dict(self._execute("select id, data from task")))  # type: ignore[arg-type]
        if self._lookups < BULK:
            for (data,) in self._execute("select data from task where id=?", (task,)):
                self._stored[task] = data
        return self._tasks.setdefault(task, _values(self._stored.get(task)))

    def get(self, task: str, key: str) -> object:
        """What is kept under ``key`` of a task; None if nothing is."""
        return self._load(task).get(key)

    def set(self, task: str, key: str, value: object) -> None:
        """Keep ``value`` under ``key`` of a task. It reaches the disk with the key that doit sets last."""
        data = self._load(task)
        data[key] = value
        if key in LAST_WRITE and not self._given_up:
            text = json.dumps(data, sort_keys=True)
            if text != self._stored.get(task):
                self._execute("insert or replace into task values(?, ?)", (task, text))
                self._stored[task] = text

    def in_(self, task: str) -> bool:
        """Whether anything is kept of the task."""
        return bool(self._load(task))

    def remove(self, task: str) -> None:
        """Forget one task."""
        if self._load(task):
            self._execute("delete from task where id=?", (task,))
        self._stored.pop(task, None)
        self._tasks[task] = {}

    def remove_all(self) -> None:
        """Forget all tasks."""
        if os.path.lexists(self.name):
            self._execute("delete from task")
        self._tasks.clear()
        self._stored.clear()

    def rows(self) -> Iterator[tuple[str, dict[str, object]]]:
        """Everything that is kept, by task name."""
        if os.path.lexists(self.name):
            for task, data in self._execute("select id, data from task order by id"):
                yield str(task), _values(data)

    def dump(self) -> None:
        """doit calls this at its end; everything is written by then, so only the file is closed."""
        self._close()

    def _close(self) -> None:
        if self._open is not None:
            import sqlite3

            with contextlib.suppress(sqlite3.Error):
                self._open.close()
            self._open = None


def _values(text: object) -> dict[str, object]:
    """What is kept of one task; empty if it is damaged."""
    try:
        data = json.loads(text) if isinstance(text, str | bytes) else {}
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _note(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(f"doit: {text}", file=sys.stderr)


def _is_damage(error: Exception) -> bool:
    """Whether the file is not a database of ours, rather than one that cannot be read or written at the moment."""
    import sqlite3

    if isinstance(error, sqlite3.OperationalError):
        return "no such" in str(error) or "has no column" in str(error) or "columns but" in str(error)
    return type(error) is sqlite3.DatabaseError  # subclasses are about our calls or the system


def _check(name: str) -> None:
    """Check that the database is a file of ours, before SQLite follows or waits for anything.

    :raises StateError, UnsafeError: it is not a file of ours. :raises OSError: it cannot be written.
    """
    make_folder(Path(name).absolute().parent)
    for end in BESIDE:
        with parent(Path(name + end)) as (folder, file):
            try:
                found = os.lstat(file, dir_fd=folder)
            except FileNotFoundError:
                continue
            if not stat.S_ISREG(found.st_mode):
                raise StateError(Path(name + end), "is not a file")
            if not trusted(found, folder):
                raise StateError(Path(name + end), "belongs to another user")
            if found.st_nlink != 1:
                raise StateError(Path(name + end), "has another name elsewhere")
    with parent(Path(name)) as (folder, file):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder))


def _connect(name: str) -> sqlite3.Connection:
    """Open and prepare the database.

    If several processes switch the write-ahead log on, or off when the last one closes, SQLite does not wait. So we do.

    :raises sqlite3.Error: it is not a database, or stays locked. :raises OSError, OvError: see :func:`_check`.
    """
    import sqlite3

    try:
        _check(name)
    except OSError as e:
        if e.errno not in {errno.EROFS, errno.EACCES, errno.EPERM} or not os.access(name, os.R_OK):
            raise
        from urllib.parse import quote

        return sqlite3.connect(f"file:{quote(str(Path(name).absolute()))}?mode=ro&immutable=1", uri=True)
    with waiting_for(f"another run, which has {name}"):
        return _patiently(name)


def _patiently(name: str) -> sqlite3.Connection:
    import sqlite3

    end = time.monotonic() + TIMEOUT
    while True:
        connection = sqlite3.connect(name, timeout=TIMEOUT, isolation_level=None)
        try:
            connection.execute("pragma journal_mode=wal")
            connection.execute("pragma synchronous=normal")
            connection.execute("create table if not exists task(id text primary key, data text) without rowid")
            return connection
        except sqlite3.Error as e:
            connection.close()
            if "locked" not in str(e) or time.monotonic() > end:
                raise
        time.sleep(0.02)
