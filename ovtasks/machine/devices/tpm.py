"""A TPM: swtpm(8) beside QEMU, the host's own, or one that somebody else runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as ET

from ovtasks.errors import InputError
from ovtasks.host.packages import package_hint
from ovtasks.machine.device import Device
from ovtasks.machine.draft import Draft
from ovtasks.machine.field import Block, Field, Items
from ovtasks.machine.host import HostFeatures, lacking, unknown_word
from ovtasks.machine.kinds import PATH, UUID, YES_NO, one_of
from ovtasks.machine.qemu.command import Command, ForkingHelper
from ovtasks.machine.tree import Faults, Tree
from ovtasks.machine.xml.place import ensure
from ovtasks.values.arch import arch_of

SOCKET, LOG_AND_PID, STATE = "tpm.sock", "swtpm", "tpm"
"""``STATE`` is a folder in the VM's own. It holds the TPM's memory: without it, what the guest sealed is lost."""

ROWS = Items(
    Block(
        "tpm",
        "A Trusted Platform Module.",
        {
            "model": Field(
                one_of("tpm-crb", "tpm-tis", "tpm-spapr"),
                "@model",
                "The device; default tpm-crb, tpm-tis on ARM.",
                known=("devices/tpm/model", "TPM"),
            ),
            "backend": Block(
                "backend",
                "The implementation.",
                {
                    "type": Field(
                        one_of("emulator", "passthrough", "external"),
                        "@type",
                        "emulator: swtpm; passthrough: the host's; external: at source.",
                        default="emulator",
                    ),
                    "version": Field(
                        one_of("1.2", "2.0"),
                        "@version",
                        "Of the emulated one; default 2.0.",
                        only={"type": ("emulator",)},
                        computed=True,
                    ),
                    "path": Field(
                        PATH, "device@path", "The host's device.", default=None, only={"type": ("passthrough",)}
                    ),
                    "encryption": Field(
                        UUID,
                        "encryption@secret",
                        "libvirt's secret that encrypts its state (virsh secret-list).",
                        qemu="never",
                        only={"type": ("emulator",)},
                    ),
                    "persistent_state": Field(
                        YES_NO,
                        "@persistent_state",
                        "Keep its state, even for a transient VM.",
                        only={"type": ("emulator",)},
                    ),
                    "source": Field(
                        PATH,
                        "source@path",
                        "The socket of an external one.",
                        only={"type": ("external",)},
                        fixed={"type": "unix", "mode": "connect"},
                    ),
                },
                bare=True,
            ),
        },
    )
)


def _rules(found: Sequence[Tree], _: Tree) -> Faults:
    for one in found[1:]:
        yield one.fault("is one too many: a machine has one TPM", "remove it")
    for one in found:
        backend = one.block("backend")
        if one.text("model") == "tpm-crb" and backend.text("version") == "1.2":
            yield one.fault("is tpm-crb, which is a TPM 2.0", "model: tpm-tis, or version 2.0", "model")
        if backend.text("type") == "external" and not backend.has("source"):
            yield one.fault("is missing: type external needs it", "source: /path/of/socket", "backend", "source")


def _complete(found: Sequence[Tree], draft: Draft) -> Sequence[Tree]:
    return [_one(one, draft) for one in found]


def _one(one: Tree, draft: Draft) -> Tree:
    backend = one.block("backend")
    emulated = backend.text("type") in {None, "emulator"}
    crb = arch_of(draft.machine.arch).bios and backend.text("version") != "1.2"
    model = "tpm-crb" if crb else "tpm-tis"
    return one.over(model=model).put(backend=backend.over(version="2.0" if emulated else None))


def _lacks(found: Sequence[Tree], host: HostFeatures) -> Iterator[InputError]:
    enum = "devices/tpm/backendModel"
    for one in found:
        kind = one.block("backend").text("type") or "emulator"
        if kind != "emulator":
            yield from unknown_word(kind, host, enum, (*one.place, "backend", "type"), "TPM backend")
        elif kind not in host.known.get(enum, ()):
            yield lacking(one.place, "needs the TPM emulator swtpm, which is not installed", package_hint("swtpm"))


def _finish(element: ET.Element, one: Tree) -> None:
    """Add the version of an emulated TPM."""
    if version := one.block("backend").text("version"):
        ensure(element, "backend").set("version", version)


def _words(found: Sequence[Tree], to: Command) -> None:
    if not found:
        return
    if len(found) > 1:
        raise found[1].error("a machine has one TPM", "remove one of them")
    one, backend = found[0], found[0].block("backend")
    model = one.text("model") or ("tpm-crb" if to.pc else "tpm-tis")
    if model == "tpm-spapr" or (model == "tpm-crb" and not to.pc):
        raise one.refuse("model", f"{to.machine.arch} has no {model}")
    kind = backend.text("type") or "emulator"
    if kind == "passthrough":
        to.add("tpmdev", "passthrough", id="tpm0", path=backend.text("path") or "/dev/tpm0")
    else:
        path: object = to.machine.sockets / SOCKET
        if kind == "emulator":
            to.helpers.append(_emulator(to, backend.text("version") or "2.0"))
            backend.text("persistent_state")  # the state stays in the VM's folder as long as that exists
        else:
            path = backend.text("source")
        to.add("chardev", "socket", id="tpm0-swtpm", path=path)
        to.add("tpmdev", "emulator", id="tpm0", chardev="tpm0-swtpm")
    to.device(model if to.pc else "tpm-tis-device", id="tpm0-device", tpmdev="tpm0")


def _emulator(to: Command, version: str) -> ForkingHelper:
    folder, socket = to.machine.disk.parent, to.machine.sockets / SOCKET
    state = folder / STATE
    words = [
        *("swtpm", "socket", *(["--tpm2"] if version == "2.0" else [])),
        *("--tpmstate", f"dir={state},mode=0600", "--ctrl", f"type=unixio,path={socket},mode=0600"),
        "--terminate",
    ]
    return ForkingHelper(
        LOG_AND_PID, tuple(words), socket, state, "an $XDG_DATA_HOME without commas, or no libvirt.devices.tpm"
    )


TPM = Device("tpm", ROWS, _rules, _complete, lacks=_lacks, finish=_finish, qemu=_words, leaves=(SOCKET,))
