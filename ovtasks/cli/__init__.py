"""``ov``: the command line. Nothing is imported here: "nothing to do" is answered before anything else is loaded."""

import os
import sys


def main() -> int:
    """Entry point of the console script; returns the exit code."""
    words = sys.argv[1:]
    if words[:2] == ["vm", "build"]:
        from ovtasks.graph.manifest import answer

        text = answer(words[2:])
        if text is not None:
            sys.stderr.write("nothing to do\n")
            sys.stdout.write(text)
            sys.stdout.flush()
            os._exit(0)  # nothing is open: skip freeing the manifest piece by piece
    from ovtasks.cli.main import run

    return run(words)
