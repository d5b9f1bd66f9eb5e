"""``ov vm import``: a libvirt domain becomes a VM of ours and stays what it was, also when the import is killed."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.checkout import ROOT
from tests.support.pages import blocks
from tests.support.programs import attempt, qemu_img
from tests.support.rooms import Room, libvirt_room
from tests.support.session import SessionUser, session_user
from tests.support.workbench import make_image

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("libvirt")]
SECONDS = 120.0
STRIKES = 24
DOMAIN = """
<domain type='qemu'>
  <name>old</name>
  <description>made by hand</description>
  <memory unit='MiB'>96</memory>
  <vcpu placement='static'>2</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type><boot dev='hd'/></os>
  <features><acpi/><apic/></features>
  <clock offset='localtime'/>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='{disk}'/><target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='{data}'/><target dev='vdb' bus='virtio'/>
    </disk>
    <interface type='user'><mac address='52:54:00:aa:bb:cc'/><model type='e1000'/></interface>
    <serial type='pty'/>
    <watchdog model='i6300esb' action='poweroff'/>
    <rng model='virtio'><backend model='builtin'/></rng>
  </devices>
</domain>
"""


@dataclass
class Old:
    """A domain ``old`` beside the project of ``room``; ``before`` is all that may not change."""

    room: Room
    user: SessionUser
    disk: Path
    data: Path
    before: tuple[str, tuple[bytes, int, int], tuple[bytes, int, int]]

    def virsh(self, *words: str) -> str:
        done = self.user.run("virsh", "-c", "qemu:///session", *words, timeout=SECONDS)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def now(self) -> tuple[str, tuple[bytes, int, int], tuple[bytes, int, int]]:
        return self.virsh("dumpxml", "--inactive", "old"), state(self.disk), state(self.data)

    def entry(self, name: str = "old") -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load(self.file.read_text())["vms"][name]
        return found

    @property
    def file(self) -> Path:
        return self.room.project / "vms.yml"


def state(path: Path) -> tuple[bytes, int, int]:
    return path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode


@pytest.fixture(scope="module")
def user() -> Iterator[SessionUser]:
    with session_user() as made:
        yield made


@pytest.fixture
def old(user: SessionUser) -> Iterator[Old]:
    with libvirt_room(user) as room:
        home = room.project.parent
        disk, data, xml = home / "old.qcow2", home / "data.qcow2", home / "old.xml"
        make_image(disk, mark=b"old")
        make_image(data, mark=b"data")
        xml.write_text(DOMAIN.format(disk=disk, data=data))
        (room.project / "vms.yml").write_text("# ours\nvms: {}  # none yet\n")
        user.owned(home)
        made = Old(room, user, disk, data, ("", state(disk), state(data)))
        made.virsh("define", str(xml))
        made.before = made.now()
        try:
            yield made
        finally:
            room.ov("vm", "destroy", "--disk", "old", code=None)
            user.run("virsh", "-c", "qemu:///session", "destroy", "old", timeout=SECONDS)
            made.virsh("undefine", "--keep-nvram", "old")


@pytest.mark.parametrize("how", ["--copy", "--reference"])
def test_a_domain_becomes_a_vm_and_stays_what_it_was(old: Old, how: str) -> None:
    said = old.room.ov("vm", "import", "old", how)
    assert "imported from old" in said and str(old.data) in said and "MAC" in said
    text = old.file.read_text()
    assert text.startswith("# ours\n") and "# none yet" in text
    entry = old.entry()
    source = entry["source"]
    assert (source["kind"], source["libvirt_name"], source["disk_format"]) == ("imported", "old", "qcow2")
    assert Path(source["disk_path"]) == (old.disk if how == "--reference" else old.room.project / "imported/old.qcow2")
    assert (entry["ram"], entry["cpus"], entry["network"]) == ("96M", 2, {"model": "e1000"})
    libvirt = entry["libvirt"]
    assert libvirt["clock"] == {"offset": "localtime"}
    assert libvirt["devices"]["watchdog"] == [{"model": "i6300esb", "action": "poweroff"}]
    assert libvirt["devices"]["rng"] == [{"backend": "builtin"}]
    assert libvirt["snippets"] == ["<description>made by hand</description>\n"]

    assert "already" in old.room.ov("vm", "import", "old", how)
    assert old.file.read_text() == text
    old.room.ov("validate")
    old.room.ov("vm", "create", "old")
    assert "running" in old.virsh("domstate", "ov-old")
    xml = old.virsh("dumpxml", "--inactive", "ov-old")
    assert "i6300esb" in xml and "e1000" in xml and str(old.data) not in xml and "52:54:00:aa:bb:cc" not in xml
    old.room.ov("vm", "destroy", "--disk", "old")
    old.room.ov("vm", "build", "old")
    files = old.room.files()
    old.room.ov("vm", "build", "old")
    assert old.room.files() == files, "nothing is done twice"
    assert old.now() == old.before


def test_the_page(old: Old) -> None:
    """The commands of docs/import.md, in their order."""
    ((_, text),) = blocks(ROOT / "docs" / "import.md", "old")
    said = [old.room.ov(*shlex.split(line)[1:]) for line in text.splitlines()]
    assert "not taken: disk vdb" in said[0] and old.entry("web")["source"]["libvirt_name"] == "old"
    old.room.ov("vm", "destroy", "--disk", "web")
    assert old.now() == old.before


def test_what_is_refused(old: Old) -> None:
    no = old.room.ov("vm", "import", "olf", code=2)
    assert "did you mean 'old'?" in no
    no = old.room.ov("vm", "import", "old", "--name", "my vm", code=2)
    assert "my vm" in no and "import.yml" not in no
    (old.room.project / "imported").mkdir()
    (old.room.project / "imported" / "old.qcow2").write_text("mine")
    no = old.room.ov("vm", "import", "old", code=2)
    assert "choose another --name" in no and (old.room.project / "imported" / "old.qcow2").read_text() == "mine"
    shutil.rmtree(old.room.project / "imported")
    old.virsh("start", "old")
    for how in ("--copy", "--reference"):
        said = old.room.ov("vm", "import", "old", how, code=3)
        assert "old runs" in said and "virsh shutdown old" in said
    old.virsh("destroy", "old")
    assert old.now()[0] == old.before[0]
    assert old.file.read_text() == "# ours\nvms: {}  # none yet\n"
    assert not (old.room.project / "imported").exists()


def remove(copy: Path) -> None:
    copy.unlink(missing_ok=True)
    copy.with_suffix(".nvram").unlink(missing_ok=True)


def struck(old: Old, number: int) -> tuple[int, str]:
    at = old.room.words.index("-c")
    argv = [*old.room.words[:at], "-m", "tests.instance.strikes", str(number), "vm", "import", "old"]
    done = attempt(*argv, cwd=old.room.project, env=old.room.env, timeout=SECONDS)
    assert done.returncode in {0, -9, 137}, done.stdout + done.stderr
    return done.returncode, done.stdout


def with_variables(old: Old) -> Path:
    """Give the domain UEFI, so that an import copies two files."""
    nvram = old.disk.with_name("old_VARS.fd")
    nvram.write_bytes(b"variables" * 100)
    old.user.owned(nvram)
    loader = f"<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader><nvram>{nvram}</nvram>"
    xml = old.disk.with_name("old.xml")
    xml.write_text(xml.read_text().replace("</os>", f"{loader}</os>"))
    old.virsh("undefine", "old")
    old.virsh("define", str(xml))
    old.before = old.now()
    return nvram


def test_kills(old: Old) -> None:
    """Killed anywhere: the domain is what it was, and the next run does the rest."""
    variables = with_variables(old)
    start = old.file.read_text()
    struck(old, 0)
    old.file.write_text(start)
    copy = old.room.project / "imported" / "old.qcow2"
    remove(copy)
    code, said = struck(old, 0)  # the second time, nothing is written but what the verb itself writes
    calls = int(said.rpartition("calls: ")[2])
    assert code == 0 and calls >= STRIKES
    numbers = sorted({1 + round(step * (calls - 1) / (STRIKES - 1)) for step in range(STRIKES)})
    kills = 0
    for number in numbers:
        old.file.write_text(start)
        remove(copy)
        kills += struck(old, number)[0] != 0
        assert old.file.read_text() == start or "libvirt_name: old" in old.file.read_text(), number
        old.room.ov("vm", "import", "old")
        assert old.entry()["source"]["disk_path"] == str(copy)
        qemu_img("compare", "-q", old.disk, copy)
        left = [path.name for path in copy.parent.iterdir()]
        assert sorted(left) == [".gitignore", "old.nvram", "old.qcow2"], (number, left)
        assert copy.with_name("old.nvram").read_bytes() == variables.read_bytes() == b"variables" * 100
    assert old.now() == old.before
    assert kills >= 20
