"""What the goals of a ``doitw`` command line need of this host.

``python -m ovtasks.cli.needs [--manager M] -- WORD…`` is run by ``doitw``; ``M`` is the package manager. It is only a
convenience before the build: files are read leniently (the build reports what is wrong with them), and a step whose
program is missing says so itself. The answer is lines for a shell to read:

``missing PACKAGE PROGRAM`` (``PROGRAM, a service`` where the package may start one), ``unknown PROGRAM`` (no package
brings it here), ``found PATH``, and ``read PATH`` for the files that decided the answer.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from glob import escape, glob
from pathlib import Path

from ovtasks.cli.checkout import GOALS, NO_SERVICES, SERVICES, STANDS_FOR
from ovtasks.errors import OvError
from ovtasks.graph import plugins
from ovtasks.host import packages
from ovtasks.host.programs import Program, as_program
from ovtasks.values.arch import arch_of
from ovtasks.values.jsonvalue import Json

SPEC_FILES = ("overthink.yml", "vms.yml", "vm.yml", "deploy.yml")
FAMILY_BY_MANAGER = {"apt-get": "debian", "dnf": "fedora", "pacman": "arch", "zypper": "suse"}

# doit's commands that run no steps.
QUIET_COMMANDS = frozenset(
    {"clean", "dumpdb", "forget", "help", "ignore", "info", "list", "reset-dep", "tabcompletion"}
)
MACHINES = frozenset({"define", "create", "start"})
"""Goals for which the VM will run."""
DEPLOY = "deploy"
"""A goal that is called after a deployment."""


def needed(words: Sequence[str], root: Path) -> tuple[str | Program, ...]:
    """The programs that doit's arguments ``words`` need in the project ``root``, sorted by name."""
    programs: set[str | Program] = set()
    patterns: list[str] = []
    running: list[str] = []
    for word in _goals(words):
        goal = STANDS_FOR.get(word, word)
        base, colon, rest = goal.partition(":")
        if goal in GOALS:
            own = words[: words.index("--")] if "--" in words else words
            programs.update({*GOALS[goal]} - {*(SERVICES if NO_SERVICES in own else ())})
        elif base == "image":  # one that image.yml declares, or a VM's
            programs.update(plugins.images().programs())
        elif base == DEPLOY:  # vm:arch/dev, arch-vm; what another name stands for is found out later
            own = rest.removeprefix("vm:").partition("/")[0]
            names = [own, own.removesuffix("-vm")] if colon else ["*"]
            patterns += names
            running += names
        elif colon or base in MACHINES or base in plugins.verbs():
            pattern = rest.split(":")[0] if colon else "*"
            patterns.append(pattern)
            running += [pattern] if base in MACHINES else []
        elif "output/" in goal:  # a target's path
            patterns.append(goal.rpartition("output/")[2].split("/")[0])
    if patterns:
        for name, vm, source in _vms(root):
            if any(fnmatchcase(name, pattern) for pattern in patterns):
                programs.update(_source_needs(source))
            if any(fnmatchcase(name, pattern) for pattern in running):
                programs.update(_machine_needs(vm))
    return tuple(sorted(programs, key=lambda need: as_program(need).name))


def _goals(words: Sequence[str]) -> list[str]:
    if (words and words[0] in QUIET_COMMANDS) or any(word in {"--help", "--version"} for word in words):
        return []
    plain = [word for word in words if not word.startswith("-") or word == "--"]
    goals = plain[: plain.index("--")] if "--" in plain else plain
    goals = [word for word in goals if word not in {"run", "auto"} and "=" not in word and not word.isdigit()]
    return goals or ["build"]


def _machine_needs(vm: Mapping[str, Json]) -> tuple[str, ...]:
    """The programs that run the VM with QEMU alone. An installed libvirt brings its own."""
    arch = arch_of(os.uname().machine)
    uefi = (arch.firmware,) if str(vm.get("firmware", "bios")) != "bios" and arch.firmware else ()
    return (f"qemu-system-{arch.qemu}", "ssh", "ssh-keyscan", *uefi)


def _source_needs(source: Mapping[str, Json]) -> Iterable[str | Program]:
    """The programs that the source's kind asks for. The build reports an unknown kind."""
    try:
        return plugins.source(str(source.get("kind"))).programs(source)
    except OvError:
        return ()


def spec_files(root: Path) -> tuple[Path, ...]:
    """The files that may declare VMs, and those that they include. They need not exist."""
    files = [root / name for name in SPEC_FILES]
    for path in files:  # the list grows during this loop
        for document in _documents(path):
            includes = document.get("includes")
            for item in [includes] if isinstance(includes, str) else includes if isinstance(includes, list) else []:
                pattern = str(Path(escape(str(path.parent))) / str(item))
                names = sorted(glob(pattern)) or [str(path.parent / str(item))]  # noqa: PTH207 - may be absolute
                files += [file for name in names if (file := Path(os.path.normpath(name))) not in files]
    return tuple(files)


def _vms(root: Path) -> Iterator[tuple[str, dict[str, Json], dict[str, Json]]]:
    """Every VM's name, its mapping, and its ``source:`` mapping."""
    for path in spec_files(root):
        for document in _documents(path):
            for key in ("vms", "vm"):
                vms = document.get(key)
                if not isinstance(vms, dict):
                    continue
                one = {vms["name"]: vms} if "source" in vms and "name" in vms else vms
                for name, vm in one.items():
                    if isinstance(vm, dict) and isinstance(source := vm.get("source"), dict):
                        yield str(name), vm, source


def _documents(path: Path) -> list[dict[str, Json]]:
    """The mappings of a YAML stream; none for a file that is missing or wrong."""
    if not path.is_file():
        return []
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        documents = list(yaml.load_all(path.read_bytes(), Loader=loader))
    except (yaml.YAMLError, OSError, ValueError, RecursionError):
        return []
    return [document for document in documents if isinstance(document, dict)]


def answer(words: Sequence[str], root: Path, family: str | None) -> Iterator[str]:
    """The lines that the head of this module describes."""
    for program in map(as_program, needed(words, root)):
        if (path := program.find()) is not None:
            yield f"found {path}"
        elif family is not None and (package := program.package(family)) is not None:
            yield f"missing {package} {program.name}{', a service' if program.name in SERVICES else ''}"
        else:
            yield f"unknown {program.name}"
    for path in spec_files(root):
        yield f"read {path}"


def main(argv: Sequence[str]) -> int:
    """Print the answer for the words of a ``doitw`` command line; returns the exit status."""
    words = list(argv)
    family = packages.family()
    if words and words[0] == "--manager":
        family = FAMILY_BY_MANAGER.get(words[1], family)
        del words[:2]
    if words and words[0] == "--":
        del words[0]
    for line in answer(words, Path.cwd(), family):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
