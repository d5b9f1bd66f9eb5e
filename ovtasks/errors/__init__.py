"""Errors that a user can cause, and the exit codes of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_INPUT = 2
EXIT_REFUSED = 3
EXIT_STALE = 4  # `ov plan --exit-code`: something would run; `ov vm diff`: something differs


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a text file. Lines and columns count from 1; 0 means unknown."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}" if self.column else f"{self.file}:{self.line}"


class OvError(Exception):
    """A failure that the user can understand and act on. It is printed without a traceback.

    ``message`` states the fact in lower case, ``hint`` the next step, ``where`` the place in the file at fault. ``log``
    is where more about it stands: what the programs of the step that failed said.
    """

    exit_code = EXIT_FAILED

    def __init__(self, message: str, *, hint: str | None = None, where: Where | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where
        self.log: Path | None = None

    def __str__(self) -> str:
        head = f"{self.where}: {self.message}" if self.where else self.message
        text = f"{head}\n  hint: {self.hint}" if self.hint else head
        return f"{text}\n  log: {self.log}" if self.log else text


class InputError(OvError):
    """What the user wrote (a file, an option) is wrong.

    ``field`` is the path of the wrong value in the VM's spec, for code that does not know the file. From it and the VM,
    :mod:`ovtasks.project.locate` finds ``where``. ``at`` is the line and column (from 1) inside a value that is text.
    ``owners`` are the entries of the project that the mistake spoils (a VM's name, ``image:<name>``,
    ``deploy:<name>``); none: it spoils the whole project.
    """

    exit_code = EXIT_INPUT

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        where: Where | None = None,
        field: Sequence[str | int] | None = None,
        at: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(message, hint=hint, where=where)
        self.field = None if field is None else tuple(field)
        self.at = at
        self.owners: frozenset[str] = frozenset()

    def of(self, *owners: str) -> InputError:
        """This error, with ``owners`` added to those that it spoils."""
        self.owners |= {*owners}
        return self


class RefusedError(OvError):
    """The request would harm something that is in use or must be kept."""

    exit_code = EXIT_REFUSED


class InputErrors(InputError):
    """Several input errors at once; ``errors`` are in the order of files and lines."""

    def __init__(self, errors: Sequence[InputError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(str(e) for e in self.errors))
