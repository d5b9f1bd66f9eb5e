"""``ov vm view``: a VM's display in a window."""

from __future__ import annotations

import argparse

from ovtasks.cli.common import add_instance, find_record
from ovtasks.errors import EXIT_DONE, OvError


def arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm view``."""
    parser.description = (
        "Open the VM's display in remote-viewer (SPICE or VNC), and wait until the window is closed. "
        "The display's password never appears on a command line. Without a viewer or a graphical "
        "session, print the address."
    )
    add_instance(parser)
    parser.add_argument("--type", choices=("spice", "vnc"), help="which display, if the VM has both (spice)")
    parser.add_argument("--address", action="store_true", help="print the display's address, open nothing")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Open the display; returns the viewer's exit status.

    :raises OvError: the VM is off or headless, or no viewer can be opened; then the address was printed.
    """
    from ovtasks.probes.viewer import address, display_of, unable, view

    record = find_record(args)
    place = display_of(record, args.type)
    if args.address:
        print(address(place))
        return EXIT_DONE
    if (problem := unable(place)) is not None:
        print(address(place), flush=True)
        why, hint = problem
        raise OvError(f"cannot show {record.words}: {why}", hint=hint)
    return view(record, place)
