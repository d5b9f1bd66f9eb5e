"""Deep merge of plain data, as ``cloud_init.extra`` is merged into the rendered user-data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from ovtasks.jsonvalue import Json, canonical

T = TypeVar("T", bound=Json)


def deep_merge(base: Json, over: Json) -> Json:
    """Mappings are merged key by key, lists get the items they lack appended; anything else in ``over`` wins."""
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        merged = dict(base)
        for key, value in over.items():
            merged[key] = deep_merge(base[key], value) if key in base else value
        return merged
    if isinstance(base, list | tuple) and isinstance(over, list | tuple):
        there = {canonical(item) for item in base}
        return [*base, *unique(item for item in over if canonical(item) not in there)]
    return over


def unique(items: Iterable[T]) -> list[T]:
    """The items in their order, later equal ones dropped."""
    seen: dict[str, T] = {}
    for item in items:
        seen.setdefault(canonical(item), item)
    return list(seen.values())
