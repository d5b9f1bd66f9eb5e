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
            _say_nothing_to_do(text, "" if wanted.quiet else "nothing to do\n")
    from ovtasks.cli.main import run

    return run(words)


def doit_known() -> int:
    """What ``doitw`` asks first: print what doit would, if that is known and nothing is to do; else end with 1."""
    _before_any_import()
    from ovtasks.graph.manifest import doit_answer

    text = doit_answer(sys.argv[1:])
    if text is not None:
        _say_nothing_to_do(text, "")
    return 1


def doit() -> int:
    """What ``doitw`` runs in place of doit's own script: Ctrl-C is silent while modules are loaded."""
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
    """Ctrl-C ends us at once and silently while there is nothing to tidy up, and the three standard streams are there.

    A closed one would give its number to the next file that is opened, and that file would get our messages.
    """
    if _signal.getsignal(_signal.SIGINT) is not _signal.SIG_IGN:  # ignored in the background of a script
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    if None in (sys.stdin, sys.stdout, sys.stderr):
        from ovtasks.host.streams import open_closed

        open_closed()


def _say_nothing_to_do(text: str, note: str) -> None:
    """Answer and end. Does nothing where the answer cannot be written: the long way says why."""
    try:
        data = text.encode(sys.stdout.encoding or "utf-8", "surrogateescape")
        while data:
            data = data[os.write(1, data) :]
        os.write(2, note.encode())
    except (OSError, UnicodeError):
        return
    os._exit(0)  # nothing is open: skip freeing the manifest piece by piece
