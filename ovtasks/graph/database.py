"""doit's own memory (of the user's tasks: ours go by receipts) as SQLite: one commit a task, several runs at once."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

LAST_WRITE = ("deps:", "ignore:")
"""The key that doit writes last when it saves a task: the moment to commit."""
TIMEOUT = 60.0
"""Seconds to wait for other runs."""
BULK = 64
"""After so many single look-ups one scan of the whole table is cheaper."""


class WalDB:
    """A back end for doit (``doit.dependency`` has the protocol): write-ahead log, so that SIGKILL loses nothing."""

    desc = "SQLite with a write-ahead log, one commit a task"

    def __init__(self, name: str, codec: object, *, module_name: str | None = None) -> None:
        self.name = name
        self._tasks: dict[str, dict[str, object]] = {}
        self._stored: dict[str, str] = {}
        self._lookups = 0
        self._open: sqlite3.Connection | None = None

    def _connection(self) -> sqlite3.Connection:
        if self._open is None:
            import sqlite3

            from doit.dependency import DatabaseException

            try:
                Path(self.name).parent.mkdir(parents=True, exist_ok=True)
                self._open = _connect(self.name)
            except (sqlite3.DatabaseError, OSError) as e:
                raise DatabaseException(f"{self.name}: {e}; it holds nothing that cannot be made anew") from e
        return self._open

    def _load(self, task: str) -> dict[str, object]:
        known = self._tasks.get(task)
        if known is not None:
            return known
        if not Path(self.name).exists() and self._open is None:
            return self._tasks.setdefault(task, {})
        self._lookups += 1
        if self._lookups == BULK:
            self._stored.update(dict(self._connection().execute("select id, data from task")))
        if self._lookups < BULK:
            row = self._connection().execute("select data from task where id=?", (task,)).fetchone()
            if row:
                self._stored[task] = row[0]
        return self._tasks.setdefault(task, json.loads(self._stored.get(task, "{}")))

    def get(self, task: str, key: str) -> object:
        return self._load(task).get(key)

    def set(self, task: str, key: str, value: object) -> None:
        data = self._load(task)
        data[key] = value
        if key in LAST_WRITE:
            text = json.dumps(data, sort_keys=True)
            if text != self._stored.get(task):
                self._connection().execute("insert or replace into task values(?, ?)", (task, text))
                self._stored[task] = text

    def in_(self, task: str) -> bool:
        return bool(self._load(task))

    def remove(self, task: str) -> None:
        if self._load(task):
            self._connection().execute("delete from task where id=?", (task,))
        self._stored.pop(task, None)
        self._tasks[task] = {}

    def remove_all(self) -> None:
        self._connection().execute("delete from task")
        self._tasks.clear()
        self._stored.clear()

    def dump(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None


def _connect(name: str) -> sqlite3.Connection:
    """Open and prepare the database. SQLite does not wait when several at once turn the log on, or off as the last one
    closes: so we do.

    :raises sqlite3.DatabaseError: it is no database, or stays locked.
    """
    import sqlite3

    end = time.monotonic() + TIMEOUT
    while True:
        connection = sqlite3.connect(name, timeout=TIMEOUT, isolation_level=None)
        try:
            connection.execute("pragma journal_mode=wal")
            connection.execute("pragma synchronous=normal")
            connection.execute("create table if not exists task(id text primary key, data text) without rowid")
            return connection
        except sqlite3.DatabaseError as e:
            connection.close()
            if "locked" not in str(e) or time.monotonic() > end:
                raise
        time.sleep(0.02)
