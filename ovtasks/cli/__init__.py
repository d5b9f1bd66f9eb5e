"""The command line ``ov``: it reads words, calls the rooms below, and prints.

Nothing is imported here, because "nothing to do" is answered before anything else is loaded.
"""

import _signal  # type: ignore[import-not-found]  # signal loads enum: a tenth of the whole fast path
import os
import sys


def main() -> int:
    """Entry point of the console script; returns the exit code."""
    _before_any_import()
    words = sys.argv[1:]
    if "build" in words:
        from ovtasks.graph.manifest import answer, asked

        wanted = asked(words)
        text = answer(wanted) if wanted is not None else None
        if wanted is not None and text is not None:
            _say_nothing_to_do(text, "" if wanted.quiet else f"{wanted.warnings}nothing to do\n")
    if words[:1] == ["__complete"]:
        from ovtasks.cli.complete import main as complete

        return complete(words[1:])
    from ovtasks.cli.main import run

    return run(words)


def doit_known() -> int:
    """What ``doitw`` calls first: if there is certainly nothing to do, print what doit would print; else return 1."""
    _before_any_import()
    from ovtasks.graph.manifest import doit_answer

    found = doit_answer(sys.argv[1:])
    if found is not None:
        _say_nothing_to_do(*found)
    return 1


def doit() -> int:
    """What ``doitw`` runs instead of doit's own script, so that Ctrl-C is silent while modules are loaded."""
    _before_any_import()
    sys.argv[0] = "doit"
    sys.path[:] = filter(None, sys.path)  # not the current folder, whichever that will be
    from doit.doit_cmd import DoitMain

    from ovtasks.graph import manifest, surface

    manifest.launched = sys.argv[1:]
    with surface.interruptible():
        code: int = DoitMain().run(sys.argv[1:])
        return code


def _before_any_import() -> None:
    """Let Ctrl-C end us silently as long as there is nothing to tidy up, and open closed standard streams.

    Otherwise the next file that is opened would get the number of a closed stream, and our messages with it.
    """
    if _signal.getsignal(_signal.SIGINT) is not _signal.SIG_IGN:  # ignored in the background of a script
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    if None in (sys.stdin, sys.stdout, sys.stderr):
        from ovtasks.host.streams import open_closed

        open_closed()


def _say_nothing_to_do(text: str, note: str) -> None:
    """Print the answer and end the process. Return if it cannot be written; the slow path then says why."""
    try:
        data = text.encode(sys.stdout.encoding or "utf-8", "surrogateescape")
        while data:
            data = data[os.write(1, data) :]
        os.write(2, note.encode())
    except (OSError, UnicodeError):
        return
    os._exit(0)  # nothing is open: skip freeing the manifest piece by piece
