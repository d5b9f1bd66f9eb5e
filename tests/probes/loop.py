"""Many command lines of ``ov`` in one process: JSON lists on stdin, a JSON line for each on stdout.

A start of Python takes longer than most of these verbs.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time

from ovtasks.cli.main import run


def main() -> None:
    """Run each, and say how it ended: exit code, stdout, stderr, seconds."""
    for words in json.load(sys.stdin):
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
        begin = time.monotonic()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(words)
        said = []
        for stream in (out, err):
            stream.flush()
            assert isinstance(stream.buffer, io.BytesIO)
            said.append(stream.buffer.getvalue().decode("utf-8", "replace"))
        print(json.dumps([code, *said, time.monotonic() - begin]), flush=True)


if __name__ == "__main__":
    main()
