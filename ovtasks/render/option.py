"""QEMU's way to write an option: ``head,key=value,…`` where a comma inside a value is doubled (qemu(1))."""

from __future__ import annotations


def option(head: str | None, /, **values: object) -> str:
    """One word of the command line; values that are None are left out.

    Keys with a hyphen or a dot are given as ``**{"read-only": "on"}``.
    """
    pairs = [f"{key}={_escape(value)}" for key, value in values.items() if value is not None]
    return ",".join([*([_escape(head)] if head is not None else []), *pairs])


def device(model: str, /, **values: object) -> tuple[str, str]:
    """``-device`` and its value."""
    return "-device", option(model, **values)


def _escape(value: object) -> str:
    return str(value).replace(",", ",,")
