"""``libvirt.seclabel`` and ``launch_security``: the label of the VM's process, and memory that the host cannot read."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree as ET

from ovtasks.errors import InputError
from ovtasks.machine.field import Block, Field
from ovtasks.machine.host import HostFeatures, lacking
from ovtasks.machine.kinds import NUMBER, TEXT, YES_NO, one_of, text
from ovtasks.machine.qemu.command import Command, switched
from ovtasks.machine.qemu.option import option
from ovtasks.machine.tree import Faults, Tree
from ovtasks.machine.xml.place import sub

_LABELLED = {"type": ("static",)}

SECLABEL = Block(
    "seclabel",
    "The security label of the VM's process.",
    {
        "type": Field(one_of("dynamic", "static", "none"), "@type", "Who chooses the label.", default="dynamic"),
        "model": Field(
            one_of("selinux", "dac", "apparmor"), "@model", "The security driver; default: the host's first one."
        ),
        "relabel": Field(YES_NO, "@relabel", "Whether files get the label: dynamic always, none never."),
        "label": Field(TEXT, "label", "The label.", only=_LABELLED),
        "baselabel": Field(TEXT, "baselabel", "What the label is derived from.", only={"type": ("dynamic",)}),
    },
    qemu="never",
)

SEV = ("sev", "sev-es")
_HEX = text(
    r"^(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,10})$",
    "a number, also hexadecimal",
    "is not a number",
    ("0x0003", "7"),
    ("x", ""),
)

LAUNCH_SECURITY = Block(
    "launchSecurity",
    "Encrypted memory.",
    {
        "type": Field(
            one_of("sev", "sev-es", "sev-snp", "tdx", "s390-pv"),
            "@type",
            "The technique; libvirt knows sev-es as sev with bit 2 of the policy.",
            required=True,
            computed=True,
            since_values={"sev-snp": (10, 5), "tdx": (11, 6)},
            qemu="kvm",
        ),
        "kernel_hashes": Field(
            YES_NO, "@kernelHashes", "Measure the kernel.", only={"type": (*SEV, "sev-snp")}, qemu="kvm"
        ),
        "cbitpos": Field(
            NUMBER, "cbitpos", "Place of the encryption bit.", only={"type": (*SEV, "sev-snp")}, qemu="kvm"
        ),
        "reduced_phys_bits": Field(
            NUMBER, "reducedPhysBits", "Address bits that it takes.", only={"type": (*SEV, "sev-snp")}, qemu="kvm"
        ),
        "policy": Field(
            _HEX,
            "policy",
            "What is allowed, in bits; default 0x3 (sev), 0x7 (sev-es), 0x30000 (sev-snp).",
            only={"type": (*SEV, "sev-snp", "tdx")},
            computed=True,
            qemu="kvm",
        ),
        "dh_cert": Field(
            TEXT, "dhCert", "The guest owner's Diffie-Hellman key, base64.", only={"type": SEV}, qemu="never"
        ),
        "session": Field(TEXT, "session", "The guest owner's session blob, base64.", only={"type": SEV}, qemu="never"),
    },
)

SEV_ES = 0x4
POLICIES = {"sev": "0x3", "sev-es": "0x7", "sev-snp": "0x30000"}


def rules(tree: Tree) -> Faults:
    """A static label has its text, each label names its driver, and ``relabel`` agrees with the type."""
    label = tree.block("seclabel")
    kind, relabel = label.text("type") or "dynamic", label.switch("relabel")
    if label.value and kind == "static" and not label.has("label"):
        yield label.fault("is missing: type static needs it", "write the label, or type: dynamic", "label")
    if (label.has("label") or label.has("baselabel")) and not label.has("model"):
        yield label.fault("is missing: the label is one of a security driver's", "model: selinux", "model")
    if (kind, relabel) in {("dynamic", False), ("none", True)}:
        yield label.fault(f"contradicts type: {kind}", "remove it", "relabel")


def lacks(block: Tree, host: HostFeatures) -> Iterator[InputError]:
    """An error for AMD's SEV when the host says that it has none."""
    wanted = block.block("launch_security")
    kind = wanted.text("type") or ""
    if host.known.get("features/sev/supported") == frozenset({"no"}) and kind.startswith("sev"):
        hint = "a host with AMD SEV, turned on in its firmware and kernel (kvm_amd sev=1)"
        yield lacking((*wanted.place, "type"), f"{kind}: this host has no SEV", hint)


def finish(element: ET.Element, wanted: Tree) -> None:
    """libvirt writes SEV-ES as SEV with one more bit in the policy."""
    kind = wanted.text("type") or ""
    policy = wanted.text("policy") or POLICIES.get(kind)
    element.set("type", "sev" if kind == "sev-es" else kind)
    if policy is not None:
        bits = int(policy, 16) if policy.lower().startswith("0x") else int(policy)
        sub(element, "policy", text=f"0x{bits | (SEV_ES if kind == 'sev-es' else 0):04x}")


def words(block: Tree, to: Command) -> None:
    """Say AMD's SEV in QEMU's words, as far as it needs no files from the guest's owner.

    :raises InputError: plain QEMU, or this host, lacks what a field asks for."""
    if "type" not in block:
        return
    kind = block.text("type") or ""
    if kind not in POLICIES:
        raise block.refuse("type", f"the backend qemu has no {kind}")
    if not to.kvm:
        raise block.refuse("type", f"{kind} needs KVM", hint="ov doctor says what KVM lacks")
    values: dict[str, object] = {
        "cbitpos": block.text("cbitpos"),
        "reduced-phys-bits": block.text("reduced_phys_bits"),
        "policy": block.text("policy") or POLICIES[kind],
        "kernel-hashes": switched(block.text("kernel_hashes")),
    }
    for key in ("cbitpos", "reduced_phys_bits"):
        if key not in block:
            raise block.missing(key, "virsh domcapabilities shows it on the host")
    model = "sev-snp-guest" if kind == "sev-snp" else "sev-guest"
    to.early += ("-object", option(model, id="sev0", **values))
    to.properties["confidential-guest-support"] = "sev0"
