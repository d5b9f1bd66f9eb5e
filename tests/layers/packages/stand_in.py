"""Stand-ins for package managers that Debian does not have, or that ask servers: ``stand_in.py apk|dnf|rpm WORD…``.

They note their command lines in /srv/log. What is there and what was asked for are the words of two files.
"""

from __future__ import annotations

import sys
from pathlib import Path

NEEDS = {"app": ["lib"], "tool": ["lib"]}
KNOWN = {"base", "lib", "app", "tool"}
LOG, WORLD = Path("/srv/log"), Path("/etc/apk/world")
MODULES, COPR = Path("/srv/modules"), Path("/etc/yum.repos.d/_copr:copr.example.org:owner:project.repo")


def closure(names: set[str]) -> set[str]:
    """Packages and all that they need."""
    return names | {need for name in names for need in NEEDS.get(name, [])}


def apk(words: list[str]) -> int:
    plain = [word for word in words if not word.startswith("-") and word != "300"]
    world = set(WORLD.read_text().split())
    match plain:
        case ["info", *names]:
            found = sorted(closure(world))
            lines = [name for name in found if name in names] if names else [f"{name}-1.0-r0" for name in found]
            sys.stdout.write("".join(f"{line}\n" for line in lines))
        case ["add", *names] if set(names) - KNOWN:
            print(f"ERROR: unable to select packages:\n  {names[0]} (no such package)", file=sys.stderr)
            return 1
        case ["add", *names] if "--simulate" not in words:
            WORLD.write_text("\n".join(sorted(world | set(names))) + "\n")
        case ["del", *names]:
            WORLD.write_text("\n".join(sorted(world - set(names))) + "\n")
        case ["update"]:
            return "none" in Path("/etc/apk/repositories").read_text()
    return 0


def dnf(words: list[str]) -> int:
    match [word for word in words if not word.startswith("-")]:
        case ["copr", "enable", _]:
            COPR.write_text("[copr]\nenabled=1\n")
        case ["copr", "remove", _]:
            COPR.unlink()
        case ["module", "enable", stream]:
            MODULES.write_text(stream)
        case ["module", "reset", _]:
            MODULES.write_text("")
        case ["module", "list", name]:
            stream = MODULES.read_text().partition(":")[2]
            print(f"Name Stream Profiles Summary\n{name} {stream} [e] common [d] a module" if stream else "")
    return 0


def rpm(words: list[str]) -> int:
    print("| dnf-plugins-core noarch 1-1 " if "-q" in words or "-qa" in words else "")
    return 0


if __name__ == "__main__":
    with LOG.open("a") as file:
        file.write(" ".join(sys.argv[1:]) + "\n")
    sys.exit({"apk": apk, "dnf": dnf, "rpm": rpm}[sys.argv[1]](sys.argv[2:]))
