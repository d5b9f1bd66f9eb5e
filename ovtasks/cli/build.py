"""Building through doit, for every command that needs artifacts."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from ovtasks.errors import EXIT_DONE, EXIT_FAILED
from ovtasks.graph.chains import Graph


def run_goals(
    graph: Graph, goals: Sequence[str], *, quiet: bool = False, options: Sequence[str] = (), idle: str = "nothing to do"
) -> int:
    """Run doit's ``goals`` (words with their parameters) on ``graph``; returns the exit code.

    ``options`` are of doit's ``run``; ``idle`` is said when no step ran.
    """
    from doit.doit_cmd import DoitMain

    from ovtasks.graph.display import Display
    from ovtasks.graph.loader import OvLoader

    display = Display(quiet=quiet)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        loader = OvLoader(display, graph.project, out=nowhere if quiet else sys.stderr)
        code = DoitMain(loader, config_filenames=()).run(["run", *options, *goals])
    if display.failures:
        return max(error.exit_code for error in display.failures)
    if idle and not display.started:
        display.print(idle)
    return EXIT_FAILED if code else EXIT_DONE
