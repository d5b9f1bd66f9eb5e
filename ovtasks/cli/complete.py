"""What may come next on a command line, for the shells: ``ov __complete WORD…``, up to the word at the cursor.

Each line of the answer is a word, a tab, and what it means. It must be quick and never fail.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

from ovtasks.cli.names import Names
from ovtasks.cli.offers import Offers, Parameter, Verb, offers

GOALS = ("build", "create", "define", "deploy", "destroy", "image", "start", "stop")
"""doit's tasks that take a name behind a colon, beside those of steps."""
DOIT = ("bench", "clean", "demo", "dumpdb", "forget", "help", "ignore", "info", "list", "reset-dep", "run", "test")
Meanings = Mapping[str, str]
"""Words with what they mean, which may be empty."""


def candidates(words: Sequence[str]) -> dict[str, str]:
    """What may stand in place of the last word, which begins it. The first word is the program's name."""
    program, *before, current = words
    known = offers()
    names = Names(os.environ.get("OV_PROJECT_DIR") or ".")
    if os.path.basename(program) == "doitw":  # noqa: PTH119
        found: Meanings = _goals(before, current, names, known)
    else:
        found = _of_ov(before, current, names, known)
    return {word: found[word] for word in sorted(found) if word.startswith(current)}


def _plain(words: Iterable[str]) -> dict[str, str]:
    return dict.fromkeys(words, "")


def _goals(before: Sequence[str], current: str, names: Names, known: Offers) -> Meanings:
    """Goals of doit, and their options."""
    if current.startswith("-"):
        if any(word.startswith("build") for word in before):
            own = ("-h", "--help", "-n", "--jobs", "--continue")
            options = known.commands["vm", "build"].options
            return {name: one.help for name, one in options.items() if name not in own}
        return {"--fast": "only the quick tests"} if "test" in before else {"--yes": "install what is missing"}
    verb, colon, _ = current.partition(":")
    steps = _step_verbs(names, known)
    if not colon:
        return _plain([f"{goal}:" for goal in (*GOALS, *steps)] + [*DOIT, "build"])
    return _plain(f"{verb}:{name}" for name in _behind(verb, names, steps))


def _step_verbs(names: Names, known: Offers) -> dict[str, list[str]]:
    """The VMs that have such a step, by the step's verb."""
    found: dict[str, list[str]] = {}
    for vm, kind in names.kinds().items():
        for verb in known.steps.get(kind, ()):
            found.setdefault(verb, []).append(vm)
    return found


def _behind(verb: str, names: Names, steps: Mapping[str, Iterable[str]]) -> Iterable[str]:
    """What may stand behind the colon."""
    if verb == "image":
        return names.images() | {*steps.get(verb, ())}
    if verb in steps:
        return steps[verb]
    return names.deployments() if verb == "deploy" else names.vms()


def _of_ov(before: Sequence[str], current: str, names: Names, known: Offers) -> Meanings:
    path: tuple[str, ...] = ()
    at = 0
    while at < len(before):
        word = before[at]
        at += 1
        option = known.commands[path].options.get(word)
        if option is not None and option.takes:
            if at == len(before):
                return _plain(option.words)
            names = Names(before[at]) if word == "-C" else names
            at += 1
        elif word.startswith("-C"):
            names = Names(word[2:])
        elif not word.startswith("-"):
            if (*path, word) not in known.commands:
                return {}
            path = (*path, word)
            if not known.commands[path].verbs:
                return _Rest(path, before[at:], names, known).offered(current)
    verb = known.commands[path]
    return {name: one.help for name, one in verb.options.items()} if current.startswith("-") else verb.verbs


