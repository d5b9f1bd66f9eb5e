"""The step ``install``: a container with root's rights writes its own image to a raw disk.

With ``--type raw`` that disk is the target. In a qcow2 build it is temporary: it lies in the scratch folder until
``convert`` has read it, and the target is a stamp file that describes it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ovtasks.containers.copy import PREFIX, copy_image
from ovtasks.containers.engine import Engine, Mode, own, rootful
from ovtasks.containers.scratch import Scratch
from ovtasks.containers.storage import storage
from ovtasks.errors import InputError, OvError
from ovtasks.graph.freshness import same_outputs
from ovtasks.graph.receipt import Receipt
from ovtasks.graph.step import BuildOptions, Step, Workspace
from ovtasks.host.files import create, flock, write_atomic
from ovtasks.host.paths import instance_directory
from ovtasks.host.progress import Progress
from ovtasks.host.run import CommandError
from ovtasks.host.state import try_load_state
from ovtasks.images.boot import bootable
from ovtasks.instance.keys import KeyChoice, fingerprint, read_public_keys, resolve_keys
from ovtasks.project.bootc_rules import misfit, wants_composefs
from ovtasks.project.model import BootcSource, Project, VmSpec
from ovtasks.sources.bootc import preflight
from ovtasks.sources.bootc.boot_loader import BootLoader, choose, explained
from ovtasks.sources.bootc.command import Flags, install_command
from ovtasks.sources.bootc.diagnosis import Sizes, diagnose, spoken
from ovtasks.sources.bootc.injection import bakes_keys, ignores_keys, injected, without_the_disk
from ovtasks.sources.bootc.options import ROOT_SIZE
from ovtasks.sources.bootc.probe import Installer, ask
from ovtasks.sources.console import CONSOLE, console_args
from ovtasks.sources.seed import KEY_LABEL
from ovtasks.values.jsonvalue import Json, digest, state_text
from ovtasks.values.sizes import MIN_DISK, format_size

RECIPE = 1
STORAGE = "/var/lib/containers/storage"
"""Where bootc, inside the container, looks for its own image."""
GONE = "its raw disk is needed again"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def install_name(vm: VmSpec, type: str) -> str:
    """The name of the step that installs the image to a disk of this type."""
    return f"install:{vm.name}" if type == "qcow2" else f"install:{vm.name}:{type}"


def scratch_of(vm: VmSpec, project: Project, type: str) -> Scratch:
    """The scratch folder. It lies beside the finished disk, so that a rename is enough to put that in place."""
    return Scratch(project.artifacts(vm.name, type) / ".install")


def stamp_file(vm: VmSpec, project: Project) -> Path:
    """The file that describes the raw disk of a qcow2 build. It outlives that disk."""
    return project.output / vm.name / "install.json"


@dataclass(frozen=True)
class Plan:
    """Everything that decides one installation.

    ``image`` and ``key`` name the steps that bring the image and make the key pair. ``size`` is the disk's, in bytes.
    """

    vm: VmSpec
    project: Project
    options: BuildOptions
    image: str
    key: str | None
    keys: KeyChoice
    size: int

    @property
    def source(self) -> BootcSource:
        """The VM's source."""
        assert isinstance(self.vm.source, BootcSource)
        return self.vm.source

    @property
    def root_size(self) -> int | None:
        """The size of the root partition in bytes; None: it fills the disk."""
        return self.options[ROOT_SIZE] or self.source.root_size

    def flags(self, keys: tuple[str, ...], target: str | None, loader: BootLoader | None = None) -> Flags:
        """The installer's flags as spec and options have them. A ``loader``, chosen for the image, takes precedence."""
        source = self.source
        kargs = source.kernel_args
        return Flags(
            source.rootfs,
            self.root_size,
            (*(console_args(kargs) if self.options[CONSOLE] else ()), *kargs),
            source.target_imgref or target,
            keys,
            loader.name if loader else source.bootloader,
            loader.composefs if loader else source.composefs,
        )

    def check_sizes(self, composefs: bool | None) -> None:
        """Check that the partitions fit on the disk.

        :raises InputError: they do not; it names the option if one was given, else the field of the spec.
        """
        root, size, options = self.root_size, self.size, self.options
        given_root = options[ROOT_SIZE]
        where = self.vm.where
        if root is not None and not MIN_DISK <= root <= size:
            message = f"the root file system of {self.vm.name} would have {format_size(root)}, on a disk of "
            hint = f"--root-size (source.root_size) of {format_size(MIN_DISK)} up to the disk's size, or leave it out"
            raise InputError(message + format_size(size), hint=hint, where=None if given_root else where)
        if found := misfit(size, root, composefs):
            given = ("--root-size", "source.root_size") if root is not None else ("--size", "disk_size")
            said = given_root if root is not None else options.size
            name, place = (given[0], None) if said else (given[1], where)
            raise InputError(f"{name} of {self.vm.name}: {found[0]}", hint=found[1], where=place)


