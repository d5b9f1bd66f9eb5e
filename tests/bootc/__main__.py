"""``python -m tests.bootc [COMMAND…]``: a command, or a shell, in a room with the stand-in's images; by hand."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.bootc.storage import standin_room
from tests.support.programs import on_terminal

if __name__ == "__main__":
    words = sys.argv[1:] or [os.environ.get("SHELL", "/bin/sh")]
    with standin_room() as room:
        sys.exit(on_terminal(*room.argv(*words, cwd=Path.cwd())))
