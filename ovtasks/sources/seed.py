"""The steps of every source with a seed: the key pair of ``key_source: generate``, and the NoCloud image."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from ovtasks.graph.step import Step, Workspace
from ovtasks.host.paths import instance_directory
from ovtasks.instance.keys import KeyChoice, ensure_key_pair, read_public_keys, resolve_keys
from ovtasks.project.model import CloneSource, CloudInit, Project, VmSpec
from ovtasks.seed.distro import attribute, detect
from ovtasks.seed.wanted import carries_keys, hostname
from ovtasks.sources.secret_inputs import cloud_init_inputs
from ovtasks.values.hidden import Input

KEY_RECIPE = 1
SEED_RECIPE = 3  # raise it when rendering changes what it makes from the same spec
SEED_FILE = "seed.iso"
KEY_LABEL = "ssh key"
"""How reasons name the step of :func:`key_step`."""


def key_name(vm: VmSpec) -> str:
    """The name of the step that makes the VM's SSH key pair."""
    return f"key:{vm.name}"


def seed_name(vm: VmSpec, type: str = "qcow2") -> str:
    """``seed:<vm>``, with another disk type than qcow2 ``seed:<vm>:<type>``."""
    return f"seed:{vm.name}" if type == "qcow2" else f"seed:{vm.name}:{type}"


def key_step(vm: VmSpec) -> Step | None:
    """The step that makes the VM's own SSH key pair; None if the VM gets the user's key or no key.

    The pair outlives builds and ``doit clean``, because it opens existing VMs.
    """
    choice = _choice(vm)
    if not choice.generated or choice.public is None:
        return None
    public = choice.public

    def run(ws: Workspace) -> None:
        from ovtasks.instance.owner import claim

        claim(public.parent, vm.name)
        made = ensure_key_pair(public.parent, vm.domain)
        ws.identity = "sha256:" + _sha256("\n".join(made.keys).encode())
        if made.private is not None:
            ws.also(made.private)  # so that we notice when it is lost

    return Step(
        name=key_name(vm),
        inputs={"recipe": KEY_RECIPE, "key_source": "generate"},
        targets=(public,),
        run=run,
        title=f"SSH key pair of {vm.name}",
        reads=choice.reads,
        shared=True,
    )


def seed_step(vm: VmSpec, project: Project, type: str, disk: str) -> Step:
    """The step that renders the seed for the disk of the step named ``disk``.

    The instance-id follows from the disk's digest. So an edit of ``cloud_init`` does not make cloud-init start over on
    an existing disk, and a fresh disk is always a new instance.
    """
    choice = _choice(vm)
    target = project.artifacts(vm.name, type) / SEED_FILE

    def run(ws: Workspace) -> None:
        keys = choice.keys
        if choice.generated and choice.public is not None and carries_keys(vm):
            keys = read_public_keys(choice.public)
        if choice.note is not None:
            ws.progress.note(f"{vm.name}: {choice.note}")
        instance_id = instance_identity(vm, ws.needs[disk].digest)
        from ovtasks.seed.cloud_init import SeedInput, render
        from ovtasks.seed.iso import seed_iso

        image = seed_iso(render(SeedInput(vm, instance_id, hostname(vm), keys)))
        ws.write(target, image, secret=True)
        ws.commit(target, secret=True)
        ws.fact("instance_id", instance_id)

    return Step(
        name=seed_name(vm, type),
        inputs=seed_inputs(vm, choice),
        needs=(disk, key_name(vm)) if choice.generated and carries_keys(vm) else (disk,),
        targets=(target,),
        run=run,
        title=f"cloud-init seed of {vm.name}",
        reads=choice.reads,
        labels={"key": KEY_LABEL},
    )


def seed_inputs(vm: VmSpec, choice: KeyChoice) -> Mapping[str, Input]:
    """The inputs of rendering.

    A generated key enters by its step's digest. This runs on every no-op, so it is cheap.
    """
    inputs: dict[str, Input] = {
        "recipe": SEED_RECIPE,
        "kind": vm.source.kind,
        "hostname": hostname(vm),
        "cloud_init": cloud_init_inputs(vm.cloud_init or CloudInit()),
        "ssh_user": vm.ssh.user,
        "base_user": attribute(vm.source, "base_user"),
    }
    if isinstance(vm.source, CloneSource):
        inputs["cloud_init_clean"] = vm.source.cloud_init_clean
    if vm.mounts:
        from ovtasks.values.mount import SSHFS

        words = [(one, "ro" if one.read_only else "rw") for one in vm.mounts]
        inputs["mounts"] = [f"{one.target}:{SSHFS if one.transport == SSHFS else mode}" for one, mode in words]
    if distro := detect(vm.source):
        inputs["distro"] = distro.name
    if carries_keys(vm):
        inputs["key"] = "generated" if choice.generated else list(choice.keys)
    return inputs


def instance_identity(vm: VmSpec, disk_digest: str) -> str:
    """The instance-id: ``ov-`` and 20 hexadecimal digits."""
    return "ov-" + _sha256(f"{vm.name}\0{disk_digest}".encode())[:20]


def _choice(vm: VmSpec) -> KeyChoice:
    return resolve_keys(vm.ssh, instance_directory(vm.domain), where=vm.where)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
