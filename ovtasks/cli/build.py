"""Builds through doit, for every command that needs artifacts."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ovtasks.cli.streams import say_errors
from ovtasks.errors import EXIT_DONE, EXIT_FAILED, OvError
from ovtasks.graph.chains import Chain, Graph

if TYPE_CHECKING:
    from ovtasks.graph.display import Display


def run_goals(
    graph: Graph,
    goals: Sequence[str],
    *,
    quiet: bool = False,
    options: Sequence[str] = (),
    idle: str = "nothing to do",
    display: Display | None = None,
) -> int:
    """Run doit's ``goals`` (words with their parameters) on ``graph``; returns the exit code.

    ``options`` are those of doit's ``run``; ``idle`` is printed if no step ran. ``display`` shows the steps in place of
    lines for people.
    """
    from doit.doit_cmd import DoitMain

    from ovtasks.graph.commands import Run
    from ovtasks.graph.display import Display
    from ovtasks.graph.loader import OvLoader

    class Main(DoitMain):  # type: ignore[misc]
        """Has only our ``run``, which no plugin can replace."""

        DOIT_CMDS = (Run,)

    display = display or Display(quiet=quiet)
    quiet = display.quiet
    unseen = io.StringIO()
    loader = OvLoader(display, graph.project, out=unseen if quiet else sys.stderr)
    backend = {"BACKEND": {"ovtasks": "ovtasks.graph.database:WalDB"}}  # works without the entry point, too
    code = Main(loader, config_filenames=(), extra_config=backend).run(["run", *options, *goals])
    if quiet:
        _say_failures(display.failures, unseen.getvalue() if code else "")
    if display.failures:
        return max(error.exit_code for error in display.failures)
    if idle and not display.started:
        display.print(idle)
    return EXIT_FAILED if code else EXIT_DONE


def note_built(graph: Graph, chains: Sequence[Chain], words: list[str], loaded_ns: int) -> None:
    """Note for the fast path that ``ov vm build WORDS`` has nothing to do, if every step of ``chains`` is fresh.

    ``loaded_ns`` is the time before the project was read (nanoseconds since the epoch).
    """
    from ovtasks.graph.manifest import OV, built
    from ovtasks.graph.save_manifest import relative, save_manifest

    root = graph.project.root
    if built(str(root), words) is None:
        lines = [relative(path, root) for chain in chains for path in chain.artifacts]
        save_manifest(graph, chains, (OV, words), lines, loaded_ns)


def _say_failures(failures: Sequence[OvError], said: str) -> None:
    """Print why something failed, since ``-q`` hides doit's report: our errors, else what doit ``said``."""
    say_errors(failures)
    if said and not failures:
        print(said.rstrip(), file=sys.stderr)
