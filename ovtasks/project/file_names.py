"""The keys of VMs, images, deployments and whole files in all versions of the format; see :mod:`.names`.

What stands below ``cloud_init.network`` and ``cloud_init.extra`` is cloud-init's and keeps its names.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from ovtasks.errors import InputError
from ovtasks.project.declared import IMAGE as IMAGE_OWNER
from ovtasks.project.layer_names import CHECK
from ovtasks.project.names import KeyNames, renamed
from ovtasks.project.places import DEFAULTS, VM_FILES
from ovtasks.values.yamlio import Document, Key

if TYPE_CHECKING:
    from ovtasks.machine.field import Block

_CLOUD_INIT = KeyNames(
    {
        "user": "users",
        "package": "packages",
        "write_file": "write_files",
        "mirror": "mirrors",
        "charly_install": "ov_install",
    },
    {
        "users": KeyNames({"group": "groups"}),
    },
)
_SOURCE = KeyNames({"package": "packages", "kernel_arg": "kernel_args", "box": "image"})
_VM = KeyNames(
    {"cpu": "cpus", "snapshot": "snapshots", "tests": "eval", "deploy_tests": "deploy_eval"},
    {
        "source": _SOURCE,
        "network": KeyNames({"port_forward": "port_forwards", "ports": "port_forwards", "port": "port_forwards"}),
        "cloud_init": _CLOUD_INIT,
        "eval": CHECK,
        "deploy_eval": CHECK,
    },
)
IMAGE = KeyNames({"build_arg": "build_args"})
_ENTRY = KeyNames(
    names={
        "add_layer": "add_layers",
        "add_candy": "add_layers",
        "ssh_arg": "ssh_args",
        "install_opt": "install_opts",
        "cpu": "cpus",
        "vm_source": "vm",
    },
    below={
        "eval": CHECK,
        "install_opts": KeyNames(
            names={
                "with_service": "with_services",
                "allow_repo_change": "allow_repo_changes",
                "allow_root_task": "allow_root_tasks",
            }
        ),
    },
)
DEPLOY = KeyNames(
    below={
        "deploy": KeyNames(every=_ENTRY),
        "deployments": KeyNames(every=_ENTRY, below={"images": KeyNames(every=_ENTRY)}),
    }
)
"""Names of deployments' keys."""
_ROOT = {"include": "includes", "box": "image"}


@cache
def vm_names() -> KeyNames:
    """The names of a VM's keys. In the ``libvirt:`` block every list may also be called in the singular."""
    from ovtasks.machine.table import LIBVIRT

    return KeyNames(_VM.names, {**_VM.below, "libvirt": _singular(LIBVIRT)})


def _singular(block: Block) -> KeyNames:
    """The names of a block of the ``libvirt:`` table: the singular of what holds several."""
    from ovtasks.machine.field import Block, Items, Words

    names: dict[str, str] = {}
    below: dict[str, KeyNames] = {}
    for name, node in block.fields.items():
        many = isinstance(node, Items | Words) or name in {"devices", "features"}
        if many and name.endswith("s") and name != "graphics" and name[:-1] not in block.fields:
            names[name[:-1]] = name
        if isinstance(node, Block | Items):
            inner = _singular(node.block if isinstance(node, Items) else node)
            if inner.names or inner.below:
                below[name] = inner
    return KeyNames(names, below)


def file_names(data: object, file: str) -> KeyNames:
    """The names of all keys of a file with this content. In a file for VMs ``defaults:`` has a VM's keys."""
    root = data if isinstance(data, Mapping) else {}
    below: dict[str, KeyNames] = dict(DEPLOY.below)
    for key in ("vms", "vm"):
        if key in root:
            vm = vm_names() if _any_libvirt(root[key]) else _VM
            below[key] = vm if is_single(key, root[key]) else KeyNames(every=vm)
    if DEFAULTS in root and file.rpartition("/")[2] in VM_FILES:
        below[DEFAULTS] = vm_names() if _any_libvirt(root[DEFAULTS]) else _VM
    for key, other in (("images", ""), ("image", "box")):
        value = root.get(key, root.get(other))
        below[key] = IMAGE if is_single(key, value) else KeyNames(every=IMAGE)
    return KeyNames(_ROOT, below)


def is_single(key: str, value: object) -> bool:
    """Whether ``vm:`` or ``image:`` holds one entry with its ``name:``, not entries by name."""
    name = value.get("name") if isinstance(value, Mapping) else None
    return key in {"vm", "image"} and name is not None and not isinstance(name, Mapping)


def _any_libvirt(value: object) -> bool:
    found = value if isinstance(value, Mapping) else {}
    return "libvirt" in found or any(isinstance(vm, Mapping) and "libvirt" in vm for vm in found.values())


def with_our_names(document: Document) -> tuple[Document, list[InputError]]:
    """``document`` with our names, and an error for each key that has two of its names at once."""
    return renamed(document, file_names(document.data, document.file), _owner)


def _owner(path: tuple[Key, ...]) -> str | None:
    """The entry that ``path`` lies in. What is wrong in a single ``vm:`` or ``image:`` with its name counts for all."""
    kinds = {"vms": "", "vm": "", "images": IMAGE_OWNER, "image": IMAGE_OWNER, "deploy": "deploy:"}
    return f"{kinds[str(path[0])]}{path[1]}" if len(path) > 1 and path[0] in kinds else None
