"""Deep merge of plain data, as ``cloud_init.extra`` is merged into the rendered user-data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from ovtasks.values.jsonvalue import Json, canonical
from ovtasks.values.passed import Yaml

T = TypeVar("T", bound=Json)


def deep_merge(base: Yaml, over: Yaml) -> Yaml:
    """Merge mappings key by key and join lists; of other values the one in ``over`` wins.

    An empty value (``runcmd:``) in ``over`` removes neither a list nor a mapping.
    """
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        merged = dict(base)
        for key, value in over.items():
            merged[key] = deep_merge(base[key], value) if key in base else value
        return merged
    if isinstance(base, list | tuple) and isinstance(over, list | tuple):
        return [*base, *over]
    return base if over is None and isinstance(base, Mapping | list | tuple) else over


def unique(items: Iterable[T]) -> list[T]:
    """The items in their order, without repetitions."""
    seen: dict[str, T] = {}
    for item in items:
        seen.setdefault(canonical(item), item)
    return list(seen.values())
