"""``python -m tests.render.libvirt.defined``, as an ordinary user: every case of the table, defined in the user's own
libvirt session. Prints a JSON list: name, value, libvirt's refusal (or null), libvirt's version of the definition."""

from __future__ import annotations

import json
import sys

from ovtasks.backends.libvirt import session
from ovtasks.jsonvalue import Json
from ovtasks.render.domain import domain_xml
from ovtasks.render.machine import Machine
from tests.render.libvirt.hosts import EVERYTHING
from tests.render.libvirt.test_table import LEAVES, versions
from tests.render.libvirt.walk import cases, machine_of


def main() -> None:
    """All cases that this libvirt's schema knows."""
    libvirt = session.load()
    daemon = session.connection()
    here = versions()
    found: list[tuple[str, Json, str | None, str]] = []
    for leaf in LEAVES:
        texts: set[str] = set()
        for case in cases(leaf):
            if case.since > here or case.text in texts:  # true, yes and on are one text
                continue
            texts.add(case.text)
            machine: Machine = machine_of(case)
            try:
                domain = daemon.defineXMLFlags(domain_xml(machine, EVERYTHING), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
            except libvirt.libvirtError as e:
                found.append((leaf.name, case.value, str(e), ""))
                continue
            dump = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
            domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
            found.append((leaf.name, case.value, None, dump))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
