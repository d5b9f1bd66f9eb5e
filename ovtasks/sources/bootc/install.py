"""``install``: a container that is root writes its own image to a raw disk, which is the next step's input.

The raw disk of a qcow2 build is a temporary of the chain: this step's target is the record of it, and the disk lies in
the scratch folder until ``convert`` has read it. With ``--type raw`` it is the target itself.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ovtasks.containers.engine import Engine, Mode, own, rootful
from ovtasks.containers.scratch import Scratch
from ovtasks.containers.storage import storage
from ovtasks.containers.trouble import explain as podman_says
from ovtasks.errors import InputError, OvError
from ovtasks.graph.freshness import same_outputs
from ovtasks.graph.receipt import Receipt
from ovtasks.graph.step import BuildOptions, Step
from ovtasks.graph.workspace import Workspace
from ovtasks.host.files import create, create_text, write_atomic
from ovtasks.host.paths import instance_directory
from ovtasks.host.progress import Progress
from ovtasks.host.run import CommandError, transfer
from ovtasks.host.state import recall
from ovtasks.images.partitions import bootable
from ovtasks.images.records import record_text
from ovtasks.instance.keys import KeyChoice, read_public_keys, resolve_keys
from ovtasks.jsonvalue import Json
from ovtasks.sources.bootc import preflight
from ovtasks.sources.bootc.command import Flags, install_command
from ovtasks.sources.bootc.probe import Installer, ask
from ovtasks.sources.bootc.refusals import explain
from ovtasks.spec.model import BootcSource, Injection, Project, VmSpec
from ovtasks.spec.sizes import MIN_DISK, format_size

RECIPE = 1
STORAGE = "/var/lib/containers/storage"
"""Where an installer looks for its own image."""
GONE = "its raw disk is needed again"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def install_name(vm: VmSpec, type: str) -> str:
    return f"install:{vm.name}" if type == "qcow2" else f"install:{vm.name}:{type}"


def scratch_of(vm: VmSpec, project: Project, type: str) -> Scratch:
    """Beside the disk that comes out in the end, so that its name is a rename away."""
    return Scratch(project.artifacts(vm.name, type) / ".install")


def record_file(vm: VmSpec, project: Project) -> Path:
    """What is known of the raw disk of a qcow2 build; it outlives that disk."""
    return project.output / vm.name / "install.json"


@dataclass(frozen=True)
class Plan:
    """All that one installation is made from."""

    vm: VmSpec
    project: Project
    options: BuildOptions
    image: str
    key: str | None
    keys: KeyChoice
    size: int

    @property
    def source(self) -> BootcSource:
        assert isinstance(self.vm.source, BootcSource)
        return self.vm.source

    @property
    def log(self) -> Path:
        return self.project.state / "logs" / f"{install_name(self.vm, self.options.type)}.log"

    def flags(self, keys: tuple[str, ...], target: str | None) -> Flags:
        source = self.source
        return Flags(
            source.rootfs,
            self.options.root_size or source.root_size,
            source.kernel_args,
            source.target_imgref or target,
            keys,
        )


def bakes_keys(vm: VmSpec) -> bool:
    """Whether root's key is written into the disk. By default only when no other way lets it in: a key in the image
    wins over the one that each instance gets."""
    wanted = vm.ssh.install
    if wanted is Injection.AUTO:
        return vm.ssh.user == "root" and vm.ssh.smbios is Injection.DISABLED and not _seed_brings_keys(vm)
    return wanted is Injection.ENABLED


def _seed_brings_keys(vm: VmSpec) -> bool:
    from ovtasks.render.cloud_init import carries_keys, wants_seed

    return wants_seed(vm) and carries_keys(vm)


def install_step(vm: VmSpec, project: Project, options: BuildOptions, image: str, key: str | None) -> Step:
    """The step after ``image``, which has the image's facts; ``key`` makes the SSH key pair (None: none is made).

    :raises InputError: the SSH key file is wrong, or there is no disk size.
    """
    choice = resolve_keys(vm.ssh, instance_directory(vm.domain), where=vm.where)
    baked = bakes_keys(vm)
    size = options.size or vm.disk_size
    if size is None:
        raise InputError(
            f"the disk size of {vm.name} is not known", hint="disk_size: 20G, or --size 20G", where=vm.where
        )
    assert isinstance(vm.source, BootcSource)
    root_size = options.root_size or vm.source.root_size
    if root_size is not None and not MIN_DISK <= root_size <= size:
        message = f"the root file system of {vm.name} would have {format_size(root_size)}, on a disk of "
        hint = f"--root-size (source.root_size) of {format_size(MIN_DISK)} up to the disk's size, or leave it out"
        raise InputError(message + format_size(size), hint=hint, where=vm.where)
    plan = Plan(vm, project, options, image, key if baked else None, choice, size)
    flags = plan.flags((), None).to_json()
    flags["keys"] = ("generated" if choice.generated else list(choice.keys)) if baked else []
    raw = options.type == "raw"
    target = project.artifacts(vm.name, "raw") / "disk.raw" if raw else record_file(vm, project)
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
        refresh=None if raw else _lost(vm, project, scratch),
        tidy=scratch.clear,
    )


def _lost(vm: VmSpec, project: Project, scratch: Scratch) -> str | None:
    """A reason to install again although nothing changed: the raw disk was cleaned, and what was made of it is gone."""
    record = recall(record_file(vm, project))
    if record is None or same_disk(record, scratch.disk):
        return None
    disk = project.artifacts(vm.name, "qcow2") / "disk.qcow2"
    receipt = Receipt.load(disk.with_name(disk.name + ".receipt.json"))
    made = receipt is not None and receipt.needs.get("install") == _digest(record) and same_outputs(receipt)
    return None if made else GONE


def disk_stamp(disk: Path) -> dict[str, Json]:
    """By what a raw disk is known again; after a crash of the machine it may have lost what was not yet written."""
    stat = disk.stat()
    boot = _BOOT_ID.read_text(encoding="ascii").strip()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "inode": stat.st_ino, "boot": boot}


def same_disk(record: Mapping[str, Json], disk: Path) -> bool:
    """Whether ``disk`` is the one that ``record`` speaks of."""
    try:
        return record.get("disk") == disk_stamp(disk)
    except OSError:
        return False


def _digest(record: Mapping[str, Json]) -> str:
    return f"install:{record.get('run')}"


def _run(ws: Workspace, plan: Plan, scratch: Scratch) -> None:
    scratch.clear()
    facts = ws.needs[plan.image].facts
    image, image_id = str(facts["name"]), str(facts["id"])
    engine = rootful()
    ws.progress.note(f"{plan.vm.name}: {engine.command}, because {engine.why}")
    preflight.check(engine, scratch.folder, int(str(facts.get("size") or 0)), plan.size)
    bring(engine, image, image_id, plan.project.state, ws.progress)
    installer = ask(engine, image, image_id, plan.project.state, plan.vm.where)
    if plan.vm.cloud_init is not None and not installer.cloud_init:
        hint = "install cloud-init in the Containerfile, or remove cloud_init"
        raise InputError(f"cloud_init: the image {image} has no cloud-init", hint=hint, where=plan.vm.where)
    target = str(facts["target"]) if facts.get("target") else None
    if target is None and plan.source.target_imgref is None:
        ws.progress.note(
            f"{plan.vm.name}: upgrades in the guest will look for {image}; source.target_imgref names another"
        )
    try:
        said = _install(ws, plan, scratch, engine, image, installer, target)
        _finish(ws, plan, scratch, installer, said)
    except BaseException:
        scratch.clear()
        raise


def _install(
    ws: Workspace,
    plan: Plan,
    scratch: Scratch,
    engine: Engine,
    image: str,
    installer: Installer,
    target: str | None,
) -> Mapping[str, str]:
    """Run the container; returns what it said as ``Key: value``."""
    flags = plan.flags(_baked(plan), target)
    words = install_command(flags, installer.options, plan.vm.where)
    scratch.prepare(engine, image)
    with create(scratch.disk) as file:
        file.truncate(plan.size)
    if flags.keys:
        write_atomic(scratch.folder / "authorized_keys", "".join(f"{key}\n" for key in flags.keys), mode=0o600)
    said: dict[str, str] = {}
    with create_text(plan.log) as log:

        def hear(line: str) -> None:
            log.write(f"{line}\n")
            log.flush()
            key, colon, value = line.partition(": ")
            if colon:
                said.setdefault(key.strip(), value.strip())
            if plan.options.console:
                ws.progress.note(line)

        try:
            argv = [*container_words(engine, scratch, plan, image), *words]
            # all of it: where steps run in threads, the program ends before this thread could clear up
            engine.run(*argv, cwd=scratch.folder, on_line=hear, end=scratch.clear)
        except CommandError as e:
            raise explain(e, scratch.folder, plan.log, plan.vm.where) from e
    return said


def container_words(engine: Engine, scratch: Scratch, plan: Plan, image: str) -> list[str]:
    """``podman run`` as bootc's documentation has it, with a label and a file by which we find the container again."""
    root = storage(engine, plan.project.state).graph_root
    return [
        *("run", "--rm", "--privileged", "--pid=host", "--ipc=host", "--network=none", "--pull=never"),
        *("--security-opt", "label=type:unconfined_t", "--user", "0"),
        *("--label", scratch.label, "--cidfile", str(scratch.container_id)),
        *("--volume", "/dev:/dev"),
        *("--volume", "/var/lib/containers:/var/lib/containers"),
        *(("--volume", f"{root}:{STORAGE}") if str(root) != STORAGE else ()),
        *("--volume", scratch.volume),
        *("--entrypoint", "", image),
    ]


