"""The few blocks whose place in the XML depends on others."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from ovtasks.machine.tree import Tree
from ovtasks.machine.xml.place import sub

SEV_ES = 0x4


POLICIES = {"sev": "0x3", "sev-es": "0x7", "sev-snp": "0x30000"}


def launch_security(element: ET.Element, wanted: Tree) -> None:
    """SEV-ES is SEV with a bit of its policy."""
    kind = wanted.text("type") or ""
    policy = wanted.text("policy") or POLICIES.get(kind)
    element.set("type", "sev" if kind == "sev-es" else kind)
    if policy is not None:
        bits = int(policy, 16) if policy.lower().startswith("0x") else int(policy)
        sub(element, "policy", text=f"0x{bits | (SEV_ES if kind == 'sev-es' else 0):04x}")


def cpu(element: ET.Element, wanted: Tree) -> None:
    """A model is meant exactly."""
    if wanted.text("mode") == "custom":
        element.set("match", "exact")
