"""``ov`` for a VM without a guest, which kills itself by SIGKILL on the way.

``python -m tests.deploy.struck FUNCTION WORD…`` runs ``ov WORD…``: the layers of a deployment are taken for applied,
and right before ``FUNCTION`` (``module:name``) is called the process dies. ``-``: it lives. ``!``: the layers fail.
``^C``: somebody interrupts them.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any

from ovtasks.deploy import update
from ovtasks.deploy.changes import Changes
from ovtasks.deploy.deploy import Deployed
from ovtasks.deploy.wanted import Wanted
from ovtasks.errors import OvError
from ovtasks.host.progress import Progress
from ovtasks.instance.record import Record


def _applied(wanted: Wanted, record: Record, progress: Progress, **more: Any) -> Deployed:
    more["on_applied"]()
    return Deployed(Changes(()))


def _failing(wanted: Wanted, record: Record, progress: Progress, **more: Any) -> Deployed:
    (record.folder.path / "deploy.log").write_text("a layer failed\n")
    raise OvError("a layer failed", hint="mend it")


def _interrupted(wanted: Wanted, record: Record, progress: Progress, **more: Any) -> Deployed:
    os.kill(os.getpid(), signal.SIGINT)
    raise AssertionError


def main() -> int:
    function = sys.argv[1]
    module, _, name = function.partition(":")
    vars(update)["deploy_locked"] = {"!": _failing, "^C": _interrupted}.get(function, _applied)

    def strike(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_name == name and code.co_filename.endswith(f"/{module}.py"):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.argv = ["ov", *sys.argv[2:]]
    from ovtasks.cli import main as ov

    sys.setprofile(strike if name else None)
    return ov()


if __name__ == "__main__":
    sys.exit(main())
