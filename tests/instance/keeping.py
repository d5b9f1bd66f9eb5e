"""Keeps or goes back to states of the disk of the VM ``web``, and may kill itself on the way.

``python -m tests.instance.keeping NUMBER keep LABEL``, or ``… back LABEL``; prints the labels that there are. NUMBER
is as for :mod:`tests.instance.strikes`.
"""

from __future__ import annotations

import sys
from types import FrameType

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
    if action == "keep":
        keep_state(record, label, [("of", label)])
    else:
        go_back(record, next(state for state in kept_states(record) if state.label == label))
    sys.setprofile(None)
    print(f"calls: {strike.seen}")
    print(*(state.label for state in kept_states(record)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
