"""``ov vm import``."""

from __future__ import annotations

import argparse

from ovtasks.cli.common import note, open_project
from ovtasks.errors import EXIT_DONE


def import_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov vm import``."""
    parser.description = (
        "Add a libvirt domain to vms.yml, and adopt its disk. OV_LIBVIRT_URI selects another "
        "connection. The domain must be off; ov only reads it. Notes name what could not be imported."
    )
    parser.add_argument("domain", metavar="DOMAIN", help="the domain's name, as virsh list --all shows it")
    parser.add_argument("--name", metavar="NAME", help="the VM's name (default: the domain's)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--copy", action="store_true", help="copy the disk into the project's folder imported/ (the default)"
    )
    how.add_argument(
        "--reference",
        action="store_true",
        help="use the disk where it is; never start the domain while the VM exists",
    )
    parser.set_defaults(run=run_import)


def run_import(args: argparse.Namespace) -> int:
    """Import a domain."""
    from ovtasks.sources.imported.adopt import Wish, import_domain
    from ovtasks.sources.new_entry import declaring

    say = note(args)
    project = open_project(args)
    wish = Wish(args.domain, args.name or args.domain, args.reference)
    with declaring(project, say):
        done = import_domain(wish, open_project(args), say)
    if done:
        say.note(f"{wish.name}: imported from {wish.domain}; `ov vm create {wish.name}` builds and starts it")
    else:
        say.note(f"{wish.name} is imported from {wish.domain} already")
    return EXIT_DONE
