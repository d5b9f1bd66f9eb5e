"""Layers and systems for tests, without files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ovtasks.errors import Where
from ovtasks.layers.context import LayerContext
from ovtasks.layers.facts import SystemFacts
from ovtasks.layers.kind import OperationKind
from ovtasks.layers.operation import Operation
from ovtasks.project.layer_model import LayerPart, LayerSpec, Named
from ovtasks.values.jsonvalue import Json

WHERE = Where("layers/x/layer.yml", 1, 1)
DEBIAN = SystemFacts(
    "debian",
    "13",
    codename="trixie",
    user="ada",
    uid=1000,
    gid=1000,
    home="/home/ada",
    shells=("sh", "bash", "zsh", "fish"),
)


def part(data: Mapping[str, Json], line: int = 1) -> LayerPart:
    """A part whose values stand on lines of their own, below ``line``."""
    places = {key: Where(WHERE.file, line + number, 3) for number, key in enumerate(data, 1)}
    return LayerPart(dict(data), Where(WHERE.file, line, 1), places)


def layer(
    name: str = "x",
    *,
    env: Mapping[str, str] | None = None,
    path_append: Sequence[str] = (),
    shells: Mapping[str, Json] | None = None,
    services: Sequence[Mapping[str, Json]] = (),
    variables: Mapping[str, str] | None = None,
    packages: Sequence[str] = (),
) -> LayerSpec:
    """A layer with what these tests are about."""
    return LayerSpec(
        name,
        Path("layers", name),
        WHERE,
        environment=None if env is None else part(dict(env), 10),
        path_append=tuple(Named(folder, Where(WHERE.file, 30, 3)) for folder in path_append),
        shell=None if shells is None else part(shells, 40),
        services=tuple(part(one, 50 + 10 * number) for number, one in enumerate(services)),
        variables=variables or {},
        sections={"": part({"packages": list(packages)})} if packages else {},
    )


def operations(
    kind: OperationKind,
    one: LayerSpec,
    facts: SystemFacts = DEBIAN,
    *,
    environment: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
) -> list[Operation]:
    """What ``kind`` makes of a layer."""
    return list(kind.layer(one, LayerContext(one, facts, environment or {}, secrets or {})))
