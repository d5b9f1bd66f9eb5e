"""``ov report``: the project on one page that any browser shows, without a network."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ovtasks.cli.common import note, open_project
from ovtasks.errors import EXIT_DONE

HERE = Path(__file__).parent
DEFAULT = "output/report.html"


def arguments(parser: argparse.ArgumentParser) -> None:
    """``ov report``."""
    parser.description = (
        "Write a page about the project: each VM's graph with states and reasons, the last run and its critical path, "
        "instances, disk use, and what gc would free. It is one file, and needs no network."
    )
    parser.add_argument("--output", metavar="FILE", help=f"where to write it ({DEFAULT} in the project); - for stdout")
    parser.add_argument("--open", action="store_true", help="open it in the browser")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the page, and print its path.

    :raises OvError: it cannot be written.
    """
    from ovtasks.cli.report.facts import gather
    from ovtasks.cli.report.page import render
    from ovtasks.graph.chains import Graph
    from ovtasks.probes.output import save

    project = open_project(args)
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    page = render(gather(Graph(project)), style, script).encode("utf-8", "replace")
    if args.output == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(page)
        return EXIT_DONE
    path = Path(args.output).absolute() if args.output else project.root / DEFAULT
    save(path, page)
    print(args.output or path)
    if args.open:
        import webbrowser

        if not webbrowser.open(path.as_uri()):
            note(args).note(f"no browser can be opened from here; open {path.as_uri()} in one")
    return EXIT_DONE
