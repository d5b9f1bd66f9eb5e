"""Host folders for the guest, which you mount there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from ovtasks.errors import InputError
from ovtasks.host.packages import package_hint
from ovtasks.machine.device import Device
from ovtasks.machine.devices.filesystem.rows import ROWS
from ovtasks.machine.draft import Draft
from ovtasks.machine.host import HostFeatures, lacking, unknown_word
from ovtasks.machine.machine import Machine, SharedFolder
from ovtasks.machine.qemu.command import Command
from ovtasks.machine.tree import ROOT, Faults, Place, Tree, TreeLike, tree
from ovtasks.machine.xml.place import ensure, sub

_ABSOLUTE = ("/", "${vm.dir}", "${vm.sockets}", "${vm.project}", "{{.VmStateDir}}")
_SECURITY = {"passthrough": "passthrough", "mapped": "mapped-xattr", "squash": "none"}
QUEUE = 1024
"""Requests in a virtiofs queue: libvirt's default."""


@dataclass(frozen=True)
class Share:
    """A folder that virtiofsd serves at ``socket``. None leaves an option to its own default. ``cache`` is its
    word (auto, always, never), ``threads`` the size of its pool. ``login``: see
    :class:`~ovtasks.machine.machine.SharedFolder`."""

    name: str
    socket: Path
    source: Path
    readonly: bool = False
    program: Path | None = None
    cache: str | None = None
    sandbox: str | None = None
    xattr: bool | None = None
    threads: int | None = None
    login: int | None = None


def _rules(found: Sequence[Tree], block: Tree) -> Faults:
    """Each folder has a tag of its own and an absolute path; virtiofs needs memory that it can share."""
    seen: set[str] = set()
    for one in found:
        tag, path = one.text("target"), one.text("source")
        if tag is not None and tag in seen:
            yield one.fault(f": tag {tag} appears twice", "another tag", "target")
        seen |= {tag} if tag is not None else set()
        if path and not path.startswith(_ABSOLUTE):
            yield one.fault("is not an absolute path", "for example ${vm.project}/share", "source")
        if one.text("driver") == "virtiofs" and one.text("accessmode") not in {None, "passthrough"}:
            yield one.fault("must be passthrough with virtiofs", "remove it", "accessmode")
    memory = block.block("memory_backing")
    if any(one.text("driver") == "virtiofs" for one in found):
        if memory.text("access") == "private":
            yield memory.fault("is private, but virtiofs needs shared memory", "access: shared, or remove it", "access")
        if memory.text("source") == "anonymous":
            problem = "is anonymous, but virtiofs needs memory that can be shared"
            yield memory.fault(problem, "source: memfd, or remove it", "source")


def _complete(found: Sequence[Tree], draft: Draft) -> Sequence[Tree]:
    found = _with_mounts(found, draft.machine)
    if any(one.text("driver") == "virtiofs" for one in found):
        draft.share_memory()
    return found


def _with_mounts(found: Sequence[Tree], machine: Machine) -> list[Tree]:
    """The declared folders, then those of ``mounts:``."""
    place = (*ROOT, "devices", "filesystems")
    devices = [one for one in machine.shares if one.transport != "sshfs"]  # which needs no device
    return [*found, *(_mounted(one, (*place, len(found) + n)) for n, one in enumerate(devices))]


def _mounted(one: SharedFolder, place: Place) -> Tree:
    """9p with the host's own symbolic links and permissions; who the owner is, the guest cannot change."""
    own = {"driver": "virtiofs"} if one.transport == "virtiofs" else {"accessmode": "squash", "multidevs": "remap"}
    plain: dict[str, TreeLike] = {"type": "mount", **own, "source": str(one.source), "target": one.tag}
    return tree({**plain, **({"readonly": "yes"} if one.read_only else {})}, place)


def _lacks(found: Sequence[Tree], host: HostFeatures) -> Iterator[InputError]:
    hint = f"{package_hint('virtiofsd')}; or driver: 9p"
    for one in found:
        if one.text("driver") == "virtiofs":
            place = (*one.place, "driver")
            yield from unknown_word("virtiofs", host, "devices/filesystem/driverType", place, "file system", hint)
            problem = host.problems.get("virtiofs")
            if problem is not None and one.block("binary").text("path") is None:
                yield lacking(place, f"virtiofs: {problem}", hint)


def _finish(element: ET.Element, wanted: Tree) -> None:
    """Add driver and source. libvirt has no word for 9p: it takes that when there is no driver."""
    if (driver := wanted.text("driver")) in {"virtiofs", "path"}:
        ensure(element, "driver").set("type", str(driver))
    sub(element, "source", {"dir": wanted.text("source")})


def _words(blocks: Sequence[Tree], to: Command) -> None:
    """A virtiofsd beside QEMU serves virtiofs, and must see the guest's memory. QEMU serves 9p itself."""
    for index, block in enumerate(_with_mounts(blocks, to.machine)):
        kind = block.text("type") or "mount"
        if kind != "mount":
            raise block.refuse("type", f"QEMU has no filesystem of type {kind}", hint="type: mount")
        driver = block.text("driver") or "9p"
        source, tag = Path(block.text("source") or "/"), block.text("target")
        if driver == "virtiofs":
            _virtiofs(block, index, source, tag, to)
        else:
            mode = block.one_of("accessmode", _SECURITY, "passthrough")
            more = {key: block.text(key) for key in ("fmode", "dmode")}
            more["multidevs"] = block.one_of("multidevs", {"remap": "remap", "forbid": "forbid", "warn": "warn"})
            readonly = "on" if block.flag("readonly") else None
            ident = f"fs{index}"
            to.add("fsdev", "local", id=ident, path=source, security_model=mode, readonly=readonly, **more)
            to.device("virtio-9p-pci", id=f"{ident}-device", fsdev=ident, mount_tag=tag)


def _virtiofs(block: Tree, index: int, source: Path, tag: str | None, to: Command) -> None:
    if (mode := block.text("accessmode") or "passthrough") != "passthrough":
        raise block.refuse("accessmode", f"virtiofs has no {mode}", hint="accessmode: passthrough, or driver: 9p")
    binary, ident = block.block("binary"), f"fs{index}"
    program, threads = binary.text("path"), binary.text("thread_pool")
    xattr = binary.text("xattr")
    socket = to.machine.sockets / f"{ident}.sock"
    share = Share(
        name=ident,
        socket=socket,
        source=source,
        readonly=block.flag("readonly"),
        program=Path(program) if program else None,
        cache=binary.one_of("cache", {"none": "never", "always": "always"}),
        sandbox=binary.text("sandbox"),
        xattr=None if xattr is None else xattr == "on",
        threads=None if threads is None else int(threads),
        login=next((one.login for one in to.machine.shares if one.tag == tag), None),
    )
    to.helpers.append(share)
    to.shared = True
    to.add("chardev", "socket", id=ident, path=socket)
    values = {"queue-size": block.text("queue") or QUEUE, "tag": tag}
    to.device("vhost-user-fs-pci", id=f"{ident}-device", chardev=ident, **values)


FILESYSTEM = Device(
    "filesystems",
    ROWS,
    _rules,
    _complete,
    lacks=_lacks,
    finish=_finish,
    qemu=_words,
    leaves=("fs*.sock", "fs*.sock.*"),
    same=("target@dir",),
)
