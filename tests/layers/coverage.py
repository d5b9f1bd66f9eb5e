"""How many layers of a folder are carried out whole, for each distribution: ``python -m tests.layers.coverage FOLDER``.

``FOLDER`` has ``layers/<name>/layer.yml``. A layer is carried out whole when nothing of it is skipped, nothing is an
error, and all that it needs is carried out, too. A needed layer that is not in the folder counts as one that is not
carried out, and once more as one that is, for a folder that holds only some of its project's layers.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ovtasks.errors import OvError, Where
from ovtasks.layers.facts import SystemFacts
from ovtasks.layers.plan import compile_layer
from ovtasks.project.layer_model import LayerSpec
from ovtasks.project.layers import Layers
from ovtasks.project.schema import Checker

USER = {"user": "user", "uid": 1000, "gid": 1000, "home": "/home/user", "shells": ("bash", "zsh", "fish", "sh")}
SYSTEMS: Mapping[str, SystemFacts] = {
    "fedora": SystemFacts("fedora", "43", **USER),  # type: ignore[arg-type]
    "debian-13": SystemFacts("debian", "13", codename="trixie", **USER),  # type: ignore[arg-type]
    "ubuntu-24.04": SystemFacts("ubuntu", "24.04", ("debian",), "noble", **USER),  # type: ignore[arg-type]
    "archlinux": SystemFacts("arch", **USER),  # type: ignore[arg-type]
}
ABSENT = "is not in the folder"


@dataclass(frozen=True)
class Coverage:
    """What is missing of each layer on each system, by names. ``absent`` are needed layers that the folder lacks."""

    missing: Mapping[str, Mapping[str, Sequence[str]]]
    needs: Mapping[str, Sequence[str]]
    absent: frozenset[str]

    def whole(self, layer: str, system: str, *, lenient: bool = False) -> bool:
        """Whether a layer is carried out with all that it needs. ``lenient``: absent ones count as such."""
        if layer in self.absent:
            return lenient
        alone = not self.missing[layer][system]
        return alone and all(self.whole(need, system, lenient=lenient) for need in self.needs[layer])

    def somewhere(self, layer: str, *, lenient: bool = False) -> bool:
        """Whether it is carried out on one of the systems."""
        return any(self.whole(layer, system, lenient=lenient) for system in SYSTEMS)


def coverage(folder: Path) -> Coverage:
    """Compile every layer of the folder for every system."""
    layers = Layers(folder, Checker(), lambda path: None)
    found: dict[str, dict[str, list[str]]] = {}
    needs: dict[str, list[str]] = {}
    for name in layers.names():
        errors: list[OvError] = []
        layer = next((one for one in layers.order([(name, Where(name))], errors) if one.name == name), None)  # type: ignore[arg-type]
        own = [error.message for error in errors if "there is no layer" not in error.message] if layer is None else []
        found[name] = {key: own if layer is None else missing(layer, facts) for key, facts in SYSTEMS.items()}
        needs[name] = [need.name for need in layer.requires] if layer else []
    absent = frozenset(need for all_of_it in needs.values() for need in all_of_it if need not in found)
    return Coverage(found, needs, absent)


def missing(layer: LayerSpec, facts: SystemFacts) -> list[str]:
    """What of a layer is not carried out on a system. Inputs and secrets are given."""
    given = {str(one.data["name"]): "given" for one in (*layer.env_inputs, *layer.secrets)}
    try:
        plan = compile_layer(layer, facts, {}, given)
    except OvError as e:
        return [f"error: {e.message}"]
    return [f"{one.what}: {one.why}" for one in plan.skipped]


def table(found: Coverage) -> str:
    """The counts, a row a system, then the reasons."""
    total = len(found.missing)
    lines = [f"{'':14}{'alone':>8}{'whole':>8}{'whole, if absent layers were':>32}"]
    for system in SYSTEMS:
        alone = sum(not reasons[system] for reasons in found.missing.values())
        whole = [sum(found.whole(name, system, lenient=lenient) for name in found.missing) for lenient in (False, True)]
        lines.append(f"{system:14}{alone:>8}{whole[0]:>8}{whole[1]:>32}")
    alone = sum(any(not one for one in reasons.values()) for reasons in found.missing.values())
    whole = [sum(found.somewhere(name, lenient=lenient) for name in found.missing) for lenient in (False, True)]
    lines.append(f"{'on one of them':14}{alone:>8}{whole[0]:>8}{whole[1]:>32}")
    lines.append(f"of {total} layers; {len(found.absent)} that they need are not in the folder")
    return "\n".join(lines)


def reasons(found: Coverage) -> str:
    """What is missing most, then each layer that is carried out nowhere."""
    count: Counter[str] = Counter()
    for by_system in found.missing.values():
        if all(by_system.values()):
            count.update({reason for one in by_system.values() for reason in one})
    lines = [f"{number:4} {reason}" for reason, number in count.most_common()]
    for name in found.missing:
        if not found.somewhere(name, lenient=True):
            why = {reason for one in found.missing[name].values() for reason in one}
            below = [need for need in found.needs[name] if not found.somewhere(need, lenient=True)]
            lines.append(f"{name}: {'; '.join(sorted(why)) or f'needs {below}'}")
    return "\n".join(lines)


if __name__ == "__main__":
    result = coverage(Path(sys.argv[1]))
    print(table(result))
    print(reasons(result))
