"""Chooses the backend of a new instance, and says why."""

from __future__ import annotations

from dataclasses import dataclass

from ovtasks.backends.contract import Backend, backend
from ovtasks.errors import OvError
from ovtasks.host import settings
from ovtasks.project.model import VmSpec

AUTO = ("libvirt", "qemu")
"""The backends that ``auto`` tries, the preferred one first."""


@dataclass(frozen=True)
class Choice:
    """The chosen backend; ``why`` gives the reason in words."""

    backend: Backend
    why: str


def choose(vm: VmSpec, uri: str | None = None) -> Choice:
    """Choose the backend.

    The VM's ``backend:`` comes first. If it is ``auto``, the setting ``vm.backend`` decides (``OV_VM_BACKEND`` wins
    over the file). If that is ``auto`` too, a ``uri`` means libvirt; without one, libvirt is tried, then qemu.

    :raises OvError: no backend can be used; the message gives every reason.
    """
    if vm.backend != "auto":
        return _named(vm.backend, f"backend: {vm.backend} in {vm.where}", uri)
    setting = settings.get("vm.backend")
    if setting.value != "auto":
        return _named(setting.value, f"vm.backend from {setting.source}", uri)
    if uri is not None:
        return _named("libvirt", f"the connection {uri} was asked for", uri)
    problems: list[tuple[str, OvError]] = []
    for kind in AUTO:
        try:
            found = backend(kind).probe(uri, start=True)
        except OvError as e:
            problems.append((kind, e))
        else:
            without = "".join(f"; no {name}: {problem.message.splitlines()[0]}" for name, problem in problems)
            return Choice(backend(kind), f"{found}{without}")
    reasons = "".join(f"\n  {name}: {problem.message}" for name, problem in problems)
    hints = "; or ".join(dict.fromkeys(problem.hint for _, problem in problems if problem.hint))
    raise OvError(f"no backend can run VMs here:{reasons}", hint=hints or "ov doctor")


def _named(kind: str, why: str, uri: str | None) -> Choice:
    chosen = backend(kind)
    try:
        found = chosen.probe(uri, start=True)
    except OvError as e:
        raise OvError(f"{e.message} ({why})", hint=e.hint, where=e.where) from e
    return Choice(chosen, f"{found} ({why})")
