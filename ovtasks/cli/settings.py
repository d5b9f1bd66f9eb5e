"""``ov settings``: what the user has decided for all projects."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ovtasks.cli.common import note
from ovtasks.cli.streams import output_json
from ovtasks.errors import EXIT_DONE

if TYPE_CHECKING:
    from ovtasks.host.settings_table import Setting


def list_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov settings list``."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_list)


def get_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov settings get``."""
    parser.add_argument("key", metavar="KEY", help="the setting, such as vm.ram")
    parser.set_defaults(run=run_get)


def set_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov settings set``."""
    parser.add_argument("key", metavar="KEY", help="the setting, such as vm.ram")
    parser.add_argument("value", metavar="VALUE", help="its new value")
    parser.set_defaults(run=run_set)


def reset_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov settings reset``."""
    parser.add_argument("key", metavar="KEY", nargs="?", help="the setting (default: all)")
    parser.set_defaults(run=run_reset)


def path_arguments(parser: argparse.ArgumentParser) -> None:
    """``ov settings path``."""
    parser.set_defaults(run=run_path)


def run_list(args: argparse.Namespace) -> int:
    """Print all settings."""
    from ovtasks.host import settings
    from ovtasks.host.settings_table import SETTINGS

    _warn(args)
    values = {name: settings.get(name) for name in SETTINGS}
    for text in settings.passed_over():
        note(args).note(text)
    if args.json:
        data = [
            {
                "key": name,
                "value": found.value,
                "origin": found.origin,
                "source": found.source,
                "flag": SETTINGS[name].flag,
            }
            for name, found in values.items()
        ]
        output_json(data)
        return EXIT_DONE
    rows = [("KEY", "VALUE", "FROM", "MEANING")]
    rows += [(name, v.value, v.source, _meaning(SETTINGS[name])) for name, v in values.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        print("  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[-1]]))
    return EXIT_DONE


def _meaning(setting: Setting) -> str:
    return setting.meaning + (f" ({setting.flag} wins)" if setting.flag else "")


def run_get(args: argparse.Namespace) -> int:
    """Print one value."""
    from ovtasks.host import settings

    _warn(args)
    print(settings.get(args.key).value)
    return EXIT_DONE


def run_set(args: argparse.Namespace) -> int:
    """Write one value; says when a variable hides it."""
    from ovtasks.host import settings

    settings.put(args.key, args.value)
    _hidden(args)
    return EXIT_DONE


def run_reset(args: argparse.Namespace) -> int:
    """Take one value out of the file, or remove the file."""
    from ovtasks.host import settings

    settings.reset(args.key)
    _hidden(args)
    return EXIT_DONE


def run_path(args: argparse.Namespace) -> int:
    """Print the file's path."""
    from ovtasks.host import settings

    print(settings.path())
    return EXIT_DONE


def _warn(args: argparse.Namespace) -> None:
    from ovtasks.host import settings

    if (text := settings.warning()) and not args.quiet:
        print(f"ov: {text}", file=sys.stderr)


def _hidden(args: argparse.Namespace) -> None:
    """Tell the user which variables win over the values just written."""
    import os

    from ovtasks.host.settings_table import SETTINGS

    for name, setting in SETTINGS.items():
        if args.key in {name, None} and os.environ.get(setting.variable) and not args.quiet:
            print(f"ov: {setting.variable} is set and wins over {name} in the file", file=sys.stderr)
