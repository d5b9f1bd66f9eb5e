"""Keeps or goes back to states of the disk of the VM ``web``, and may kill itself on the way.

``python -m tests.instance.keeping NUMBER keep LABEL``, or ``… back LABEL``; prints the labels that there are. NUMBER
is as for :mod:`tests.instance.strikes`. ``… lose LABEL``: the VM changes to the overlay, and the answer is lost.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

from ovtasks.backends.contract import Handle, backend
from ovtasks.backends.qemu.qmp import SilentError
from ovtasks.instance.find import find
from ovtasks.instance.overlays import go_back, keep_state, kept_states
from tests.instance.strikes import Strike


class OverlayStrike(Strike):
    """Counts from the moment on when the overlays are worked on."""

    @staticmethod
    def _is_verb(frame: FrameType) -> bool:
        return frame.f_code.co_name in {"keep_state", "go_back"}


def main() -> int:
    strike = OverlayStrike(int(sys.argv[1]))
    action, label = sys.argv[2:]
    record = find("web", None)
    sys.setprofile(strike)
    if action == "lose":
        qemu = backend(record.backend)
        write_to = qemu.write_to  # type: ignore[attr-defined]

        def lost(handle: Handle, disk: Path) -> None:
            write_to(handle, disk)
            raise SilentError("QEMU does not answer")

        vars(qemu)["write_to"] = lost
        keep_state(record, label, [])
    elif action == "keep":
        keep_state(record, label, [("of", label)])
    else:
        go_back(record, next(state for state in kept_states(record) if state.label == label))
    sys.setprofile(None)
    print(f"calls: {strike.seen}")
    print(*(state.label for state in kept_states(record)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