class _Rest:
    """The words behind a verb."""

    def __init__(self, path: tuple[str, ...], before: Sequence[str], names: Names, known: Offers) -> None:
        self._path, self._before, self._names, self._known = path, before, names, known
        self._verb: Verb = known.commands[path]
        self._words: list[str] = []
        self._given: dict[str, list[str]] = {}
        self._waiting: Parameter | None = None
        for word in before:
            self._read(word)

    def _read(self, word: str) -> None:
        """Take a word for an option, an option's value, or an argument."""
        options = self._verb.options
        name, equals, value = word.partition("=")
        if self._waiting is not None:
            self._given.setdefault(self._waiting.dest, []).append(word)
            self._waiting = None
        elif name in options:
            option = options[name]
            self._given.setdefault(option.dest, []).extend([value] if equals else [])
            self._waiting = option if option.takes and not equals else None
        elif not word.startswith("-"):
            self._words.append(word)

    def offered(self, current: str) -> Meanings:
        """Options, values of options, and arguments."""
        if "--" in self._before:
            return {}
        if self._waiting is not None:
            return self._values(self._waiting, current)
        name, equals, value = current.partition("=")
        if current.startswith("-"):
            options = self._verb.options
            if equals:
                found = self._values(options[name], value) if name in options and options[name].takes else {}
                return {f"{name}={word}": text for word, text in found.items()}
            return {word: one.help for word, one in options.items() if one.many or one.dest not in self._given}
        count = len(self._words)
        for one in self._verb.arguments:
            if one.many:
                return {word: text for word, text in self._values(one, current).items() if word not in self._words}
            if count == 0:
                return self._values(one, current)
            count -= 1
        return {}

    def _values(self, value: Parameter, current: str) -> Meanings:
        """The values of an option or an argument that can be known."""
        if value.words:
            return _plain(value.words)
        names, known = self._names, self._known
        vm = self._words[0].rpartition(":")[2] if self._words else ""
        instance = next(iter(self._given.get("instance", ())), None)
        if value.dest in {"images", "image"}:
            return _plain(names.images() | {vm for vm, kind in names.kinds().items() if kind == "bootc"})
        if value.dest == "name" and self._path != ("vm", "import"):
            return _plain(names.deployments() if self._path[0] == "deploy" else {*names.deployments(), *names.vms()})
        if value.dest == "value" and self._path[0] == "settings":
            return _plain(known.values.get(self._words[0], ()))
        makers: dict[str, Callable[[], Meanings | Iterable[str]]] = {
            "NAME": names.vms if value.dest in {"vm", "vms"} else tuple,
            "VM": names.vms,
            "GOAL": lambda: self._steps(current, GOALS, names.vms()),
            "STEP": lambda: self._steps(current, ("image",), ()),
            "LAYER": names.layers,
            "INSTANCE": lambda: names.instances(vm),
            "SNAP": lambda: names.snapshots(vm, instance),
            "VM[/INSTANCE][@SNAP]": lambda: self._places(current),
            "TEMPLATE": lambda: known.lists["templates"],
            "KEY": lambda: known.lists["settings"] if self._path[0] == "settings" else (),
        }
        found = makers.get(value.metavar, tuple)()
        return found if isinstance(found, Mapping) else _plain(found)

    def _steps(self, current: str, goals: Iterable[str], alone: Iterable[str]) -> list[str]:
        """``disk:`` and the like; behind a colon the names. ``alone`` stand without a verb."""
        verb, colon, _ = current.partition(":")
        steps = _step_verbs(self._names, self._known)
        if not colon:
            return [*alone, *(f"{goal}:" for goal in (*goals, *steps))]
        return [f"{verb}:{name}" for name in _behind(verb, self._names, steps)]

    def _places(self, current: str) -> Iterable[str]:
        """``VM/INSTANCE@SNAP``."""
        whole, at, _ = current.partition("@")
        if at:
            vm, _, instance = whole.partition("/")
            return {f"{whole}@{one}" for one in self._names.snapshots(vm, instance or None)}
        vms = self._names.vms()
        return vms | {f"{vm}/{one}" for vm in vms for one in self._names.instances(vm)}


def main(words: Sequence[str]) -> int:
    """Print the candidates. A shell must not see an error in the middle of somebody's typing."""
    try:
        found = candidates(words) if len(words) > 1 else {}
    except (OSError, ValueError, LookupError, TypeError, EOFError, SystemExit):
        found = {}
    sys.stdout.write("".join(f"{word}\t{text}".rstrip() + "\n" for word, text in found.items()))
    return 0
