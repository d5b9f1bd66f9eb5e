"""``python -m tests.machine.defined FOLDER``, as an ordinary user: every case of the table, and the VMs of the
project in FOLDER, defined in the user's own libvirt session. Prints a JSON list: name, value, libvirt's refusal (or
null), libvirt's version of the definition."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from ovtasks.backends.libvirt import session
from ovtasks.instance.preview import preview
from ovtasks.machine.xml.domain import domain_xml
from ovtasks.project.load import load_project
from ovtasks.values.jsonvalue import Json
from tests.machine.hosts import EVERYTHING, versions
from tests.machine.walk import LEAVES, cases, machine_of


def definitions(folder: Path) -> Iterator[tuple[str, Json, str]]:
    """All that this libvirt's schema knows; and the samples as `ov vm create` defines them, firmware, ports and all."""
    here = versions()
    for leaf in LEAVES:
        texts: set[str] = set()
        for case in cases(leaf):
            if case.since > here or case.text in texts:  # true, yes and on are one text
                continue
            texts.add(case.text)
            yield leaf.name, case.value, domain_xml(machine_of(case), EVERYTHING)
    for name, vm in load_project(folder, cache=False).vms.items():
        yield "sample", name, preview(vm, None, folder, kind="libvirt").text


def main() -> None:
    """Define, dump, undefine."""
    libvirt = session.load()
    daemon = session.connection()
    found: list[tuple[str, Json, str | None, str]] = []
    for name, value, text in definitions(Path(sys.argv[1])):
        try:
            domain = daemon.defineXMLFlags(text, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
        except libvirt.libvirtError as e:
            found.append((name, value, str(e), ""))
            continue
        dump = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
        domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
        found.append((name, value, None, dump))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