def install_step(vm: VmSpec, project: Project, options: BuildOptions, image: str, key: str | None) -> Step:
    """The step after the one named ``image``, whose facts it reads.

    ``key`` names the step that makes the SSH key pair; None: the VM has no such step.

    :raises InputError: the SSH key file is wrong, there is no disk size, or the partitions do not fit.
    """
    choice = resolve_keys(vm.ssh, instance_directory(vm.domain), where=vm.where)
    baked = bakes_keys(vm)
    size = options.size or vm.disk_size
    if size is None:
        raise InputError(
            f"the disk size of {vm.name} is not known", hint="disk_size: 20G, or --size 20G", where=vm.where
        )
    assert isinstance(vm.source, BootcSource)
    plan = Plan(vm, project, options, image, key if baked else None, choice, size)
    plan.check_sizes(wants_composefs(vm.source.bootloader, vm.source.composefs))
    flags = plan.flags((), None).to_json()
    flags["keys"] = ("generated" if choice.generated else list(choice.keys)) if baked else []
    raw = options.type == "raw"
    target = project.artifacts(vm.name, "raw") / "disk.raw" if raw else stamp_file(vm, project)
    scratch = scratch_of(vm, project, options.type)
    return Step(
        name=install_name(vm, options.type),
        inputs={"recipe": RECIPE, "disk_size": size, **flags},
        targets=(target,),
        run=lambda ws: _run(ws, plan, scratch),
        title=f"install {vm.name} by bootc",
        needs=(image, *([key] if baked and choice.generated and key else [])),
        reads=choice.reads if baked else (),
        makes="installed disk",
        labels={"key": KEY_LABEL},
        refresh=None if raw else _lost(vm, project, scratch),
        tidy=scratch.clear,
    )


def _lost(vm: VmSpec, project: Project, scratch: Scratch) -> str | None:
    """Why to install again although no input changed (None: no need): the raw disk and its qcow2 are gone."""
    stamp = try_load_state(stamp_file(vm, project))
    if stamp is None or same_disk(stamp, scratch.disk):
        return None
    disk = project.artifacts(vm.name, "qcow2") / "disk.qcow2"
    receipt = Receipt.load(disk.with_name(disk.name + ".receipt.json"))
    made = receipt is not None and receipt.needs.get("install") == _digest(stamp) and same_outputs(receipt)
    return None if made else GONE


def disk_stat(disk: Path) -> dict[str, Json]:
    """What identifies a raw disk later.

    The boot ID is part of it: a machine that crashed may have lost data that was not yet on its disk.

    :raises OSError: the disk is not there.
    """
    stat = disk.stat()
    boot = _BOOT_ID.read_text(encoding="ascii").strip()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "inode": stat.st_ino, "boot": boot}


def same_disk(stamp: Mapping[str, Json], disk: Path) -> bool:
    """Whether ``disk`` is the one that ``stamp`` describes."""
    try:
        return stamp.get("disk") == disk_stat(disk)
    except OSError:
        return False


def _digest(stamp: Mapping[str, Json]) -> str:
    return f"install:{stamp.get('run')}"


def _run(ws: Workspace, plan: Plan, scratch: Scratch) -> None:
    scratch.clear()
    facts = ws.needs[plan.image].facts
    image, image_id = str(facts["name"]), str(facts["id"])
    engine = rootful()
    ws.progress.note(f"{plan.vm.name}: {engine.command}, because {engine.why}")
    preflight.check(engine, scratch.folder, int(str(facts.get("size") or 0)), plan.size, ws.progress.note)
    image = bring(engine, image, image_id, plan.project.state, ws.progress)
    installer = ask(engine, image, image_id, plan.project.state, plan.vm.where)
    loader = choose(plan.source.bootloader, plan.source.composefs, installer, plan.vm.where)
    if loader.note:
        ws.progress.note(f"{plan.vm.name}: {loader.note}")
    plan.check_sizes(loader.composefs)
    if plan.vm.cloud_init is not None and not installer.cloud_init:
        hint = "install cloud-init in the Containerfile, or remove cloud_init"
        raise InputError(f"cloud_init: the image {image} has no cloud-init", hint=hint, where=plan.vm.where)
    target = str(facts["target"]) if facts.get("target") else None
    if target is None and plan.source.target_imgref is None:
        ws.progress.note(
            f"{plan.vm.name}: upgrades in the guest will look for {image}; source.target_imgref names another"
        )
    keys = _baked(plan)
    if keys and loader.composefs and ignores_keys(installer.version):
        ws.progress.note(without_the_disk(plan.vm, "bootc writes no key into a composefs disk"))
        keys = ()
    words = install_command(plan.flags(keys, target, loader), installer.options, plan.vm.where)
    try:
        said = _install(ws, plan, scratch, engine, image, words, keys)
        if keys and not injected(said):
            ws.progress.note(without_the_disk(plan.vm, "bootc does not say that it wrote the key into the disk"))
            keys = ()
        _finish(ws, plan, scratch, installer, loader, keys, said)
    except BaseException:
        scratch.clear()
        raise


