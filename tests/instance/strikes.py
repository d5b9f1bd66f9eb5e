"""``ov`` that kills itself by SIGKILL in the middle: right before its nth call that changes something outside of it.

``python -m tests.instance.strikes NUMBER WORD…`` runs ``ov WORD…``; number 0 only counts, and says how many there are.
"""

from __future__ import annotations

import datetime as dt
import io
import os
import signal
import sys
import threading
import types
from types import FrameType
from typing import Any

CHANGES = {
    *("rename", "replace", "unlink", "remove", "mkdir", "rmdir", "link", "symlink", "chmod", "fchmod", "truncate"),
    *("ftruncate", "write", "pwrite", "fsync", "utime", "fork_exec", "posix_spawn", "execv", "pidfd_send_signal"),
    *("virDomainDefineXMLFlags", "virDomainCreate", "virDomainDestroy", "virDomainUndefineFlags"),
    *("virDomainSetAutostart", "virConnectOpen", "virDomainQemuMonitorCommand", "sendall"),
}
ROOMS = (
    "/ovtasks/instance/create.py",
    "/ovtasks/instance/overlays.py",
    "/ovtasks/instance/snapshots.py",
    "/ovtasks/instance/destroy.py",
    "/ovtasks/instance/power.py",
    "/ovtasks/sources/clone/chain.py",
    "/ovtasks/sources/clone/declare.py",
    "/ovtasks/sources/imported/adopt.py",
)
VERBS = {
    *("create", "destroy", "remove_leftovers", "start"),
    *("create_snapshot", "revert_snapshot", "delete_snapshot", "import_domain"),
    *("clone_steps", "_copy", "declare_clone"),
}
"""Where a verb begins: what a build does before is tried elsewhere."""
IN_MEMORY = (str, bytes, io.StringIO, io.BytesIO, dt.datetime, types.CodeType)
"""Whose methods have such names, too, and change nothing outside."""


class Strike:
    """A profiler that counts calls of builtin functions from the moment on when a verb begins."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.seen = 0
        self.begun = False

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if not self.begun:
            self.begun = event == "call" and frame.f_code.co_filename.endswith(ROOMS) and self._is_verb(frame)
        elif (
            event == "c_call"
            and argument.__name__ in CHANGES
            and not isinstance(getattr(argument, "__self__", None), IN_MEMORY)
        ):
            self.seen += 1
            if self.seen == self.number:
                os.kill(os.getpid(), signal.SIGKILL)

    @staticmethod
    def _is_verb(frame: FrameType) -> bool:
        return frame.f_code.co_name in VERBS


def main() -> int:
    strike = Strike(int(sys.argv[1]))
    sys.argv = ["ov", *sys.argv[2:]]
    from ovtasks.cli import main as ov

    if "build" in sys.argv:
        threading.setprofile(strike)  # steps may run in threads
    sys.setprofile(strike)
    code = ov()
    sys.setprofile(None)
    if strike.number == 0:
        print(f"calls: {strike.seen}")
    return code


if __name__ == "__main__":
    sys.exit(main())
