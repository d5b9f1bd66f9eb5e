"""Which instances ``ov update`` may destroy: those of which their own entry in ``deploy.yml`` says so."""

from __future__ import annotations

from pathlib import Path

from ovtasks.deploy.wanted import find_deployment
from ovtasks.errors import InputError, RefusedError, Where
from ovtasks.project.deploy_model import PREFIX, Deployment
from ovtasks.project.model import Project
from ovtasks.project.places import display


def find_disposable(project: Project, name: str, instance: str | None = None) -> Deployment:
    """The deployment of the instance that is to be updated. ``name`` is a VM's or a deployment's.

    Only the entry of this instance counts, not that of another instance of the VM, nor its ``lifecycle``.

    :raises InputError: there is no such VM, or several entries are for the instance.
    :raises RefusedError: the entry does not say that the instance may be destroyed; the error has file, line and edit.
    """
    found = _find(project, name, instance)
    if not found.may_be_destroyed:
        raise _refused(found)
    return found


def _find(project: Project, name: str, instance: str | None) -> Deployment:
    if name not in project.vms:
        if name in project.deployments or name.startswith(PREFIX):
            if instance is None:
                return find_deployment(project, name)
            hint = f"leave out -i {instance}, or name the VM"
            raise InputError(f"-i goes with the name of a VM, and '{name}' is a deployment's", hint=hint)
        hint = f"they are {', '.join(list(project.vms)[:8])}" if project.vms else "vms.yml declares VMs"
        raise InputError(f"no VM '{name}' is declared", hint=hint)
    own = f"{PREFIX}{name}/{instance}" if instance else f"{PREFIX}{name}"
    same = [one for one in project.deployments.values() if (one.vm, one.instance) == (name, instance)]
    if not same and instance is None:
        same = [one for one in project.deployments.values() if one.vm == name and one.ephemeral is not None]
        same = same if len(same) == 1 else []
    return find_deployment(project, same[0].name if len(same) == 1 else own)


def _refused(found: Deployment) -> RefusedError:
    lifecycle = f"lifecycle {found.lifecycle}" if found.lifecycle else "lifecycle (unset)"
    message = f"{found.words} is not disposable, so ov update does not destroy it; {lifecycle} allows nothing"
    add = f"ov deploy add {found.name} --disposable"
    if found.disposable_where is not None:
        hint = f"write there `disposable: true` in place of `disposable: false`; or {add}"
        return RefusedError(message, hint=hint, where=found.disposable_where)
    if found.where.line:
        hint = f"below `{found.name}:` in line {found.where.line} add `disposable: true`; or {add}"
        return RefusedError(message, hint=hint, where=found.where)
    line, has_key = _new_place(found.file)
    entry = f"{found.name}: {{disposable: true}}"
    what = f"to `deploy:` in line {line} add `{entry}`" if has_key else f"add `deploy: {{{entry}}}`"
    return RefusedError(message, hint=f"{what}; or {add}", where=Where(display(found.file), line, 1))


def _new_place(file: Path) -> tuple[int, bool]:
    """The line where a new entry goes: that of the key ``deploy:`` (True), or the first one after the file (False)."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return 1, False
    found = next((number for number, line in enumerate(lines, 1) if line.startswith("deploy:")), None)
    return (len(lines) + 1, False) if found is None else (found, True)
