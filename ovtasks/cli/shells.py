"""``ov completion``."""

from __future__ import annotations

import argparse
import sys
from importlib.resources import files

from ovtasks.errors import EXIT_DONE

SHELLS = {
    "bash": 'eval "$(ov completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(ov completion zsh)" in ~/.zshrc, after compinit',
    "fish": "ov completion fish | source in ~/.config/fish/config.fish",
}
"""Each shell, and what its user writes where."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """``ov completion``."""
    parser.description = (
        "Print the lines that set up completion in a shell, for ov and doitw: commands, options, and "
        "the names of VMs, instances, layers, images, deployments and snapshots."
    )
    parser.epilog = "; ".join(f"{shell}: {line}" for shell, line in SHELLS.items())
    parser.add_argument("shell", choices=tuple(SHELLS), metavar="SHELL", help=", ".join(SHELLS))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print a shell's lines, and make what the first answer would have to wait for."""
    from ovtasks.cli.offers import offers

    offers()
    sys.stdout.write((files(__package__) / "completion" / args.shell).read_text(encoding="utf-8"))
    return EXIT_DONE