def _baked(plan: Plan) -> tuple[str, ...]:
    if not bakes_keys(plan.vm):
        return ()
    if plan.keys.generated and plan.keys.public is not None:
        return read_public_keys(plan.keys.public)
    return plan.keys.keys


def _finish(ws: Workspace, plan: Plan, scratch: Scratch, installer: Installer, said: Mapping[str, str]) -> None:
    scratch.detach_loops()
    boot = bootable(scratch.disk)
    record: dict[str, Json] = {
        "run": uuid.uuid4().hex,
        "bootc": installer.version,
        "image_digest": said.get("Digest"),
        "image": said.get("Installing image"),
        "boot": {"bios": boot.bios, "uefi": boot.uefi} if boot else None,
    }
    for key, value in record.items():
        ws.fact(key, value)
    target = ws.step.targets[0]
    ws.identity = _digest(record)
    if plan.options.type == "raw":
        scratch.disk.replace(ws.part(target))
        scratch.forget()
    else:
        record["disk"] = disk_stamp(scratch.disk)
        ws.write(target, record_text(record))
    ws.commit(target)


def bring(engine: Engine, image: str, image_id: str, state: Path, progress: Progress) -> None:
    """The image into the storage of ``engine``, if that is another one than the user's.

    :raises OvError: it is in neither, or cannot be copied; or its name means another image now.
    """
    there = storage(engine, state).image_id(image)
    if there == image_id:
        return
    if engine.mode is Mode.NATIVE:
        found = "another image now" if there else "gone"
        hint = "run it again; two projects that build images of one name take it from each other"
        raise OvError(f"{image} is {found}: somebody changed podman's storage meanwhile", hint=hint)
    progress.note(f"copying {image} into the storage of {engine.command}")
    try:
        transfer(own().argv("save", "--quiet", image), engine.argv("load", "--quiet"))
    except CommandError as e:
        raise podman_says(e, f"{image} cannot be copied into the storage of {engine.command}") from e
    if storage(engine, state).image_id(image) != image_id:
        hint = f"podman save {image} | {engine.command} load; an image that is pulled as root is another one than yours"
        raise OvError(f"{image} is not the same image in the storage of {engine.command}", hint=hint)
