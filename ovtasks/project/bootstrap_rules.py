"""Rules between the fields of a bootstrap VM: what its distribution's builder has a use for."""

from __future__ import annotations

from collections.abc import Iterator

from ovtasks.errors import InputError
from ovtasks.project.declared import DeclaredVm

ROLLING = ("archlinux", "cachyos")
"""Distributions that pacstrap makes."""
OF_PACSTRAP = ("mirror", "repositories", "keyring")
OF_MMDEBSTRAP = ("suite", "bootstrap_variant")


def bootstrap_rules(vm: DeclaredVm) -> Iterator[InputError]:
    """Each distribution has its own builder, with fields that the other has no use for."""
    if vm.text("source", "kind") != "bootstrap":
        return
    distro, builder = vm.text("source", "distro") or "debian", vm.text("source", "builder")
    rolling = distro in ROLLING
    if builder is not None and (builder == "pacstrap") != rolling:
        right = "pacstrap" if rolling else "mmdebstrap"
        hint = f"builder: {right}" if rolling else f"distro: {' or '.join(ROLLING)}; or builder: {right}"
        yield vm.error(f"builder {builder} does not make {distro}", "source", "builder", hint=hint)
    for key in OF_MMDEBSTRAP if rolling else OF_PACSTRAP:
        if vm.get("source", key) is not None:
            what = "rolls" if rolling else "has the mirrors and keys of apt"
            yield vm.error(
                f"{key} has no meaning for {distro}, which {what}", "source", key, key=True, hint="remove it"
            )
