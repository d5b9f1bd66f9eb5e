"""A domain of libvirt's, imported with its disk, its bus and its UEFI variables, boots; and it stays what it was."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ovtasks.graph.receipt import sha256_of
from ovtasks.host.run import run
from tests.boot.project import Project
from tests.support.demo import Demo

pytestmark = pytest.mark.boot
SECONDS = 120.0
VARIABLES = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
DOMAIN = """
<domain type='qemu'>
  <name>old</name><memory unit='MiB'>1024</memory><vcpu>1</vcpu>
  <os firmware='efi'>
    <type arch='x86_64' machine='q35'>hvm</type><firmware><feature enabled='no' name='secure-boot'/></firmware>
    <nvram>{nvram}</nvram>
  </os>
  <features><acpi/></features>
  <devices>
    <controller type='scsi' index='0' model='virtio-scsi'/>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='{disk}'/><target dev='sda' bus='scsi'/><serial>OLD1</serial>
    </disk>
    <interface type='user'><model type='virtio'/></interface>
  </devices>
</domain>
"""


@pytest.fixture
def old(project: Project, demo: Demo) -> Iterator[Path]:
    """The disk of a domain ``old``. Its variables hold nothing yet: what is in them is not what is tried here."""
    disk, nvram, xml = (project.user.home / name for name in ("old.qcow2", "old_VARS.fd", "old.xml"))
    base, facts = demo.base()
    run(["qemu-img", "convert", "-f", str(facts["format"]), "-O", "qcow2", base, disk])
    shutil.copy(VARIABLES, nvram)
    xml.write_text(DOMAIN.format(disk=disk, nvram=nvram), encoding="utf-8")
    for path in (disk, nvram, xml):
        project.user.owned(path)
    virsh(project, "define", str(xml))
    yield disk
    project.ov("vm", "destroy", "--disk", "old")
    virsh(project, "undefine", "--keep-nvram", "old")
    for path in (disk, nvram, xml):
        path.unlink()


def virsh(project: Project, *words: str) -> str:
    done = project.user.run("virsh", "-c", "qemu:///session", *words, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stdout


def state(project: Project, disk: Path) -> Any:
    files = [disk, disk.with_name("old_VARS.fd")]
    return virsh(project, "dumpxml", "--inactive", "old"), [(sha256_of(one), one.stat().st_mtime_ns) for one in files]


def test_an_imported_domain_boots(project: Project, old: Path) -> None:
    before = state(project, old)
    said = project.ov("vm", "import", "old", "--reference").stderr
    assert "libvirt.snippets: <disk" in said
    file = project.root / "vms.yml"
    text = file.read_text(encoding="utf-8")
    source = yaml.safe_load(text)["vms"]["old"]["source"]
    assert (source["disk_path"], Path(source["nvram_path"]).parent.name) == (str(old), "imported")
    seed = "    ssh: {user: demo, key_source: generate}\n    cloud_init: {}\n"  # this guest has nobody to log in as yet
    file.write_text(text.replace("\n  old:\n", f"\n  old:\n{seed}"), encoding="utf-8")
    project.ov("vm", "create", "old")
    project.ov("vm", "wait", "old")
    question = "id -un; lsblk -dno NAME,SERIAL,TRAN | grep OLD1; ls -d /sys/firmware/efi; findmnt -no SOURCE /"
    login, disk, efi, root = project.ov("vm", "ssh", "old", "--", question).stdout.split("\n")[:4]
    assert (login, efi) == ("demo", "/sys/firmware/efi")
    name = disk.split()[0]
    assert name.startswith("sd") and root.startswith(f"/dev/{name}"), "the disk is on the bus that it was on"
    assert state(project, old) == before