def _install(
    ws: Workspace,
    plan: Plan,
    scratch: Scratch,
    engine: Engine,
    image: str,
    words: list[str],
    keys: tuple[str, ...],
) -> list[str]:
    """Run the installer's container; returns the lines of its output that matter.

    :raises OvError: it failed; the message says why, as far as its output tells.
    """
    scratch.prepare(engine, image)
    with create(scratch.disk, mode=0o666) as file:
        file.truncate(plan.size)
    if keys:
        write_atomic(scratch.folder / "authorized_keys", "".join(f"{key}\n" for key in keys), mode=0o600)
    said: list[str] = []

    def hear(line: str) -> None:
        said.extend(spoken(line))
        if plan.options[CONSOLE]:
            ws.progress.note(line)

    try:
        argv = [*container_words(engine, scratch, plan, image), *words]
        # `end` clears everything, too: with steps in threads, the program may end before this thread could do it
        engine.run(*argv, cwd=scratch.folder, on_line=hear, end=scratch.clear)
    except CommandError as e:
        raise diagnose(e, scratch.folder, plan.vm.where, Sizes(plan.size, plan.root_size)) from e
    return said


def container_words(engine: Engine, scratch: Scratch, plan: Plan, image: str) -> list[str]:
    """``podman run`` as in bootc's documentation, plus a label and an ID file by which we find the container again."""
    root = storage(engine, plan.project.state).graph_root
    return [
        *("run", "--rm", "--privileged", "--pid=host", "--ipc=host", "--network=none", "--pull=never"),
        *("--security-opt", "label=type:unconfined_t", "--user", "0"),
        *("--label", scratch.label, "--cidfile", str(scratch.container_id)),
        *("--volume", "/dev:/dev"),
        *("--volume", "/var/lib/containers:/var/lib/containers"),
        *(("--volume", f"{root}:{STORAGE}") if str(root) != STORAGE else ()),
        *("--volume", scratch.volume),
        *("--env", "LC_ALL=C.UTF-8"),  # makes mkfs and others speak English, which the diagnosis reads
        *("--entrypoint", "", image),
    ]


def _baked(plan: Plan) -> tuple[str, ...]:
    if not bakes_keys(plan.vm):
        return ()
    if plan.keys.generated and plan.keys.public is not None:
        return read_public_keys(plan.keys.public)
    return plan.keys.keys


def _finish(
    ws: Workspace,
    plan: Plan,
    scratch: Scratch,
    installer: Installer,
    loader: BootLoader,
    keys: tuple[str, ...],
    lines: list[str],
) -> None:
    scratch.detach_loops()
    boot = bootable(scratch.disk)
    said = {key: value for key, colon, value in (line.partition(": ") for line in reversed(lines)) if colon}
    installed = said.get("Bootloader", loader.name)
    stamp: dict[str, Json] = {
        "run": uuid.uuid4().hex,
        "bootc": installer.version,
        "image_digest": said.get("Digest"),
        "image": said.get("Installing image"),
        "bootloader": installed,
        "composefs": loader.composefs,
        "boot": explained(boot, installed).to_json() if boot else None,
        "baked_keys": [fingerprint(key) for key in keys],
    }
    for key, value in stamp.items():
        ws.fact(key, value)
    target = ws.step.targets[0]
    ws.identity = _digest(stamp)
    if plan.options.type == "raw":
        scratch.disk.replace(ws.part(target))
        scratch.forget()
    else:
        stamp["disk"] = disk_stat(scratch.disk)
        ws.write(target, state_text(stamp))
    ws.commit(target)


def bring(engine: Engine, image: str, image_id: str, state: Path, progress: Progress) -> str:
    """Copy the image into the storage of ``engine``, unless it is there already. Returns its name there.

    The copy has no digest of the registry, so an image named by digest is then named by its ID.

    :raises OvError: the image is in neither storage, cannot be copied, or its name means another image now.
    """
    place = storage(engine, state)
    if (there := place.image_id(image)) == image_id:
        return image
    if engine.mode is Mode.NATIVE:
        found = "another image now" if there else "gone"
        hint = "run it again; two projects that build images of one name take it from each other"
        raise OvError(f"{image} is {found}: somebody changed podman's storage meanwhile", hint=hint)
    names = (image, image_id) if "@" in image else (image,)
    with flock(state / "copy.lock", waiting=lambda who: progress.note(f"waiting for {who}")):
        known = next((name for name in names if place.image_id(name) == image_id), None)
        if known is None:  # no other process copied it while we waited
            progress.note(f"copying {image} into the storage of {engine.command}")
            copy_image(own(), engine, image, state / "podman" / f"{PREFIX}{digest(image)[:16]}")
            known = next((name for name in names if place.image_id(name) == image_id), None)
    if known is None:
        hint = f"podman save --format oci-archive {image} | {engine.command} load; what root pulls is another image"
        raise OvError(f"{image} is not the same image in the storage of {engine.command}", hint=hint)
    return known
