"""Whose mistake an error is. One VM's mistake is that VM's: the others build and run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ovtasks.errors import InputError, InputErrors
from ovtasks.project.declared import DeclaredImage, DeclaredVm
from ovtasks.project.images import chain_of, foreign_error, is_foreign

if TYPE_CHECKING:
    from ovtasks.project.deploy_entry import Entry
    from ovtasks.project.model import Project

Mistakes = dict[str, tuple[InputError, ...]]
"""What is wrong, by owner: a VM's name, ``image:<name>``, ``deploy:<name>``."""


def merged(errors: Iterable[InputError]) -> list[InputError]:
    """Each error once, with the owners of all that read the same."""
    found: dict[str, InputError] = {}
    for error in errors:
        found.setdefault(str(error), error).of(*error.owners)
    return [*found.values()]


def blame(
    errors: Sequence[InputError],
    vms: Mapping[str, DeclaredVm],
    images: Mapping[str, DeclaredImage],
    entries: Iterable[Entry],
) -> None:
    """Add those that depend on a wrong entry: the VM of a deployment, the VMs and images that an image is for, and the
    clones of a VM."""
    if not errors:
        return
    from ovtasks.project.clones import ancestors

    heirs: dict[str, list[str]] = {}
    for entry in entries:
        from ovtasks.project.deploy_entry import vm_of

        if vm := vm_of(entry, list(vms)):
            heirs.setdefault(entry.owner, []).append(vm)
    for image in images.values():
        for base in chain_of(image.name, images):
            heirs.setdefault(base.owner, []).append(image.owner)
    for one in vms.values():
        for base in chain_of(one.text("source", "image"), images) if one.text("source", "kind") == "bootc" else ():
            heirs.setdefault(base.owner, []).append(one.name)
    clones: dict[str, list[str]] = {}
    for one in vms.values():
        for ancestor in ancestors(one, vms):
            clones.setdefault(ancestor.name, []).append(one.name)
    for heritage in (heirs, clones):
        for error in errors:
            error.of(*(heir for owner in error.owners for heir in heritage.get(owner, ())))


def mistakes(errors: Iterable[InputError], images: Mapping[str, DeclaredImage]) -> Mistakes:
    """The errors by owner. An image that ov cannot build is a mistake for who needs it, and for nobody else."""
    found: dict[str, list[InputError]] = {}
    for error in errors:
        for owner in sorted(error.owners):
            found.setdefault(owner, []).append(error)
    for image in images.values():
        for base in chain_of(image.name, images):
            if is_foreign(base):
                found.setdefault(image.owner, []).append(foreign_error(base))
    return {owner: tuple(wrong) for owner, wrong in found.items()}


def one_of(errors: Sequence[InputError]) -> InputError:
    """The errors as one that can be raised."""
    return errors[0] if len(errors) == 1 else InputErrors(errors)


def owners_in(words: Iterable[str]) -> list[str]:
    """Whom words such as ``arch``, ``disk:arch:raw``, ``vm:arch/dev``, ``image:desktop`` or ``arch-vm`` may mean."""
    found: list[str] = []
    for word in words:
        verb, _, rest = word.partition(":")
        found += [word, f"deploy:{word}"]
        if rest and verb not in {"image", "deploy"}:
            found.append(rest.partition(":")[0].partition("/")[0])
    return found


def raise_wrong(project: Project, owners: Iterable[str]) -> None:
    """Raise what is wrong with one of the ``owners``, if anything is.

    :raises InputErrors: so it is.
    """
    wrong = [error for owner in owners for error in project.wrong.get(owner, ())]
    if wrong:
        raise InputErrors(merged(wrong))


def warnings(project: Project) -> list[str]:
    """The mistakes in a project as warnings, for who needs none of the wrong entries."""
    return [f"warning: {error}" for error in project.mistakes]
